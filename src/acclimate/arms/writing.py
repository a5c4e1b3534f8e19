"""Arms of text generation: a language model is trained, merged, and asked without examples in its prompt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file

from acclimate.arms.arm_task import Dropped, Finished, FrozenArm, Preparation, Role, shared_settings
from acclimate.config_finetune import FinetuneSpec
from acclimate.config_generation import GenerationSpec
from acclimate.core.judge import MeanJudge
from acclimate.core.metrics import FloatArray
from acclimate.errors import IntegrityError
from acclimate.examples import read_examples
from acclimate.nn.causal.judged import pairs_of, scores
from acclimate.nn.causal.model import finish
from acclimate.nn.causal.source_text import SourceText
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.nn.job import Job, Schedule, TrainResult, WritingJob
from acclimate.ports import Progress
from acclimate.records import BaselineReport, SourceCard

BOOTSTRAPS = 2000


class Writing:
    """The port ``ArmTask`` for causal language models.

    Args:
        data: ingest's folder; target's train (to fit) and validation (to choose) are read.
        source: folder of the source model.
        source_card: what the source model is.
        baseline: baseline's folder.
        config: how arms are trained.
        generation: how texts are written.
        metric: the goal's.
        precision: what each strategy is trained in.
        progress: told of what is done.
    """

    def __init__(
        self,
        data: Path,
        source: Path,
        source_card: SourceCard,
        baseline: Path,
        *,
        config: FinetuneSpec,
        generation: GenerationSpec,
        metric: str,
        precision: Mapping[str, Literal["fp32", "bf16"]],
        progress: Progress,
    ) -> None:
        train, validation = (read_examples(data, "target", [split], None) for split in ("train", "validation"))
        self.judge = MeanJudge(BOOTSTRAPS, config.seed, validation.groups)
        self._train, self._validation = pairs_of(train), pairs_of(validation)
        self._source, self._card, self._baseline = source, source_card, baseline
        self._config, self._generation = config, generation
        self._metric, self._precision, self._progress = metric, precision, progress
        self._frozen = Writer.load(baseline / "model")
        self._known = SourceText.measured(
            data,
            self._frozen,
            "validation",
            max_length=generation.max_length,
            bootstraps=BOOTSTRAPS,
            seed=config.seed,
            progress=progress,
        )

    @property
    def source_score(self) -> float | None:
        """Share of the tokens of the source's own texts that the source model would write."""
        return None if self._known is None else self._known.score()

    def frozen(self) -> FrozenArm:
        """The baseline's stored scores.

        Raises:
            IntegrityError: E-TRAIN-020, they don't fit the data.
        """
        path = self._baseline / "validation.safetensors"
        stored = load_file(path)["scores"] if path.is_file() else np.empty(0)
        if stored.shape != (len(self._validation),):
            raise IntegrityError(
                "E-TRAIN-020",
                f"the baseline's validation scores have shape {stored.shape}, the data need ({len(self._validation)},)",
                where=str(path),
                hint="run baseline again on these data",
            )
        digest = BaselineReport.read(self._baseline).model_digest
        shots = {"shots": len(self._frozen.prompting.shots)}
        return FrozenArm(stored.astype(np.float64), digest, 0, shots, keeps_the_source=self._known is not None)

    def job(
        self, strategy: str, settings: Mapping[str, Any], schedule: Schedule, epochs: int, folder: Path
    ) -> WritingJob:
        """A training on the answers' tokens."""
        return WritingJob(
            strategy=strategy,
            settings=settings,
            source=self._source,
            source_digest=self._card.digest,
            train=self._train,
            validation=self._validation,
            metric="token_accuracy",
            epochs=epochs,
            schedule=schedule,
            keep=1,
            max_length=self._generation.max_length,
            precision=self._precision[strategy],
            folder=folder,
            **shared_settings(self._config),
        )

    def preparation(self, strategy: str) -> Preparation:  # noqa: ARG002 - the same for all
        """Nothing: every arm starts from the source model."""
        return Preparation(0.0, {})

    def dropped(self, job: Job, result: TrainResult) -> Dropped:
        """Scores of what the best epoch's model writes, and how well it still foretells the source's texts."""
        writer = self._writer(job, result)
        return Dropped(self._scores(writer), self._source_change(writer))

    def finished(self, job: Job, result: TrainResult, role: Role, folder: Path) -> Finished:
        """Merge the best epoch's weights, ask the model, and store it."""
        writer = self._writer(job, result)
        facts: dict[str, Any] = {"epochs_averaged": [result.best_epoch]}
        if role == "arm":
            facts |= self._source_change(writer)
        return Finished(self._scores(writer), writer.save(folder), facts)

    def _scores(self, writer: Writer) -> FloatArray:
        return scores(writer, self._validation, self._metric, progress=self._progress)

    def _source_change(self, writer: Writer) -> dict[str, Any]:
        if self._known is None:
            return {}
        return {"source_change": self._known.change(writer, progress=self._progress)[0]}

    def _writer(self, job: Job, result: TrainResult) -> Writer:
        assert isinstance(job, WritingJob), "made by this task"
        asked, spec = self._frozen.prompting, self._generation
        return Writer(
            finish(job, result.weights[0]),
            self._frozen.reader.tokenizer,
            Prompting(asked.has_prompts, (), spec.max_length, spec.max_new_tokens),
            # as the prompted model writes that it is compared with, whatever it was trained in
            precision=self._frozen.precision,
            strategy=job.strategy,
            source=self._card,
        )
