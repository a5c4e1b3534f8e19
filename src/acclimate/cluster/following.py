"""Waits for a run on the cluster and says what it came to."""

from __future__ import annotations

import json
import re
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from acclimate.adapters.kfp_client import Kfp
from acclimate.adapters.kfp_records import KfpRun
from acclimate.errors import AcclimateError, DataError, InterruptedRun, UnavailableError, from_dict
from acclimate.outcome import GATE_REFUSED, KEPT, REFUSALS, REPORT, SUMMARY
from acclimate.ports import Progress
from acclimate.stage_work import STEPS
from acclimate.steps import ERROR, EVENTS, step_folder

POLL_SECONDS = 5.0
OUTAGE_SECONDS = 600.0
PREDICT = "predict"
STAGES = ("check", *STEPS, PREDICT)
_COPY = re.compile(r"-\d+$")


def wait_for(
    kfp: Kfp,
    run_id: str,
    *,
    progress: Progress,
    timeout_minutes: float | None = None,
    poll_seconds: float = POLL_SECONDS,
) -> KfpRun:
    """Look at a run until it has ended; what becomes of its stages is told as it happens.

    The run does not need us: an outage of KFP's API of up to ten minutes is sat out.

    Args:
        kfp: the client.
        run_id: KFP's.
        progress: told of each stage.
        timeout_minutes: how long to wait; None is for ever.
        poll_seconds: between two looks.

    Raises:
        UnavailableError: E-KFP-016, it has not ended in time; the run goes on.
    """
    started, reached, stages = time.monotonic(), time.monotonic(), _Stages(progress)
    while True:
        try:
            run = kfp.run(run_id)
            reached = time.monotonic()
        except UnavailableError:
            if time.monotonic() - reached > OUTAGE_SECONDS:
                raise
            progress("waiting", says="Kubeflow Pipelines can't be reached now; the run goes on without it")
        else:
            stages.take(run)
            if run.ended:
                return run
        if timeout_minutes is not None and time.monotonic() - started > 60 * timeout_minutes:
            raise UnavailableError(
                "E-KFP-016",
                f"the run has not ended within {timeout_minutes:g} minutes; it goes on",
                where=kfp.run_link(run_id),
                hint=f"acclimate runs shows it, acclimate cancel {run_id} stops it",
            )
        time.sleep(poll_seconds)


class _Stages:
    """Turns the states of a run's tasks into the events of a local run."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._seen: dict[str, str] = {}
        self._since: dict[str, float] = {}

    def take(self, run: KfpRun) -> None:
        for task in run.tasks:
            stage = _COPY.sub("", task.name)
            if stage not in STAGES or self._seen.get(task.name) == task.state:
                continue
            self._seen[task.name] = task.state
            if task.state == "RUNNING":
                self._since[task.name] = time.monotonic()
                self._progress("stage_started", stage=stage)
            elif task.state == "SUCCEEDED":
                seconds = round(time.monotonic() - self._since.get(task.name, time.monotonic()), 1)
                self._progress("stage_done", stage=stage, reused=False, seconds=seconds)
            elif task.state == "FAILED":
                self._progress("stage_failed", stage=stage, says=f"{stage} failed")


def result_of(run: KfpRun, workspace: str, *, predicted: str | None = None) -> tuple[dict[str, Any], int]:
    """What a run that has ended came to.

    Args:
        run: as KFP tells it.
        workspace: where its report is.
        predicted: address of what a run of ``predict`` writes, which has neither verdict nor report; None for others.

    Returns:
        Its summary and the exit code: 0, or 10 where the gate refused. Without a verdict there was nothing to do, or
        ``follows`` names the run that has the same work in hand. Of a prediction: ``rows`` (None where its step's
        events are gone by now) and ``path``.

    Raises:
        AcclimateError: the coded cause of a stage's failure; E-KFP-015 where the pod died without leaving one.
        UnavailableError: E-KFP-024, the exit step could not store the result.
        InterruptedRun: E-KFP-018, it was cancelled.
    """
    if run.state == "CANCELED":
        raise InterruptedRun("E-KFP-018", f"the run {run.id} was cancelled", hint="submit it again to go on")
    if run.state != "SUCCEEDED":
        raise failure_of(run, workspace)
    if predicted is not None:
        told = [event["rows"] for event in _events(workspace, run.id, PREDICT) if event.get("event") == "predicting"]
        return {"rows": told[-1] if told else None, "path": predicted}, 0
    summary, follows = read_summary(workspace, run.id), _followed_by(workspace, run.id)
    if summary is None and follows is None:
        raise UnavailableError(
            "E-KFP-024",
            f"the run {run.id} has ended, but its exit step could not store what it came to",
            where=workspace,
            hint="its stages are kept: submit it again, and it ends in minutes with the same verdict",
        )
    if summary is None:
        return {"follows": follows}, 0
    summary["report_path"] = _kept(workspace, run.id)
    if not summary.get("verdict"):
        summary["follows"] = follows
    return summary, GATE_REFUSED if summary.get("verdict") in REFUSALS else 0


def failure_of(run: KfpRun, workspace: str) -> AcclimateError:
    """Why a run failed: what its step left in the workspace, else what KFP says."""
    failed = [_COPY.sub("", task.name) for task in run.tasks if task.state == "FAILED"]
    for stage in dict.fromkeys([*(stage for stage in failed if stage in STAGES), *STAGES]):
        error = _shared(workspace, step_folder(run.id, stage), ERROR)
        if error:
            return from_dict(_object(error, f"{ERROR} of {stage}"))
    causes = [run.error, *(task.error for task in run.tasks)]
    said = next(
        (cause for cause in causes if cause), "a pod may have been evicted, out of memory, or without its image"
    )
    return UnavailableError(
        "E-KFP-015",
        f"the run {run.id} failed and no step left its reason: {said[:300]}",
        hint="look at the pods: kubectl get pods -l app.kubernetes.io/part-of=acclimate; then submit it again to go on",
    )


def read_summary(workspace: str, run_id: str) -> dict[str, Any] | None:
    """The machine-readable result of a run on a cluster, or None where it left none.

    Args:
        workspace: ``s3://BUCKET/PREFIX``.
        run_id: KFP's.
    """
    text = _shared(workspace, f"runs/{run_id}/{KEPT}", SUMMARY)
    return _object(text, SUMMARY) if text else None


def _followed_by(workspace: str, run_id: str) -> str | None:
    """The run that this one gave way to after ``ingest``, if it did."""
    told = _events(workspace, run_id, "ingest")
    return next((str(event["run"]) for event in told if event.get("event") == "follows"), None)


def _events(workspace: str, run_id: str, stage: str) -> list[dict[str, Any]]:
    """What a step has told, in order."""
    text = _shared(workspace, step_folder(run_id, stage), EVENTS) or ""
    return [_object(line, EVENTS) for line in text.splitlines()]


def _kept(workspace: str, run_id: str) -> str:
    """This machine's copy of the report, which the exit step has stored."""
    from acclimate.adapters.s3_store import S3Store

    with closing(S3Store(workspace)) as store:
        return str(store.pull(f"runs/{run_id}/{KEPT}") / REPORT)


def _shared(workspace: str, name: str, file: str) -> str | None:
    from acclimate.adapters.s3_store import S3Store

    with closing(S3Store(workspace)) as store:
        path: Path = store.pull(name) / file
        return path.read_text(encoding="utf-8") if path.is_file() else None


def _object(text: str, name: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise DataError("E-KFP-020", f"{name} of the run is not JSON", hint="submit it again") from error
    return found
