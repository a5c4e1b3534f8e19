"""Stage ``finetune``: trains the arms the decision asks for and picks the one to hand on (rule R8)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from safetensors.numpy import load_file

from acclimate.config import Goal
from acclimate.config_finetune import FinetuneSpec
from acclimate.core.arm_choice import ArmResult, choose_arm
from acclimate.core.halving import successive_halving
from acclimate.core.judge import Judge
from acclimate.core.metrics import IntArray
from acclimate.core.paired import Bounds, PairedDifference
from acclimate.core.pareto import undominated
from acclimate.core.reliability import fit_temperature
from acclimate.errors import IntegrityError
from acclimate.examples import read_examples
from acclimate.nn.averaging import between
from acclimate.nn.blending import Blended, blended
from acclimate.nn.job import FloatArray, LabelledRows, Schedule, TrainJob, TrainResult
from acclimate.nn.model import AdaptedModel
from acclimate.nn.source_task import SourceKnowledge
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.training_model import Trained
from acclimate.ports import Progress, Trainer, silent
from acclimate.records import (
    Arm,
    ArmCost,
    BaselineReport,
    BlendPoint,
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
# of the line to the source: each point costs an embedding of the source's rows
CURVE_ALPHAS = (0.2, 0.5, 0.8, 1.0)
SOURCE_ROWS = (800, 500)


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
    source: Trained
    knowledge: SourceKnowledge | None

    def cost(self, strategy: str) -> ArmCost:
        return next(cost for cost in self.decision.costs if cost.strategy == strategy)

    def settings(self, strategy: str) -> dict[str, float | int]:
        chosen = STRATEGIES[strategy]
        penalties = self.decision.penalties if chosen.starts_from_probe else {}
        if not chosen.trains_source_weights:
            penalties = {name: weight for name, weight in penalties.items() if name != "l2_sp"}
        return {**self.config.settings_of(strategy), **penalties}


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
            LabelledRows(train.inputs, train.labels),
            LabelledRows(validation.inputs, validation.labels),
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
        source=Trained(frozen.encoder, frozen.weight, frozen.bias),
        knowledge=SourceKnowledge.measured(
            data, frozen.encoder, "validation", SOURCE_ROWS, metric=goal.metric, bootstraps=BOOTSTRAPS, seed=config.seed
        ),
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
    train: LabelledRows,
    validation: LabelledRows,
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
        keep=config.soup,
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
        source_change=None if stage.knowledge is None else Interval(point=0.0, low=0.0, high=0.0),
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
        else _tried(stage, arm, "arm", halving.rung_scores[arm], last[arm], _classes(last[arm].validation_outputs))
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
    """Train on the full schedule, average and interpolate, and write the model with its temperature."""
    job = _job(stage, strategy, "full", stage.cost(strategy).epochs)
    result = _train(stage, job, seconds)

    def adapted(parts: Trained, temperature: float = 1.0) -> AdaptedModel:
        given = (parts.encoder, parts.weight, parts.bias, stage.frozen.labels)
        return AdaptedModel.build(*given, strategy=strategy, source=stage.card, temperature=temperature)

    def score(parts: Trained) -> float:
        # of the merged model as it is served, not of the one in training
        predicted = _classes(adapted(parts).logits(job.validation.inputs))
        return stage.judge.point(predicted)

    stage.progress("blending", strategy=strategy, says="averaging the best epochs, looking between them and the source")
    found = blended(job, result, score, source=stage.source if stage.config.interpolate else None)
    logits = adapted(found.model).logits(job.validation.inputs)
    model = adapted(found.model, fit_temperature(logits, stage.judge.truth))
    digest = model.save(stage.out / "arms" / strategy / "model")
    tried = _tried(stage, strategy, role, rung_scores, result, _classes(logits), model_digest=digest)
    more: dict[str, object] = {"epochs_averaged": list(found.epochs)}
    if len(found.scores) > 1:
        more["alpha"] = found.alpha
    if role == "arm":
        more |= _kept_of_the_source(stage, found)
    return replace(tried, record=tried.record.model_copy(update=more))


def _kept_of_the_source(stage: _Stage, found: Blended) -> dict[str, object]:
    """The line to the source, and what the features still know of the source's task along it."""
    known: dict[float, float] = {}
    more: dict[str, object] = {}
    if stage.knowledge is not None:
        looked_at = [alpha for alpha in found.scores if alpha in (*CURVE_ALPHAS, found.alpha)]
        answers = {a: stage.knowledge.answers(between(stage.source, found.tuned, a).encoder) for a in looked_at}
        known = {alpha: stage.knowledge.score(answer) for alpha, answer in answers.items()}
        more["source_change"] = _interval(stage.knowledge.change(answers[found.alpha]))
    if len(found.scores) > 1:
        more["blends"] = [
            BlendPoint(alpha=alpha, score=score, source_score=known.get(alpha)) for alpha, score in found.scores.items()
        ]
    return more


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
    front = _front(list(full.values()))
    return FinetuneReport(
        metric=stage.job.metric,
        arms=[
            one.record.model_copy(
                update={
                    "against_best": against[one.record.strategy] if one.record.role == "arm" else None,
                    "chosen": one.record.role == "arm" and one.record.strategy == choice.strategy,
                    "on_front": one.record.strategy in front,
                }
            )
            for one in tried
        ],
        chosen=choice.strategy,
        rule=RuleRecord.model_validate(asdict(choice.finding)),
        precision=stage.job.precision,
        workers=stage.trainer.workers,
        source_score=None if stage.knowledge is None else stage.knowledge.score(),
    )


def _front(arms: list[Arm]) -> set[str]:
    """Arms that no other beats in both what is gained and what is kept; none where that was not measured."""
    measured = [arm for arm in arms if arm.source_change is not None]
    points = [(arm.score.point, arm.source_change.point) for arm in measured if arm.source_change is not None]
    return {arm.strategy for arm, stays in zip(measured, undominated(points), strict=True) if stays}


def _classes(logits: FloatArray) -> IntArray:
    return np.asarray(logits.argmax(axis=1), dtype=np.int64)


def _interval(bounds: Bounds | PairedDifference) -> Interval:
    return Interval(point=bounds.point, low=bounds.low, high=bounds.high)
