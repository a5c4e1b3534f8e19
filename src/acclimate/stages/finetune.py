"""Stage ``finetune``: trains the arms the decision asks for and picks the one to hand on (rule R8)."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.arms.arm_task import Answers, ArmTask, Role, fitting_penalties, shared_settings
from acclimate.arms.classifying import Classifying
from acclimate.arms.writing import Writing
from acclimate.config import Goal
from acclimate.config_finetune import FinetuneSpec
from acclimate.config_generation import GenerationSpec
from acclimate.core.arm_choice import ArmResult, choose_arm
from acclimate.core.halving import successive_halving
from acclimate.core.paired import Bounds, PairedDifference
from acclimate.core.pareto import undominated
from acclimate.errors import ModelError
from acclimate.nn.job import Job, Schedule, TrainResult
from acclimate.ports import Progress, Trainer, silent
from acclimate.records import (
    GENERATION_TASK,
    Arm,
    ArmCost,
    Calibration,
    DataCard,
    Decision,
    FinetuneReport,
    Interval,
    RuleRecord,
    SeedRun,
    SourceCard,
)

FROZEN = "frozen"
# what a rate too high ends in: an infinite gradient, or a loss that grows
DIVERGED = frozenset(("E-TRAIN-001", "E-TRAIN-003"))
SLOWER = 3.0
RETRIES = 2


@dataclass(frozen=True)
class _Stage:
    """What all arms share."""

    task: ArmTask
    card: SourceCard
    decision: Decision
    config: FinetuneSpec
    metric: str
    trainer: Trainer
    checkpoints: Path
    out: Path
    progress: Progress

    def cost(self, strategy: str) -> ArmCost:
        return next(cost for cost in self.decision.costs if cost.strategy == strategy)

    def settings(self, strategy: str) -> dict[str, Any]:
        return {**self.config.settings_of(strategy), **fitting_penalties(strategy, self.decision.penalties)}


@dataclass(frozen=True)
class _Tried:
    """One arm after training: its record but for the comparison, and its answers on validation."""

    record: Arm
    answers: Answers


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
    generation: GenerationSpec,
    trainer: Trainer,
    checkpoints: Path,
    out: Path,
    progress: Progress = silent,
) -> FinetuneReport:
    """Train arms by successive halving and controls in full, then choose among what was trained fully.

    Writes ``finetune_report.json``, ``arms/<strategy>/model`` for each arm and control trained fully,
    ``arms/<strategy>/seeds/<seed>/model`` for each further seed of the chosen arm, and ``timing.json`` with the seconds
    spent on each, and on what came before it.

    Args:
        data: ingest's folder; target's train (to fit) and validation (to choose) are read.
        source: folder of the source model.
        source_card: what the source model is.
        baseline: baseline's folder; its frozen model takes part as the arm ``frozen``.
        decision: decide's folder.
        calibration: stored throughput, and what precision each strategy is trained in.
        config: how arms are trained.
        goal: the metric, and the tolerance between arms.
        max_length: tokens of a text that are read; None takes the frozen model's. Not for text-generation.
        generation: how texts are written; for text-generation.
        trainer: trains one arm.
        checkpoints: folder that outlives a killed run; arms finished in it are not trained again.
        out: folder for the results, there already.
        progress: told of each epoch.

    Raises:
        ModelError: E-TRAIN-001..003, training failed; or the source can't be loaded.
        IntegrityError: E-TRAIN-020, the baseline's probe or validation answers don't fit; or a record is missing.
    """
    places = (data, source, source_card, baseline)
    task: ArmTask
    if DataCard.read(data).task == GENERATION_TASK:
        task = Writing(
            *places,
            config=config,
            generation=generation,
            metric=goal.metric,
            precision=calibration.precision,
            progress=progress,
        )
    else:
        task = Classifying(
            *places,
            config=config,
            metric=goal.metric,
            max_length=max_length,
            precision=calibration.precision,
            trainer=trainer,
            progress=progress,
        )
    stage = _Stage(
        task=task,
        card=source_card,
        decision=Decision.read(decision),
        config=config,
        metric=goal.metric,
        trainer=trainer,
        checkpoints=checkpoints,
        out=out,
        progress=progress,
    )
    seconds: dict[str, float] = {}
    tried = [_frozen(stage), *_arms(stage, seconds)]
    tried += [_trained(stage, name, "control", [], seconds) for name in stage.decision.controls]
    report = _with_seeds(stage, _report(stage, tried, goal.min_gain), seconds)
    report.write(out)
    timing = json.dumps({name: round(value, 3) for name, value in seconds.items()}, indent=1, sort_keys=True)
    (out / "timing.json").write_text(timing + "\n", encoding="utf-8")
    return report


def _frozen(stage: _Stage) -> _Tried:
    """The baseline as an arm: nothing to train, its validation answers are stored."""
    found = stage.task.frozen()
    record = Arm(
        strategy=FROZEN,
        role="arm",
        score=_interval(stage.task.judge.score(found.answers)),
        rung_scores=[],
        trained_fully=True,
        epochs=0,
        best_epoch=0,
        curve=[],
        trained_parameters=found.parameters,
        total_parameters=stage.card.parameters + found.parameters,
        settings=dict(found.settings),
        expected_seconds=0.0,
        against_best=None,
        chosen=False,
        model_digest=found.digest,
        source_change=Interval(point=0.0, low=0.0, high=0.0) if found.keeps_the_source else None,
    )
    return _Tried(record, found.answers)


def _arms(stage: _Stage, seconds: dict[str, float]) -> list[_Tried]:
    """All arms, in the decision's order: the survivor trained fully, the others as far as they came."""
    arms = [arm for arm in stage.decision.arms if arm != FROZEN]
    if not arms:
        return []
    last: dict[str, tuple[Job, TrainResult]] = {}

    def rung(arm: str, epochs: int) -> float:
        last[arm] = _train(stage, arm, "constant", epochs, seconds)
        return last[arm][1].best_score

    halving = successive_halving({arm: stage.cost(arm).epochs for arm in arms}, rung)
    stage.progress("arm_survived", strategy=halving.survivor, rung_scores=halving.rung_scores)
    return [
        _trained(stage, arm, "arm", halving.rung_scores[arm], seconds)
        if arm == halving.survivor
        else _dropped(stage, halving.rung_scores[arm], *last[arm])
        for arm in arms
    ]


def _train(
    stage: _Stage, strategy: str, schedule: Schedule, epochs: int, seconds: dict[str, float]
) -> tuple[Job, TrainResult]:
    """Train; where that diverges, again at a third of the rate, and once more at a ninth.

    Raises:
        ModelError: it still diverges, or anything else that training raises.
    """
    settings, folder = stage.settings(strategy), stage.checkpoints / f"{strategy}-{schedule}-{epochs}"
    for retry in range(RETRIES + 1):
        job = stage.task.job(strategy, settings, schedule, epochs, folder)
        before = stage.task.preparation(strategy).seconds
        if before and strategy not in seconds:
            seconds |= {strategy: before, f"{strategy}.pretraining": before}
        try:
            result = stage.trainer.train(job, progress=stage.progress)
        except ModelError as error:
            if error.code not in DIVERGED or retry == RETRIES:
                raise
            rate = settings["learning_rate"] / SLOWER
            settings = {**settings, "learning_rate": rate}
            folder = folder.with_name(f"{folder.name}-slower")
            says = f"{error.problems[0].message}; once more at the rate {rate:.2g}"
            stage.progress("diverged", strategy=strategy, says=says)
        else:
            break
    seconds[strategy] = seconds.get(strategy, 0.0) + result.seconds
    return job, result


def _trained(stage: _Stage, strategy: str, role: Role, rung_scores: list[float], seconds: dict[str, float]) -> _Tried:
    """Train on the full schedule, and store the model that would be served."""
    job, result = _train(stage, strategy, stage.config.schedule, stage.cost(strategy).epochs, seconds)
    found = stage.task.finished(job, result, role, stage.out / "arms" / strategy / "model")
    tried = _tried(stage, role, rung_scores, job, result, found.answers, model_digest=found.digest)
    return replace(tried, record=tried.record.model_copy(update=dict(found.facts)))


def _dropped(stage: _Stage, rung_scores: list[float], job: Job, result: TrainResult) -> _Tried:
    """An arm as far as successive halving let it come."""
    found = stage.task.dropped(job, result)
    tried = _tried(stage, "arm", rung_scores, job, result, found.answers)
    return replace(tried, record=tried.record.model_copy(update=dict(found.facts)))


def _tried(
    stage: _Stage,
    role: Role,
    rung_scores: list[float],
    job: Job,
    result: TrainResult,
    answers: Answers,
    *,
    model_digest: str | None = None,
) -> _Tried:
    record = Arm(
        strategy=job.strategy,
        role=role,
        score=_interval(stage.task.judge.score(answers)),
        rung_scores=rung_scores,
        trained_fully=model_digest is not None,
        epochs=len(result.history),
        best_epoch=result.best_epoch,
        curve=list(result.history),
        trained_parameters=result.trained_parameters,
        total_parameters=result.total_parameters,
        precision=job.precision,
        settings={"schedule": job.schedule, **shared_settings(stage.config), **job.settings},
        expected_seconds=stage.cost(job.strategy).seconds,
        against_best=None,
        chosen=False,
        model_digest=model_digest,
        **stage.task.preparation(job.strategy).facts,
    )
    return _Tried(record, answers)


def _report(stage: _Stage, tried: list[_Tried], tolerance: float) -> FinetuneReport:
    """Compare the arms with the best of those trained fully, and choose by R8."""
    arms = {one.record.strategy: one for one in tried if one.record.role == "arm"}
    full = {name: one.record for name, one in arms.items() if one.record.trained_fully}
    best = max(full, key=lambda name: (full[name].score.point, -full[name].expected_seconds))
    against = {
        name: _interval(stage.task.judge.difference(one.answers, arms[best].answers)) for name, one in arms.items()
    }
    choice = choose_arm(
        [ArmResult(name, arm.expected_seconds, arm.score.point, against[name].low) for name, arm in full.items()],
        tolerance,
    )
    front = _front([one.record for one in arms.values()])
    return FinetuneReport(
        metric=stage.metric,
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
        workers=stage.trainer.workers,
        source_score=stage.task.source_score,
    )


def _with_seeds(stage: _Stage, report: FinetuneReport, seconds: dict[str, float]) -> FinetuneReport:
    """The chosen arm trained again with further seeds: not to hand on the best, but to know how far they are apart."""
    chosen = next(arm for arm in report.arms if arm.chosen)
    if chosen.strategy == FROZEN:
        return report
    further = range(stage.config.seed + 1, stage.config.seed + stage.decision.seeds)
    runs = [_with_seed(stage, chosen, seed, seconds) for seed in further]
    arms = [arm.model_copy(update={"seeds": runs}) if arm.chosen else arm for arm in report.arms]
    return report.model_copy(update={"arms": arms})


def _with_seed(stage: _Stage, chosen: Arm, seed: int, seconds: dict[str, float]) -> SeedRun:
    """The chosen arm's training again, at the rate it was trained with; one that diverges is a finding, not an end."""
    name = chosen.strategy
    stage.progress("seed", strategy=name, says=f"training {name} again with seed {seed}")
    settings = {**stage.settings(name), "learning_rate": chosen.settings["learning_rate"]}
    folder = stage.checkpoints / f"{name}-{stage.config.schedule}-{stage.cost(name).epochs}-seed-{seed}"
    job = stage.task.job(name, settings, stage.config.schedule, stage.cost(name).epochs, folder)
    job = replace(job, seed=seed)
    try:
        result = stage.trainer.train(job, progress=stage.progress)
    except ModelError as error:
        if error.code not in DIVERGED:
            raise
        stage.progress("diverged", strategy=name, says=f"{error.problems[0].message}; seed {seed} is left out")
        return SeedRun(seed=seed, score=None, best_epoch=None, model_digest=None)
    spent_on = f"{name}.seeds"
    seconds[spent_on] = seconds.get(spent_on, 0.0) + result.seconds
    found = stage.task.finished(job, result, "control", stage.out / "arms" / name / "seeds" / str(seed) / "model")
    score = _interval(stage.task.judge.score(found.answers))
    return SeedRun(seed=seed, score=score, best_epoch=result.best_epoch, model_digest=found.digest)


def _front(arms: list[Arm]) -> set[str]:
    """Arms that no other beats in both what is gained and what is kept; none where that was not measured."""
    measured = [arm for arm in arms if arm.source_change is not None]
    points = [(arm.score.point, arm.source_change.point) for arm in measured if arm.source_change is not None]
    return {arm.strategy for arm, stays in zip(measured, undominated(points), strict=True) if stays}


def _interval(bounds: Bounds | PairedDifference) -> Interval:
    return Interval(point=bounds.point, low=bounds.low, high=bounds.high)
