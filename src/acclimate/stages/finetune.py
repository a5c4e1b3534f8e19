"""Stage ``finetune``: trains the arms the decision asks for and picks the one to hand on (rule R8)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import load_file

from acclimate.config import FinetuneSpec, Goal
from acclimate.core.arm_choice import ArmResult, choose_arm
from acclimate.core.halving import successive_halving
from acclimate.core.judge import Judge
from acclimate.core.metrics import IntArray
from acclimate.core.paired import Bounds, PairedDifference
from acclimate.core.reliability import fit_temperature
from acclimate.errors import IntegrityError
from acclimate.examples import read_examples
from acclimate.nn.job import FloatArray, LabelledTexts, Schedule, TrainJob, TrainResult
from acclimate.nn.model import AdaptedModel
from acclimate.nn.training_model import finish
from acclimate.ports import Progress, Trainer, silent
from acclimate.records import (
    Arm,
    ArmCost,
    BaselineReport,
    Calibration,
    DataCard,
    Decision,
    FinetuneReport,
    Interval,
    RuleRecord,
    SourceCard,
)

Role = Literal["arm", "control"]
FROZEN = "frozen"
BOOTSTRAPS = 2000


@dataclass(frozen=True)
class _Stage:
    """What all arms share; ``job`` is the pattern of each training."""

    job: TrainJob
    judge: Judge
    card: SourceCard
    frozen: AdaptedModel
    decision: Decision
    config: FinetuneSpec
    trainer: Trainer
    checkpoints: Path
    out: Path
    progress: Progress

    def cost(self, strategy: str) -> ArmCost:
        return next(cost for cost in self.decision.costs if cost.strategy == strategy)

    def settings(self, strategy: str) -> dict[str, float | int]:
        section = getattr(self.config, strategy).model_dump()
        return {name: value for name, value in section.items() if value is not None}


@dataclass(frozen=True)
class _Tried:
    """One arm after training: its record but for the comparison, and its predictions on validation."""

    record: Arm
    predicted: IntArray


def finetune(
    data: Path,
    source: Path,
    source_card: SourceCard,
    baseline: Path,
    decision: Path,
    calibration: Calibration,
    *,
    config: FinetuneSpec,
    goal: Goal,
    max_length: int | None,
    trainer: Trainer,
    checkpoints: Path,
    out: Path,
    progress: Progress = silent,
) -> FinetuneReport:
    """Train arms by successive halving and controls in full, then choose among what was trained fully.

    Writes ``finetune_report.json``, ``arms/<strategy>/model`` for each arm and control trained fully, and
    ``timing.json`` with the seconds spent on each.

    Args:
        data: ingest's folder; target's train (to fit) and validation (to choose) are read.
        source: folder of the source model.
        source_card: what the source model is.
        baseline: baseline's folder; its frozen model takes part as the arm ``frozen``.
        decision: decide's folder.
        calibration: stored throughput; its precision is used.
        config: how arms are trained.
        goal: the metric, and the tolerance between arms.
        max_length: tokens of a text that are read; None takes the frozen model's.
        trainer: trains one arm.
        checkpoints: folder that outlives a killed run; arms finished in it are not trained again.
        out: folder for the results, there already.
        progress: told of each epoch.

    Raises:
        ModelError: E-TRAIN-001..003, training failed; or the source can't be loaded.
        IntegrityError: E-TRAIN-020, the baseline's validation logits don't fit; or a record is missing.
    """
    labels = DataCard.read(data).target.labels
    train, validation = (read_examples(data, "target", [split], labels) for split in ("train", "validation"))
    assert labels is not None, "decide refuses targets without labels"
    assert train.labels is not None, "labels were asked for"
    assert validation.labels is not None, "labels were asked for"
    frozen = AdaptedModel.load(baseline / "model")
    stage = _Stage(
        job=_pattern(
            LabelledTexts(tuple(train.texts), train.labels),
            LabelledTexts(tuple(validation.texts), validation.labels),
            source=source,
            source_digest=source_card.digest,
            frozen=frozen,
            max_length=max_length or frozen.max_length,
            precision=calibration.precision,
            metric=goal.metric,
            config=config,
        ),
        judge=Judge(goal.metric, validation.labels, len(labels), BOOTSTRAPS, config.seed, validation.groups),
        card=source_card,
        frozen=frozen,
        decision=Decision.read(decision),
        config=config,
        trainer=trainer,
        checkpoints=checkpoints,
        out=out,
        progress=progress,
    )
    seconds: dict[str, float] = {}
    tried = [_frozen(stage, baseline), *_arms(stage, seconds)]
    tried += [_trained(stage, name, "control", [], seconds) for name in stage.decision.controls]
    report = _report(stage, tried, goal.min_gain)
    report.write(out)
    timing = json.dumps({name: round(value, 3) for name, value in seconds.items()}, indent=1, sort_keys=True)
    (out / "timing.json").write_text(timing + "\n", encoding="utf-8")
    return report


def _pattern(
    train: LabelledTexts,
    validation: LabelledTexts,
    *,
    source: Path,
    source_digest: str,
    frozen: AdaptedModel,
    max_length: int,
    precision: Literal["fp32", "bf16"],
    metric: str,
    config: FinetuneSpec,
) -> TrainJob:
    """A job without strategy; see :func:`_job`."""
    return TrainJob(
        strategy="",
        settings={},
        source=source,
        source_digest=source_digest,
        probe_weight=frozen.weight,
        probe_bias=frozen.bias,
        train=train,
        validation=validation,
        metric=metric,
        epochs=0,
        schedule="full",
        batch_size=config.batch_size,
        warmup=config.warmup,
        weight_decay=config.weight_decay,
        clip_norm=config.clip_norm,
        patience=config.patience,
        seed=config.seed,
        max_length=max_length,
        precision=precision,
        folder=Path(),
    )


def _frozen(stage: _Stage, baseline: Path) -> _Tried:
    """The baseline as an arm: nothing to train, its validation logits are stored."""
    report, path = BaselineReport.read(baseline), baseline / "validation.safetensors"
    shape = (len(stage.judge.truth), len(stage.frozen.labels))
    logits = load_file(path)["logits"] if path.is_file() else np.empty((0, 0), dtype=np.float32)
    if logits.shape != shape:
        raise IntegrityError(
            "E-TRAIN-020",
            f"the baseline's validation logits have shape {logits.shape}, the data need {shape}",
            where=str(path),
            hint="run baseline again on these data",
        )
    predicted = _classes(logits)
    head = stage.frozen.weight.size + stage.frozen.bias.size
    record = Arm(
        strategy=FROZEN,
        role="arm",
        score=_interval(stage.judge.score(predicted)),
        rung_scores=[],
        trained_fully=True,
        epochs=0,
        best_epoch=0,
        curve=[],
        trained_parameters=head,
        total_parameters=stage.card.parameters + head,
        settings={"probe_c": report.probe_c},
        expected_seconds=0.0,
        against_best=None,
        chosen=False,
        model_digest=report.model_digest,
    )
    return _Tried(record, predicted)


def _arms(stage: _Stage, seconds: dict[str, float]) -> list[_Tried]:
    """All arms, in the decision's order: the survivor trained fully, the others as far as they came."""
    arms = [arm for arm in stage.decision.arms if arm != FROZEN]
    if not arms:
        return []
    last: dict[str, TrainResult] = {}

    def rung(arm: str, epochs: int) -> float:
        last[arm] = _train(stage, _job(stage, arm, "rung", epochs), seconds)
        return last[arm].best_score

    halving = successive_halving({arm: stage.cost(arm).epochs for arm in arms}, rung)
    stage.progress("arm_survived", strategy=halving.survivor, rung_scores=halving.rung_scores)
    return [
        _trained(stage, arm, "arm", halving.rung_scores[arm], seconds)
        if arm == halving.survivor
        else _tried(stage, arm, "arm", halving.rung_scores[arm], last[arm], _classes(last[arm].validation_logits))
        for arm in arms
    ]


def _job(stage: _Stage, strategy: str, schedule: Schedule, epochs: int) -> TrainJob:
    folder = stage.checkpoints / f"{strategy}-{schedule}-{epochs}"
    settings = stage.settings(strategy)
    return replace(stage.job, strategy=strategy, settings=settings, schedule=schedule, epochs=epochs, folder=folder)


def _train(stage: _Stage, job: TrainJob, seconds: dict[str, float]) -> TrainResult:
    result = stage.trainer.train(job, progress=stage.progress)
    seconds[job.strategy] = seconds.get(job.strategy, 0.0) + result.seconds
    return result


def _trained(stage: _Stage, strategy: str, role: Role, rung_scores: list[float], seconds: dict[str, float]) -> _Tried:
    """Train on the full schedule and write the model, its temperature fitted on validation."""
    job = _job(stage, strategy, "full", stage.cost(strategy).epochs)
    result = _train(stage, job, seconds)
    trained = finish(job, result)
    parts = (trained.encoder, trained.weight, trained.bias, stage.frozen.labels)
    plain = AdaptedModel.build(*parts, strategy=strategy, source=stage.card)
    # of the merged model as it is served, not of the one in training
    logits = plain.logits(job.validation.texts)
    temperature = fit_temperature(logits, stage.judge.truth)
    model = AdaptedModel.build(*parts, strategy=strategy, source=stage.card, temperature=temperature)
    digest = model.save(stage.out / "arms" / strategy / "model")
    return _tried(stage, strategy, role, rung_scores, result, _classes(logits), model_digest=digest)


def _tried(
    stage: _Stage,
    strategy: str,
    role: Role,
    rung_scores: list[float],
    result: TrainResult,
    predicted: IntArray,
    *,
    model_digest: str | None = None,
) -> _Tried:
    config = stage.config
    shared = {name: getattr(config, name) for name in ("batch_size", "warmup", "weight_decay", "clip_norm", "patience")}
    record = Arm(
        strategy=strategy,
        role=role,
        score=_interval(stage.judge.score(predicted)),
        rung_scores=rung_scores,
        trained_fully=model_digest is not None,
        epochs=len(result.history),
        best_epoch=result.best_epoch,
        curve=list(result.history),
        trained_parameters=result.trained_parameters,
        total_parameters=result.total_parameters,
        settings={**shared, "seed": config.seed, **stage.settings(strategy)},
        expected_seconds=stage.cost(strategy).seconds,
        against_best=None,
        chosen=False,
        model_digest=model_digest,
    )
    return _Tried(record, predicted)


def _report(stage: _Stage, tried: list[_Tried], tolerance: float) -> FinetuneReport:
    """Compare the arms with the best of those trained fully, and choose by R8."""
    arms = {one.record.strategy: one for one in tried if one.record.role == "arm"}
    full = {name: one.record for name, one in arms.items() if one.record.trained_fully}
    best = max(full, key=lambda name: (full[name].score.point, -full[name].expected_seconds))
    against = {
        name: _interval(stage.judge.difference(one.predicted, arms[best].predicted)) for name, one in arms.items()
    }
    choice = choose_arm(
        [ArmResult(name, arm.expected_seconds, arm.score.point, against[name].low) for name, arm in full.items()],
        tolerance,
    )
    records = [one.record for one in tried]
    return FinetuneReport(
        metric=stage.job.metric,
        arms=[
            record.model_copy(
                update={
                    "against_best": against[record.strategy] if record.role == "arm" else None,
                    "chosen": record.role == "arm" and record.strategy == choice.strategy,
                }
            )
            for record in records
        ],
        chosen=choice.strategy,
        rule=RuleRecord.model_validate(asdict(choice.finding)),
        precision=stage.job.precision,
        workers=stage.trainer.workers,
    )


def _classes(logits: FloatArray) -> IntArray:
    return np.asarray(logits.argmax(axis=1), dtype=np.int64)


def _interval(bounds: Bounds | PairedDifference) -> Interval:
    return Interval(point=bounds.point, low=bounds.low, high=bounds.high)
