"""What an arm with in-domain pretraining starts from: the pretrained encoder, and a probe refitted on its features.

Texts are the pool's and the training rows'; none of validation or test is among them. Some are held out to choose the
epoch: of the pool where there is one, else of the training rows. The start is written as a model folder of its own, so
that training reads it like any source model, on whatever machine its workers are.

Source: Gururangan et al. 2020; the probe before fine-tuning: Kumar et al. 2022 (LP-FT).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from acclimate.arms.arm_task import shared_settings
from acclimate.config_finetune import FinetuneSpec
from acclimate.core.evidence import PRETRAINED
from acclimate.core.probe import fit_probe
from acclimate.errors import DataError
from acclimate.nn.job import LabelledRows, MaskedJob, TrainResult
from acclimate.nn.masked_lm import pretrained
from acclimate.nn.model import AdaptedModel
from acclimate.nn.pretraining import held_out_loss
from acclimate.records import Pretraining

HELD_OUT_SHARE = 0.05
FEWEST_HELD_OUT, MOST_HELD_OUT = 20, 1000
FOLDER = "pretraining"


@dataclass(frozen=True)
class PretrainingTexts:
    """Texts without labels.

    Args:
        train: to train on.
        held_out: to choose the epoch by.
        pool: how many of both are the pool's.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    pool: int

    @classmethod
    def of(cls, rows: Sequence[str], pool: Sequence[str]) -> PretrainingTexts:
        """Part the texts of the training rows and of the pool, both in the random order of their row ids.

        Raises:
            DataError: E-TRAIN-021, there are fewer than two texts.
        """
        parted, rest = (pool, rows) if pool else (rows, ())
        if len(parted) < 2:
            hint = "give a pool of more texts, or leave tapt out"
            raise DataError("E-TRAIN-021", f"{len(parted)} text is too little to pretrain on", where="pool", hint=hint)
        held_out = min(max(round(HELD_OUT_SHARE * len(parted)), FEWEST_HELD_OUT), MOST_HELD_OUT, len(parted) // 2)
        return cls((*parted[held_out:], *rest), tuple(parted[:held_out]), len(pool))


@dataclass(frozen=True)
class PretrainedStart:
    """What training starts from instead of the source model and the baseline's probe.

    Args:
        folder: the pretrained encoder with the refitted probe as its head.
        model: the same, loaded.
        facts: how it was made.
        seconds: what the pretraining took.
    """

    folder: Path
    model: AdaptedModel
    facts: Pretraining
    seconds: float


class Pretrainer:
    """Makes the start once, whatever number of trainings begin at it.

    Args:
        frozen: the baseline's model.
        source: folder of the source model.
        rows: the labelled training rows, which the probe is refitted on.
        pool: reads texts without labels, in the random order of their row ids; none without a pool.
        probe_c: the probe's inverse penalty, as the baseline chose it.
        max_length: tokens of a text that are read.
        config: how arms are trained.
        precision: what each strategy is trained in; pretraining is in that of the one that it is for.
        train: trains a job.
    """

    def __init__(
        self,
        frozen: AdaptedModel,
        source: Path,
        rows: LabelledRows,
        pool: Callable[[], Sequence[str]],
        *,
        probe_c: float | None,
        max_length: int,
        config: FinetuneSpec,
        precision: Mapping[str, Literal["fp32", "bf16"]],
        train: Callable[[MaskedJob], TrainResult],
    ) -> None:
        self._frozen, self._source, self._rows, self._pool = frozen, source, rows, pool
        self._probe_c, self._max_length = probe_c, max_length
        self._config, self._precision, self._train = config, precision, train
        self.start: PretrainedStart | None = None
        """The start once it is made."""

    def started(self, settings: Mapping[str, Any], checkpoints: Path) -> PretrainedStart:
        """The start; what an earlier run finished of the pretraining is not done again.

        Args:
            settings: the strategy's own.
            checkpoints: folder of the stage's checkpoints.
        """
        if self.start is None:
            self.start = self._made(settings, checkpoints)
        return self.start

    def _made(self, settings: Mapping[str, Any], checkpoints: Path) -> PretrainedStart:
        pool = self._pool()[: int(settings["max_pool_rows"])]
        texts = PretrainingTexts.of([str(text) for text in self._rows.inputs], pool)
        job = self.job(texts, settings, checkpoints / FOLDER)
        result = self._train(job)
        before, new_head = held_out_loss(job)
        encoder = pretrained(job, result.weights[0]).computing_in(self._frozen.encoder.precision)
        assert self._probe_c is not None, "the baseline of a classifier has a probe"
        probe = fit_probe(
            encoder.embed(self._rows.inputs), self._rows.labels, len(self._frozen.labels), c=self._probe_c
        )
        model = AdaptedModel.build(
            encoder, probe.weight, probe.bias, self._frozen.labels, strategy=job.strategy, source=self._frozen.source
        )
        # beside the checkpoints: what lies in a job's own folder and is not its checkpoint's is deleted
        folder = checkpoints / f"{FOLDER}-start"
        shutil.rmtree(folder, ignore_errors=True)
        digest = model.save(folder)
        facts = Pretraining(
            rows=len(texts.train),
            pool_rows=texts.pool,
            held_out_rows=len(texts.held_out),
            epochs=len(result.history),
            best_epoch=result.best_epoch,
            loss_before=before,
            loss_after=result.history[result.best_epoch - 1].validation_loss,
            new_head=new_head,
            start_digest=digest,
        )
        return PretrainedStart(folder, model, facts, result.seconds)

    def job(self, texts: PretrainingTexts, settings: Mapping[str, Any], folder: Path) -> MaskedJob:
        """The pretraining as a job."""
        own: dict[str, Any] = {
            "learning_rate": settings["pretraining_learning_rate"],
            "masked_share": settings["masked_share"],
        }
        return MaskedJob(
            strategy=PRETRAINED,
            settings=own,
            source=self._source,
            source_digest=self._frozen.source.digest,
            train=texts.train,
            held_out=texts.held_out,
            metric="masked_loss",
            epochs=int(settings["pretraining_epochs"]),
            schedule=self._config.schedule,
            keep=1,
            max_length=self._max_length,
            precision=self._precision[PRETRAINED],
            folder=folder,
            **shared_settings(self._config),
        )
