"""What a run comes to: its report, its summary, its exit code."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from acclimate.calibrating import calibration_of
from acclimate.errors import AcclimateError
from acclimate.execution import Context, read_timing
from acclimate.keys import run_key
from acclimate.records import (
    BaselineReport,
    DataCard,
    Decision,
    Evaluation,
    FinetuneReport,
    GapReport,
    Registration,
    StoredRecord,
    Verdict,
)
from acclimate.records_retrain import RetrainDecision
from acclimate.version import __version__
from acclimate.wiring import pinned, source_of

GATE_REFUSED = 10
SUMMARY = "summary.json"
REPORT = "report.html"
KEPT = "report"
REFUSALS = ("HOLD", "REJECT")
LIBRARIES = ("torch", "transformers", "peft", "scikit-learn", "numpy", "mlflow", "kfp")


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
    step_pid: int = 0

    def take(self, event: dict[str, Any]) -> None:
        """Note one event."""
        self.step_pid = int(event.get("pid", 0))
        if event["event"] == "stage_done":
            stage = str(event["stage"])
            self.folders[stage] = str(event["folder"])
            self.reused[stage] = bool(event["reused"])
            self.seconds[stage] = self.seconds.get(stage, 0.0) + float(event["seconds"])


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
    from acclimate.report.view import ReportView

    context = settled(context, followed)
    folders = {stage: context.store.open(reference) for stage, reference in followed.folders.items()}
    view = ReportView(**_view(context, folders, followed, command, error))
    report = render(view, context.run_folder)
    result = _with_decision(view.retrain, {**summary(view), "report_path": str(report)})
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


def _view(
    context: Context, folders: dict[str, Path], followed: Followed, command: str, error: AcclimateError | None
) -> dict[str, Any]:
    def read(stage: str, kind: type[StoredRecord]) -> Any:
        folder = folders.get(stage)
        return kind.read(folder) if folder else None

    config, data = context.request.adaptation, folders["ingest"]
    measured = "gap" in folders or "baseline" in folders
    return {
        "config": config.model_dump(mode="json"),
        "run_id": context.run_id,
        "run_key": run_key(context, data),
        "data": DataCard.read(data),
        "retrain": read("check", RetrainDecision),
        "source_uri": config.source.model,
        "source": source_of(context)[1],
        "gap": read("gap", GapReport),
        "baseline": read("baseline", BaselineReport),
        "calibration": calibration_of(context, data) if measured else None,
        "decision": read("decide", Decision),
        "finetune": read("finetune", FinetuneReport),
        "evaluation": read("evaluate", Evaluation),
        "verdict": read("register", Verdict),
        "registration": read("register", Registration),
        "seconds": followed.seconds,
        "timing": {stage: read_timing(folder) for stage, folder in folders.items()},
        "error": error.to_dict() if error else None,
        "command": command,
        "versions": _versions(),
        "code_version": __version__,
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
