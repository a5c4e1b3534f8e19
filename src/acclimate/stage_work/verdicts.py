"""Evaluate and register as pieces of work: compare with the champion as it is now, then pass the gate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from acclimate.adapters.mlflow_errors import without_credentials
from acclimate.calibrating import calibration_of
from acclimate.config_file import effective_policy
from acclimate.errors import AcclimateError, UnavailableError
from acclimate.execution import RAN_IN, STARTED_AT, Context, Work, content_digest, execute, find, read_timing
from acclimate.keys import data_digests, data_facts, remembered, run_key
from acclimate.records import (
    FEATURES,
    GENERATION_TASK,
    BaselineReport,
    DataCard,
    Decision,
    Evaluation,
    FinetuneReport,
    GapReport,
    Manifest,
    Registration,
)
from acclimate.registry import FinishedStage, RegisteredVersion, RunRecords
from acclimate.report.considerations import considerations
from acclimate.stage_work.training import candidate_of, handed_on
from acclimate.viewing import view_of
from acclimate.wiring import live_versions, registry_of, source_of

CHAMPION_TRIES = 2
# of timing.json, what :func:`acclimate.nn.serving_cost.serving_cost` measured
_COST = ("latency_p50_ms", "latency_p95_ms", "peak_memory_bytes")


@dataclass(frozen=True)
class Folders:
    """The finished stage folders of one run."""

    data: Path
    gap: Path
    baseline: Path
    decision: Path
    candidate: Path
    evaluation: Path


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
    """Evaluate: keyed by the rows, the candidate, the baseline and the champion's version."""
    config = context.request.adaptation
    folder, card = source_of(context)
    model = candidate_of(candidate, baseline)

    writes = config.task == GENERATION_TASK

    def call(out: Path) -> dict[str, Any]:
        other = None
        if champion is not None:
            into = context.scratch / "champion"
            other = (champion.model_uri, registry_of(context).fetch(champion.model_uri, into))
        compared = (data, folder, baseline, model.model, model.strategy, model.finetune, other)
        judged_by: dict[str, Any] = {"config": config.evaluate, "goal": config.goal}
        if writes:
            from acclimate.stages.evaluate_writing import evaluate_writing

            report = evaluate_writing(*compared, **judged_by, out=out, progress=context.progress)
        else:
            from acclimate.stages.evaluate import evaluate

            report = evaluate(*compared, **judged_by, out=out, progress=context.progress)
        return {"score": report.score.point, "champion": champion.version if champion else None}

    return Work(
        stage="evaluate",
        module=f"acclimate.stages.{'evaluate_writing' if writes else 'evaluate'}",
        made_of={
            "data": data_digests(data),
            "near_duplicates": DataCard.read(data).target.near_duplicates_across_splits,
            "source": card.digest,
            **remembered(folder),
            "baseline": content_digest(baseline),
            "candidate": content_digest(candidate),
            "champion": [champion.name, champion.version, champion.run_key] if champion else None,
            "evaluate": config.evaluate.model_dump(mode="json"),
            "goal": config.goal.model_dump(mode="json", include={"metric", "at_least", "at_least_by"}),
        },
        call=call,
        run_key=run_key(context, data),
    )


def _read_pool(records: RunRecords) -> bool:
    """Whether the model that is handed on was pretrained on the pool."""
    arms = records.finetune.arms if records.finetune else []
    own = [arm.pretraining for arm in arms if arm.strategy == records.evaluation.strategy]
    return any(one is not None and one.pool_rows > 0 for one in own)


def records_of(context: Context, folders: Folders) -> RunRecords:
    """Everything the run produced, read back from its folders."""
    config = context.request.adaptation
    finetune = candidate_of(folders.candidate, folders.baseline).finetune
    records = RunRecords(
        run_key=run_key(context, folders.data),
        name=config.name,
        config=config.model_dump(mode="json"),
        source=source_of(context)[1],
        source_uri=config.source.model,
        data=DataCard.read(folders.data),
        gap=GapReport.read(folders.gap),
        baseline=BaselineReport.read(folders.baseline),
        decision=Decision.read(folders.decision),
        finetune=FinetuneReport.read(finetune) if finetune else None,
        evaluation=Evaluation.read(folders.evaluation),
        stages={name: _finished(folder) for name, folder in _by_stage(folders).items()},
    )
    return replace(records, considerations=considerations(records))


def _finished(folder: Path) -> FinishedStage:
    manifest, timing = Manifest.read(folder), read_timing(folder)
    seconds, started_at = timing.get("stage_seconds", 0.0), timing.get(STARTED_AT)
    cost = {name: timing[name] for name in _COST if name in timing}
    return FinishedStage(
        manifest.key,
        seconds,
        started_at,
        manifest.inputs,
        manifest.values.get(RAN_IN),
        digest=content_digest(folder),
        cost=cost,
    )


def _by_stage(folders: Folders) -> dict[str, Path]:
    """The folder of each stage that was run, in their order."""
    stages = {
        "ingest": folders.data,
        "gap": folders.gap,
        "baseline": folders.baseline,
        "decide": folders.decision,
        "finetune": candidate_of(folders.candidate, folders.baseline).finetune,
        "evaluate": folders.evaluation,
    }
    return {stage: folder for stage, folder in stages.items() if folder is not None}


def register_work(context: Context, folders: Folders) -> Work:
    """Register: keyed by all records of the run, the gate's policy, the name, the registry and the card's own words."""
    config = context.request.adaptation
    records = records_of(context, folders)

    def write_sketch(into: Path) -> Path:
        from acclimate.nn.target_sketch import make_sketch

        source, card = source_of(context)
        sketch = make_sketch(
            folders.data,
            source,
            card,
            precision=calibration_of(context, folders.data).precision[FEATURES],
            max_length=config.baseline.max_length,
            cache=context.scratch / "sketch",
            read_pool=_read_pool(records),
            progress=context.progress,
        )
        return sketch.write(into)

    def call(out: Path) -> dict[str, Any]:
        from acclimate.report.model_card import write_model_card
        from acclimate.stages.register import register

        done = register(
            records,
            handed_on(folders.candidate, folders.baseline, records.evaluation),
            data=folders.data,
            baseline=folders.baseline,
            evaluation=folders.evaluation,
            goal=config.goal,
            gate=config.gate,
            registry=registry_of(context),
            write_card=write_model_card,
            write_sketch=write_sketch,
            out=out,
            progress=context.progress,
        )
        _keep_pages(context, {**_by_stage(folders), "register": out}, records, done.mlflow_run_id)
        return {"model_uri": done.model_uri}

    return Work(
        stage="register",
        module="acclimate.stages.register",
        made_of={
            "name": config.name,
            "run_key": records.run_key,
            "data_card": data_facts(folders.data),
            "source": records.source.model_dump(mode="json"),
            "gap": content_digest(folders.gap),
            "baseline": content_digest(folders.baseline),
            "decision": content_digest(folders.decision),
            "candidate": content_digest(folders.candidate),
            "evaluation": content_digest(folders.evaluation),
            **remembered(source_of(context)[0]),
            "gate": config.gate.model_dump(mode="json", exclude={"promotions"}),
            "policy": effective_policy(config.gate).model_dump(mode="json"),
            "goal": config.goal.model_dump(mode="json"),
            "tracking": config.tracking.uri,
            **({"card": config.card.model_dump(mode="json")} if config.card.not_for else {}),
        },
        call=call,
        run_key=records.run_key,
    )


def _keep_pages(context: Context, folders: dict[str, Path], records: RunRecords, mlflow_run_id: str) -> None:
    """Keep report and figures with the run in the registry; the model is registered, with or without them."""
    from acclimate.report.pages import write_pages

    pages = context.scratch / "pages"
    seconds = {name: stage.seconds for name, stage in records.stages.items()}
    try:
        write_pages(view_of(context, folders, seconds=seconds), pages)
        registry_of(context).keep_files(mlflow_run_id, pages)
    except (AcclimateError, OSError) as error:
        because = without_credentials(f"{type(error).__name__}: {error}")
        context.progress("warning", says=f"report and figures are not in MLflow, the rest of the run is: {because}")


def judge_and_register(context: Context, folders: Folders) -> Path:
    """Register; if the champion moved since the evaluation, evaluate once more, then give up.

    Raises:
        UnavailableError: E-REGISTRY-020, the champion moved again.
    """
    key = run_key(context, folders.data)
    for left in reversed(range(CHAMPION_TRIES)):
        champion = comparator_of(context, key)
        seen = Manifest.read(folders.evaluation).values.get("champion")
        if seen == (champion.version if champion else None):
            return _register(context, folders, key)
        if left:
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
