"""Runs on the cluster: which there are, and how to stop one."""

from __future__ import annotations

import json
import re
from typing import Any

from acclimate.adapters.kfp_access import KfpAccess
from acclimate.adapters.kfp_client import Kfp
from acclimate.adapters.kfp_records import KfpRun
from acclimate.cluster.following import read_summary
from acclimate.errors import AccessError, ConfigError, UnavailableError

_KFP_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_AFTERWARDS = (
    "the step that is stopped deletes the RayJob it started; should it not come to that, the RayJob's own deadline does"
)


def runs(
    *,
    endpoint: str | None = None,
    namespace: str | None = None,
    experiment: str | None = None,
    limit: int = 20,
) -> list[dict[str, Any]]:
    """List runs, newest first, with the verdict of each that has left one.

    Args:
        endpoint: of KFP.
        namespace: the user's.
        experiment: only runs of this one.
        limit: at most so many.

    Raises:
        ConfigError: E-KFP-021, there is no such experiment.
    """
    with Kfp(KfpAccess.find(endpoint, namespace)) as kfp:
        experiment_id = kfp.find_experiment(experiment) if experiment else None
        if experiment and experiment_id is None:
            raise ConfigError(
                "E-KFP-021", f"there is no experiment {experiment!r}", hint="acclimate runs lists all runs"
            )
        return [_row(kfp, run) for run in kfp.runs(experiment_id, limit=limit)]


def _row(kfp: Kfp, run: KfpRun) -> dict[str, Any]:
    workspace = _workspace_of(run)
    verdict, unknown = None, None
    if run.state == "SUCCEEDED" and workspace.startswith("s3://"):
        try:
            verdict = (read_summary(workspace, run.id) or {}).get("verdict")
        except (AccessError, UnavailableError) as error:
            unknown = error.code  # a list of runs must not fail over one workspace that is closed to us
    return {
        "run_id": run.id,
        "name": run.name,
        "state": run.state,
        "verdict": verdict,
        "verdict_unknown": unknown,
        "created_at": run.created_at,
        "finished_at": run.finished_at or None,
        "scheduled": bool(run.schedule_id),
        "link": kfp.run_link(run.id),
    }


def _workspace_of(run: KfpRun) -> str:
    """Where a run's outputs go; empty for a run that isn't ours."""
    try:
        request = json.loads(str(run.parameters.get("request", "{}")))
    except ValueError:
        return ""
    return str(request.get("workspace", "")) if isinstance(request, dict) else ""


def cancel(run: str, *, endpoint: str | None = None, namespace: str | None = None) -> dict[str, Any]:
    """Stop a run; one that has ended is left as it is.

    Args:
        run: its id, or its name.
        endpoint: of KFP.
        namespace: the user's.

    Returns:
        ``cancelled``: whether it was still running, and what becomes of what it started.

    Raises:
        ConfigError: E-KFP-006, there is no such run.
    """
    with Kfp(KfpAccess.find(endpoint, namespace)) as kfp:
        found = _run_of(kfp, run)
        cancelled = not found.ended and kfp.terminate(found.id)
        return {
            "run_id": found.id,
            "cancelled": cancelled,
            "state": kfp.run(found.id).state,
            "afterwards": _AFTERWARDS if cancelled else None,
        }


def _run_of(kfp: Kfp, run: str) -> KfpRun:
    if _KFP_ID.fullmatch(run):
        return kfp.run(run)
    found = [each for each in kfp.runs(holding=run) if each.name == run]
    if len(found) != 1:
        says = f"there is no run {run!r}" if not found else f"{len(found)} runs are called {run!r}"
        raise ConfigError("E-KFP-006", says, hint="acclimate runs lists them; give the id")
    return found[0]


def runs_text(found: list[dict[str, Any]]) -> str:
    """A list of runs, for people."""
    if not found:
        return "no runs"
    rows = [
        (r["run_id"], r["state"], r["verdict"] or r["verdict_unknown"] or "-", r["created_at"], r["name"])
        for r in found
    ]
    widths = [max(len(str(row[column])) for row in rows) for column in range(5)]
    return "\n".join(
        "  ".join(str(cell).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def cancelled_text(found: dict[str, Any]) -> str:
    """What became of a cancellation, for people."""
    if not found["cancelled"]:
        return f"run {found['run_id']} has ended already: {found['state']}"
    return f"run {found['run_id']} is being stopped; {found['afterwards']}"
