"""The chain from the source model to the registered version, with the digests that pin each link."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from acclimate.records import Arm, StoredRecord, TableCard
from acclimate.report import numbers
from acclimate.report.safety import without_credentials
from acclimate.report.task_words import model_name, scored_by
from acclimate.report.view import ReportView
from acclimate.report.wording import GAPS


@dataclass(frozen=True)
class Link:
    """One link of the chain.

    Args:
        title: what it is.
        says: one line about it.
        digests: what pins it, by name; full, shortened only where shown.
    """

    title: str
    says: str
    digests: dict[str, str] = field(default_factory=dict)


def record_digest(record: StoredRecord) -> str:
    """sha256 of the record's file, as its stage's manifest holds it."""
    return hashlib.sha256((record.model_dump_json(indent=1) + "\n").encode()).hexdigest()


def lineage(view: ReportView) -> list[Link]:
    """The chain as far as the run came: source, data, gap, baseline, decision, arms, evaluation, verdict, version."""
    return [*_inputs(view), *_measured(view), *_trained(view), *_judged(view)]


def _inputs(view: ReportView) -> Iterator[Link]:
    source = view.source
    if source is not None:
        licence = source.licence or "unknown"
        says = f"{source.name} {source.revision}, {numbers.count(source.parameters)} parameters, licence {licence}"
        yield Link("Source model", says, {"weights": source.digest})
    elif view.source_uri:
        yield Link("Source model", str(without_credentials(view.source_uri)))
    yield _table_link("Target data", view.data.target, "the owner's own")
    if view.data.reference is not None:
        yield _table_link("Reference data", view.data.reference, "unknown")
    if view.data.pool is not None:
        pool = view.data.pool
        says = f"{numbers.count(pool.rows_kept)} texts without labels; licence: {pool.licence or 'unknown'}"
        yield Link("Pool", says, {"rows": pool.digest})


def _table_link(title: str, table: TableCard, licence: str) -> Link:
    rows = ", ".join(f"{numbers.count(card.rows)} {split}" for split, card in table.splits.items())
    return Link(title, f"{rows}; licence: {table.licence or licence}", {"rows": table.digest})


def _measured(view: ReportView) -> Iterator[Link]:
    if view.gap is not None:
        measured = "" if view.gap.units is None else f", {numbers.units(view.gap.units)} gap units"
        yield Link("Gap", f"{GAPS[view.gap.verdict]}{measured}", {"report": record_digest(view.gap)})
    if view.baseline is not None:
        found = {"model": view.baseline.model_digest, "report": record_digest(view.baseline)}
        yield Link("Baseline", f"{numbers.score(view.baseline.score.point)}, {scored_by(view.baseline)}", found)
    if view.decision is not None:
        says = f"{view.decision.strategy}, by rule {view.decision.rule}"
        yield Link("Decision", says, {"record": record_digest(view.decision)})


def _trained(view: ReportView) -> Iterator[Link]:
    for arm in view.finetune.arms if view.finetune else []:
        fate = _fate(view, arm)
        says = f"{model_name(arm.strategy, view.data.task)}, {numbers.score(arm.score.point)} on validation: {fate}"
        digests = {"pretrained": arm.pretraining.start_digest} if arm.pretraining else {}
        yield Link(f"Arm {arm.strategy}", says, digests | ({"model": arm.model_digest} if arm.model_digest else {}))


def _fate(view: ReportView, arm: Arm) -> str:
    """What came of an arm in the end."""
    if arm.role == "control":
        return "control, never handed on"
    if view.gave_way:
        return {"frozen": "handed on"}.get(arm.strategy, "chosen, not handed on" if arm.chosen else "not taken")
    return "chosen" if arm.chosen else "not taken"


def _judged(view: ReportView) -> Iterator[Link]:
    result, registration = view.evaluation, view.registration
    if result is not None:
        rows = numbers.count(result.rows)
        says = f"{numbers.score(result.score.point)} on {rows} test rows, compared with {result.comparator}"
        yield Link("Evaluation", says, {"candidate": result.model_digest, "test rows": result.test_digest})
    if view.verdict is not None:
        sealed = {"verdict": registration.verdict_sha256} if registration else {"record": record_digest(view.verdict)}
        yield Link("Verdict", f"{view.verdict.verdict}, policy {view.verdict.policy}", sealed)
    if registration is not None:
        where = registration.model_uri or "nothing was registered"
        aliases = f", alias {', '.join(registration.aliases)}" if registration.aliases else ""
        yield Link("Version", f"{where}{aliases}", {"MLflow run": registration.mlflow_run_id})
