"""Arms of classification: started from the probe, averaged, interpolated with the source, given a temperature."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from safetensors.numpy import load_file

from acclimate.arms.arm_task import Dropped, Finished, FrozenArm, Preparation, Role, shared_settings
from acclimate.arms.pretraining import Pretrainer
from acclimate.config_finetune import FinetuneSpec
from acclimate.core.judge import Judge
from acclimate.core.metrics import IntArray
from acclimate.core.reliability import fit_temperature
from acclimate.errors import IntegrityError
from acclimate.examples import read_examples
from acclimate.nn.averaging import between
from acclimate.nn.blending import Blended, blended
from acclimate.nn.encoder import Encoder
from acclimate.nn.frozen import frozen_on_train
from acclimate.nn.job import FloatArray, Job, LabelledRows, Schedule, TrainJob, TrainResult
from acclimate.nn.model import AdaptedModel
from acclimate.nn.source_task import SourceKnowledge
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.training_model import Trained, finish
from acclimate.ports import Progress, Trainer
from acclimate.records import BaselineReport, BlendPoint, DataCard, Interval, SourceCard

BOOTSTRAPS = 2000
# of the line to the source: each point costs an embedding of the source's rows
CURVE_ALPHAS = (0.2, 0.5, 0.8, 1.0)
SOURCE_ROWS = (800, 500)


class Classifying:
    """The port ``ArmTask`` for classifiers.

    Args:
        data: ingest's folder; target's train (to fit) and validation (to choose) are read.
        source: folder of the source model.
        source_card: what the source model is.
        baseline: baseline's folder.
        config: how arms are trained.
        metric: the goal's.
        max_length: tokens of a text that are read; None takes the frozen model's.
        precision: what each strategy is trained in.
        trainer: trains what has to be trained before an arm.
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
        metric: str,
        max_length: int | None,
        precision: Mapping[str, Literal["fp32", "bf16"]],
        trainer: Trainer,
        progress: Progress,
    ) -> None:
        card = DataCard.read(data)
        labels = card.target.labels
        train, validation = (read_examples(data, "target", [split], labels) for split in ("train", "validation"))
        assert labels is not None, "decide refuses targets without labels"
        assert train.labels is not None, "labels were asked for"
        assert validation.labels is not None, "labels were asked for"
        self.judge = Judge(metric, validation.labels, len(labels), BOOTSTRAPS, config.seed, validation.groups)
        self._train = LabelledRows(train.inputs, train.labels)
        self._validation = LabelledRows(validation.inputs, validation.labels)
        self._source, self._card, self._baseline = source, source_card, baseline
        self._frozen = frozen_on_train(baseline)
        self._config, self._metric, self._precision, self._progress = config, metric, precision, progress
        self._max_length = max_length or self._frozen.max_length
        self._pretrainer = Pretrainer(
            self._frozen,
            source,
            self._train,
            lambda: read_examples(data, "pool", ["train"], None).texts if card.pool else [],
            probe_c=BaselineReport.read(baseline).probe_c,
            max_length=self._max_length,
            config=config,
            precision=precision,
            train=lambda job: trainer.train(job, progress=_of_pretraining(progress)),
        )
        self._knowledge = SourceKnowledge.measured(
            data,
            self._frozen.encoder,
            "validation",
            SOURCE_ROWS,
            metric=metric,
            bootstraps=BOOTSTRAPS,
            seed=config.seed,
        )

    @property
    def source_score(self) -> float | None:
        """Of the source model, by a probe on its features."""
        return None if self._knowledge is None else self._knowledge.score()

    def frozen(self) -> FrozenArm:
        """The baseline's stored logits.

        Raises:
            IntegrityError: E-TRAIN-020, they don't fit the data.
        """
        report, path = BaselineReport.read(self._baseline), self._baseline / "validation.safetensors"
        shape = (len(self._validation), len(self._frozen.labels))
        logits = load_file(path)["logits"] if path.is_file() else np.empty((0, 0), dtype=np.float32)
        if logits.shape != shape:
            raise IntegrityError(
                "E-TRAIN-020",
                f"the baseline's validation logits have shape {logits.shape}, the data need {shape}",
                where=str(path),
                hint="run baseline again on these data",
            )
        return FrozenArm(
            _classes(logits),
            report.model_digest,
            self._frozen.weight.size + self._frozen.bias.size,
            {} if report.probe_c is None else {"probe_c": report.probe_c},
            keeps_the_source=self._knowledge is not None,
        )

    def job(
        self, strategy: str, settings: Mapping[str, Any], schedule: Schedule, epochs: int, folder: Path
    ) -> TrainJob:
        """A training that starts from the source and the baseline's head, or from what was pretrained before it."""
        source, start, digest = self._source, self._frozen, self._card.digest
        if STRATEGIES[strategy].pretrains:
            made = self._pretrainer.started(settings, folder.parent)
            source, start, digest = made.folder, made.model, made.facts.start_digest
        return TrainJob(
            strategy=strategy,
            settings=settings,
            source=source,
            source_digest=digest,
            probe_weight=start.weight,
            probe_bias=start.bias,
            train=self._train,
            validation=self._validation,
            metric=self._metric,
            epochs=epochs,
            schedule=schedule,
            keep=self._config.soup,
            max_length=self._max_length,
            precision=self._precision[strategy],
            folder=folder,
            **shared_settings(self._config),
        )

    def preparation(self, strategy: str) -> Preparation:
        """The pretraining of an arm that has one."""
        start = self._pretrainer.start
        if start is None or not STRATEGIES[strategy].pretrains:
            return Preparation(0.0, {})
        return Preparation(start.seconds, {"pretraining": start.facts})

    def dropped(self, job: Job, result: TrainResult) -> Dropped:
        """The best epoch's classes, and what its features still know of the source's task."""
        assert isinstance(job, TrainJob), "made by this task"
        facts: dict[str, object] = {}
        if self._knowledge is not None:
            answers = self._knowledge.answers(self._served(finish(job, result.weights[0]).encoder))
            facts["source_change"] = _source_change(self._knowledge, answers)
        return Dropped(_classes(result.validation_outputs), facts)

    def finished(self, job: Job, result: TrainResult, role: Role, folder: Path) -> Finished:
        """Average and interpolate, and write the model with its temperature."""
        assert isinstance(job, TrainJob), "made by this task"

        def adapted(parts: Trained, temperature: float = 1.0) -> AdaptedModel:
            given = (self._served(parts.encoder), parts.weight, parts.bias, self._frozen.labels)
            return AdaptedModel.build(*given, strategy=job.strategy, source=self._card, temperature=temperature)

        def score(parts: Trained) -> float:
            # of the merged model as it is served, not of the one in training
            return self.judge.point(_classes(adapted(parts).logits(job.validation.inputs)))

        self._progress(
            "blending",
            strategy=job.strategy,
            says="averaging the best epochs, looking between them and the source",
        )
        source = Trained(self._frozen.encoder, self._frozen.weight, self._frozen.bias)
        found = blended(job, result, score, source=source if self._config.interpolate else None)
        logits = adapted(found.model).logits(job.validation.inputs)
        model = adapted(found.model, fit_temperature(logits, job.validation.labels))
        facts: dict[str, object] = {"epochs_averaged": list(found.epochs)}
        if len(found.scores) > 1:
            facts["alpha"] = found.alpha
        if role == "arm":
            facts |= self._kept_of_the_source(found, source)
        return Finished(_classes(logits), model.save(folder), facts)

    def _served(self, encoder: Encoder) -> Encoder:
        """An encoder as it predicts: in the precision of the frozen one, whatever it was trained in.

        Else what is compared, along the line to the source too, would differ by more than its weights.
        """
        return encoder.computing_in(self._frozen.encoder.precision)

    def _kept_of_the_source(self, found: Blended, source: Trained) -> dict[str, object]:
        """The line to the source, and what the features still know of the source's task along it."""
        known: dict[float, float] = {}
        facts: dict[str, object] = {}
        if self._knowledge is not None:
            looked_at = [alpha for alpha in found.scores if alpha in (*CURVE_ALPHAS, found.alpha)]
            encoders = {a: self._served(between(source, found.tuned, a).encoder) for a in looked_at}
            answers = {a: self._knowledge.answers(encoder) for a, encoder in encoders.items()}
            known = {alpha: self._knowledge.score(answer) for alpha, answer in answers.items()}
            facts["source_change"] = _source_change(self._knowledge, answers[found.alpha])
        if len(found.scores) > 1:
            facts["blends"] = [
                BlendPoint(alpha=alpha, score=score, source_score=known.get(alpha))
                for alpha, score in found.scores.items()
            ]
        return facts


def _source_change(knowledge: SourceKnowledge, answers: IntArray) -> Interval:
    change = knowledge.change(answers)
    return Interval(point=change.point, low=change.low, high=change.high)


def _of_pretraining(progress: Progress) -> Progress:
    """Tells epochs of a pretraining from those of the training after it."""

    def told(event: str, /, **fields: Any) -> None:
        progress(event, **(fields | {"schedule": "pretraining"} if event == "epoch" else fields))

    return told


def _classes(logits: FloatArray) -> IntArray:
    return np.asarray(logits.argmax(axis=1), dtype=np.int64)
