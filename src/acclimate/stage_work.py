"""Each stage as a piece of work with its key: what it reads, which slices of the configuration count, how it is called.

A stage's module is imported only when it has to be run, so that finding a finished one stays quick.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.calibrating import calibration_of
from acclimate.digests import code_digest, data_digest
from acclimate.errors import UnavailableError
from acclimate.execution import Context, Work, content_digest, execute, find, read_timing
from acclimate.keys import data_digests, files_of, run_key
from acclimate.ports import RegisteredVersion, RunRecords
from acclimate.records import (
    BaselineReport,
    DataCard,
    Decision,
    Evaluation,
    FinetuneReport,
    GapReport,
    Manifest,
    Registration,
)
from acclimate.wiring import live_versions, registry_of, source_of, trainer_of

CHAMPION_TRIES = 2


@dataclass(frozen=True)
class Candidate:
    """The model that is judged: its folder, its strategy, and the finetune folder if there was one."""

    model: Path
    strategy: str
    finetune: Path | None


@dataclass(frozen=True)
class Folders:
    """The finished stage folders of one run."""

    data: Path
    gap: Path
    baseline: Path
    decision: Path
    candidate: Path
    evaluation: Path


def ingest_work(context: Context) -> Work:
    """Ingest: keyed by the files' bytes and by what their columns mean."""
    request, config = context.request, context.request.adaptation
    reference = config.source.reference

    def call(out: Path) -> dict[str, Any]:
        from acclimate.adapters.tables import read_table
        from acclimate.stages.ingest import ingest

        card = ingest(
            config.target,
            reference,
            task=config.task,
            root=request.root,
            allow_outside=request.allow_outside,
            out=out,
            read=read_table,
            progress=context.progress,
        )
        return {"rows": card.target.rows_kept, "digest": card.target.digest}

    return Work(
        stage="ingest",
        module="acclimate.stages.ingest",
        made_of={
            "task": config.task,
            "target": config.target.model_dump(mode="json", exclude={"data"}),
            "target_files": files_of(context, config.target),
            "reference": reference.model_dump(mode="json", exclude={"data"}) if reference else None,
            "reference_files": files_of(context, reference),
            "readers": code_digest("acclimate.adapters.tables.reading"),
        },
        call=call,
    )


def gap_work(context: Context, data: Path) -> Work:
    """Gap: keyed by the rows of both domains and the source's weights."""
    config = context.request.adaptation
    folder, card = source_of(context)
    precision = calibration_of(context, data).precision

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.gap import gap

        report = gap(
            data,
            folder,
            card,
            config=config.gap,
            max_length=config.baseline.max_length,
            precision=precision,
            cache=context.cache,
            out=out,
            progress=context.progress,
        )
        return {"verdict": report.verdict, "setting": report.setting}

    return Work(
        stage="gap",
        module="acclimate.stages.gap",
        made_of={
            "data": data_digests(data),
            "source": card.model_dump(mode="json"),
            "gap": config.gap.model_dump(mode="json"),
            "max_length": config.baseline.max_length,
            "precision": precision,
        },
        call=call,
        run_key=run_key(context, data),
    )


def baseline_work(context: Context, data: Path) -> Work:
    """Baseline: keyed by the target's rows and the source's weights."""
    config = context.request.adaptation
    folder, card = source_of(context)
    precision = calibration_of(context, data).precision

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.baseline import baseline

        report = baseline(
            data,
            folder,
            card,
            config=config.baseline,
            metric=config.goal.metric,
            precision=precision,
            cache=context.cache,
            out=out,
            progress=context.progress,
        )
        return {"score": report.score.point}

    return Work(
        stage="baseline",
        module="acclimate.stages.baseline",
        made_of={
            "data": data_digests(data)["target"],
            "source": card.model_dump(mode="json"),
            "baseline": config.baseline.model_dump(mode="json"),
            "metric": config.goal.metric,
            "precision": precision,
        },
        call=call,
        run_key=run_key(context, data),
    )


def decide_work(context: Context, data: Path, gap: Path, baseline: Path) -> Work:
    """Decide: keyed by the reports, the goal, the budget and the stored calibration."""
    config = context.request.adaptation
    calibration = calibration_of(context, data)

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.decide import decide

        decision = decide(
            data,
            gap,
            baseline,
            calibration,
            goal=config.goal,
            budget=config.budget,
            finetune=config.finetune,
            source_card=source_of(context)[1],
            out=out,
        )
        return {"action": decision.action, "rule": decision.rule}

    return Work(
        stage="decide",
        module="acclimate.stages.decide",
        made_of={
            "data": data_digests(data),
            "source": source_of(context)[1].model_dump(mode="json"),
            "gap": content_digest(gap),
            "baseline": content_digest(baseline),
            "calibration": calibration.model_dump(mode="json"),
            "goal": config.goal.model_dump(mode="json"),
            "budget": config.budget.model_dump(mode="json"),
            "finetune": config.finetune.model_dump(mode="json"),
        },
        call=call,
        run_key=run_key(context, data),
    )


def finetune_work(context: Context, data: Path, baseline: Path, decision: Path) -> Work:
    """Finetune: keyed by the decision, the baseline and the training settings."""
    config = context.request.adaptation
    folder, card = source_of(context)
    calibration = calibration_of(context, data)
    made_of = {
        "data": data_digests(data)["target"],
        "source": card.model_dump(mode="json"),
        "baseline": content_digest(baseline),
        "decision": content_digest(decision),
        "calibration": calibration.model_dump(mode="json"),
        "finetune": config.finetune.model_dump(mode="json"),
        "goal": config.goal.model_dump(mode="json"),
        "max_length": config.baseline.max_length,
        "workers": config.compute.workers,
        "trainer": code_digest("acclimate.nn.train" if config.compute.workers == 1 else "acclimate.adapters.ray"),
    }
    checkpoints = checkpoints_of(context, decision)

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.finetune import finetune

        report = finetune(
            data,
            folder,
            card,
            baseline,
            decision,
            calibration,
            config=config.finetune,
            goal=config.goal,
            max_length=config.baseline.max_length,
            trainer=trainer_of(context),
            checkpoints=checkpoints,
            out=out,
            progress=context.progress,
        )
        return {"chosen": report.chosen}

    return Work("finetune", "acclimate.stages.finetune", made_of, call, run_key(context, data))


def checkpoints_of(context: Context, decision: Path) -> Path:
    """Where a decision's training keeps its checkpoints until it is finished."""
    workers = context.request.adaptation.compute.workers
    name = data_digest([content_digest(decision), workers])[:24]
    return context.request.workspace / "checkpoints" / name


def candidate_of(candidate: Path, baseline: Path) -> Candidate:
    """The model handed on by a branch: finetune's chosen arm, or the frozen baseline."""
    if Manifest.read(candidate).stage != "finetune":
        return Candidate(baseline / "model", "frozen", None)
    chosen = FinetuneReport.read(candidate).chosen
    model = baseline / "model" if chosen == "frozen" else candidate / "arms" / chosen / "model"
    return Candidate(model, chosen, candidate)


def comparator_of(context: Context, key: str) -> RegisteredVersion | None:
    """The champion; if it came from this very run key its predecessor, so that a rerun compares the same."""
    versions = live_versions(context)
    champion = next((version for version in versions if "champion" in version.aliases), None)
    if champion is None or champion.run_key != key:
        return champion
    before = champion.tags.get("acclimate.previous_champion", "")
    return next((version for version in versions if str(version.version) == before), None)


def evaluate_work(
    context: Context, data: Path, baseline: Path, candidate: Path, champion: RegisteredVersion | None
) -> Work:
    """Evaluate: keyed by the candidate, the baseline and the champion's version."""
    config = context.request.adaptation
    folder, card = source_of(context)
    model = candidate_of(candidate, baseline)

    def call(out: Path) -> dict[str, Any]:
        from acclimate.stages.evaluate import evaluate

        other = None
        if champion is not None:
            into = context.request.workspace / "tmp" / context.run_id / "champion"
            other = (champion.model_uri, registry_of(context).fetch(champion.model_uri, into))
        report = evaluate(
            data,
            folder,
            baseline,
            model.model,
            model.strategy,
            model.finetune,
            other,
            config=config.evaluate,
            metric=config.goal.metric,
            out=out,
            progress=context.progress,
        )
        return {"score": report.score.point, "champion": champion.version if champion else None}

    return Work(
        stage="evaluate",
        module="acclimate.stages.evaluate",
        made_of={
            "data": data_digests(data)["target"],
            "source": card.digest,
            "baseline": content_digest(baseline),
            "candidate": content_digest(candidate),
            "champion": [champion.name, champion.version, champion.run_key] if champion else None,
            "evaluate": config.evaluate.model_dump(mode="json"),
            "metric": config.goal.metric,
        },
        call=call,
        run_key=run_key(context, data),
    )


def records_of(context: Context, folders: Folders) -> RunRecords:
    """Everything the run produced, read back from its folders."""
    config = context.request.adaptation
    model = candidate_of(folders.candidate, folders.baseline)
    stages = {
        "ingest": folders.data,
        "gap": folders.gap,
        "baseline": folders.baseline,
        "decide": folders.decision,
        "finetune": model.finetune,
        "evaluate": folders.evaluation,
    }
    return RunRecords(
        run_key=run_key(context, folders.data),
        name=config.name,
        config=config.model_dump(mode="json"),
        source=source_of(context)[1],
        source_uri=config.source.model,
        data=DataCard.read(folders.data),
        gap=GapReport.read(folders.gap),
        baseline=BaselineReport.read(folders.baseline),
        decision=Decision.read(folders.decision),
        finetune=FinetuneReport.read(model.finetune) if model.finetune else None,
        evaluation=Evaluation.read(folders.evaluation),
        seconds={name: read_timing(path).get("stage_seconds", 0.0) for name, path in stages.items() if path},
    )


def register_work(context: Context, folders: Folders) -> Work:
    """Register: keyed by the evaluation, the gate's policy, the name and the registry."""
    config = context.request.adaptation
    records = records_of(context, folders)

    def call(out: Path) -> dict[str, Any]:
        from acclimate.report.model_card import write_model_card
        from acclimate.stages.register import register

        done = register(
            records,
            candidate_of(folders.candidate, folders.baseline).model,
            data=folders.data,
            baseline=folders.baseline,
            goal=config.goal,
            gate=config.gate,
            registry=registry_of(context),
            write_card=write_model_card,
            artifacts=[],
            out=out,
            progress=context.progress,
        )
        return {"model_uri": done.model_uri}

    return Work(
        stage="register",
        module="acclimate.stages.register",
        made_of={
            "name": config.name,
            "evaluation": content_digest(folders.evaluation),
            "candidate": content_digest(folders.candidate),
            "gate": config.gate.model_dump(mode="json"),
            "goal": config.goal.model_dump(mode="json"),
            "tracking": config.tracking.uri,
        },
        call=call,
        run_key=records.run_key,
    )


def judge_and_register(context: Context, folders: Folders) -> Path:
    """Register; if the champion moved since the evaluation, evaluate once more, then give up.

    Raises:
        UnavailableError: E-REGISTRY-020, the champion moved again.
    """
    key = run_key(context, folders.data)
    for _ in range(CHAMPION_TRIES):
        champion = comparator_of(context, key)
        seen = Manifest.read(folders.evaluation).values.get("champion")
        if seen == (champion.version if champion else None):
            return _register(context, folders, key)
        work = evaluate_work(context, folders.data, folders.baseline, folders.candidate, champion)
        folders = replace(folders, evaluation=execute(context, work))
    raise UnavailableError(
        "E-REGISTRY-020",
        "the champion moved while this candidate was being compared with it",
        where=context.request.adaptation.name,
        hint="run again when nobody else is promoting this model",
    )


def _register(context: Context, folders: Folders, key: str) -> Path:
    work = register_work(context, folders)
    done = find(context, work)
    was_registered = done is not None and Registration.read(done).model_uri is not None
    if done is not None and was_registered and all(one.run_key != key for one in live_versions(context)):
        context.store.discard(done)
    return execute(context, work)


Step = Callable[..., Path]


def _evaluate_step(context: Context, data: Path, baseline: Path, candidate: Path) -> Path:
    champion = comparator_of(context, run_key(context, data))
    return execute(context, evaluate_work(context, data, baseline, candidate, champion))


def _finetune_step(context: Context, data: Path, baseline: Path, decision: Path) -> Path:
    folder = execute(context, finetune_work(context, data, baseline, decision))
    checkpoints = checkpoints_of(context, decision)
    if checkpoints.exists():
        shutil.rmtree(checkpoints)
    return folder


def _register_step(context: Context, **folders: Path) -> Path:
    return judge_and_register(context, Folders(**folders))


def _plain(work: Callable[..., Work]) -> Step:
    return lambda context, **folders: execute(context, work(context, **folders))


STEPS: dict[str, Step] = {
    "ingest": _plain(ingest_work),
    "gap": _plain(gap_work),
    "baseline": _plain(baseline_work),
    "decide": _plain(decide_work),
    "finetune": _finetune_step,
    "evaluate": _evaluate_step,
    "register": _register_step,
}
