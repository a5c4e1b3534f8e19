"""What a run comes to: its report, its summary, its exit code."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from acclimate.errors import AcclimateError
from acclimate.execution import Context
from acclimate.records_retrain import RetrainDecision
from acclimate.viewing import view_of
from acclimate.wiring import pinned

GATE_REFUSED = 10
SUMMARY = "summary.json"
REPORT = "report.html"
KEPT = "report"
REFUSALS = ("HOLD", "REJECT")


@dataclass
class RunResult:
    """How a run ended.

    Args:
        summary: the machine-readable result, as ``--json`` prints it.
        exit_code: 0, or 10 when the gate refused.
        report: the HTML report.
    """

    summary: dict[str, Any]
    exit_code: int
    report: Path | None


@dataclass
class Followed:
    """What the events of a run have said so far."""

    folders: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    reused: dict[str, bool] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    step_pid: int = 0

    def take(self, event: dict[str, Any]) -> None:
        """Note one event."""
        self.step_pid = int(event.get("pid", 0))
        if event["event"] == "stage_done":
            stage = str(event["stage"])
            self.folders[stage] = str(event["folder"])
            self.reused[stage] = bool(event["reused"])
            self.seconds[stage] = self.seconds.get(stage, 0.0) + float(event["seconds"])
        elif event["event"] == "warning":
            self.warnings.append(str(event["says"]))


def outcome(context: Context, followed: Followed, command: str, error: AcclimateError | None = None) -> RunResult:
    """Render the report of a run as far as it came, and sum it up.

    Args:
        context: the run.
        followed: what its events said.
        command: what to type to get the same.
        error: what stopped it, if anything did.

    Returns:
        The result; without report or summary where not even ingest was finished.
    """
    if "ingest" not in followed.folders:
        return RunResult({}, error.exit_code if error else 0, None)
    from acclimate.report.render import render
    from acclimate.report.summary import summary

    context = settled(context, followed)
    folders = {stage: context.store.open(reference) for stage, reference in followed.folders.items()}
    view = view_of(context, folders, seconds=followed.seconds, command=command, error=error)
    report = render(view, context.run_folder)
    result = _with_decision(view.retrain, {**summary(view), "warnings": followed.warnings, "report_path": str(report)})
    (context.run_folder / SUMMARY).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    if context.is_shared:
        _keep(context)
    refused = view.verdict is not None and view.verdict.verdict in REFUSALS
    return RunResult(result, GATE_REFUSED if refused else 0, report)


def settled(context: Context, followed: Followed) -> Context:
    """The run as its stages saw it: the check of a retraining settles what training starts from."""
    if "check" not in followed.folders:
        return replace(context, request=pinned(context.request, context.home))
    decision = RetrainDecision.read(context.store.open(followed.folders["check"]))
    return replace(context, request=context.request.starting_from(decision.source))


def _with_decision(decision: RetrainDecision | None, found: dict[str, Any]) -> dict[str, Any]:
    """Of a retraining also the decision, and that alone where there was nothing to do."""
    if decision is None:
        return found
    rest = {} if decision.action == "nothing" and found["error"] is None else found
    return {**rest, "retrain": decision.model_dump(mode="json")}


def _keep(context: Context) -> None:
    """Store report and summary where ``submit`` and other machines find them."""
    name = f"runs/{context.run_id}/{KEPT}"
    folder = context.home / name
    folder.mkdir(parents=True, exist_ok=True)
    for file in (REPORT, SUMMARY):
        shutil.copyfile(context.run_folder / file, folder / file)
    context.store.push(name)
