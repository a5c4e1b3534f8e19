"""The edge of a pipeline step: what a KFP component calls.

KFP's local runner loses a step's exit code and cause, and prints the step's output as its own. So a step writes
``events.jsonl`` and ``error.json`` into the run's folder, and it dies with the run that started it. In a pod of a
cluster both go to a folder of the step's own in the shared workspace, where the last step and ``submit`` find them.

Stages hand on *references*: the folder's path in a local workspace, an address in a shared one.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from acclimate.adapters.mlflow_errors import without_credentials
from acclimate.errors import AcclimateError, ConfigError, InterruptedRun, bug_of, from_dict
from acclimate.execution import Context, Request
from acclimate.keys import run_key
from acclimate.outcome import Followed, outcome, settled
from acclimate.records import Decision
from acclimate.records_retrain import RetrainDecision
from acclimate.stage_work import STEPS
from acclimate.wiring import store_of

RUN_PID = "ACCLIMATE_RUN_PID"
EVENTS = "events.jsonl"
ERROR = "error.json"
KFP_RUN_ID = "KFP_RUN_ID"
# how often Kubeflow repeats a failed step by itself
RETRIES = 2
# a bug may be of a passing kind, a service may come back, an interruption is no failure
WORTH_RETRYING = (70, 75, 130, 143)
_POLL_SECONDS = 0.5


class Ingested(NamedTuple):
    """What ``ingest`` hands on: its folder, and the run to follow instead of this one, if any."""

    folder: str
    follow: str


class Decided(NamedTuple):
    """What ``decide`` hands on: its folder, and the branch to take."""

    folder: str
    action: str


class Checked(NamedTuple):
    """What retraining's first step hands on: its folder, ``retrain`` or ``nothing``, and what to start from."""

    folder: str
    action: str
    request: str


class EventLog:
    """Appends events to a run's ``events.jsonl``, one JSON object a line.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Append one event; a line is written in one piece."""
        line = json.dumps({"event": event, "pid": os.getpid(), **fields}) + "\n"
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line)


def open_context(request: Request, run_id: str) -> Context:
    """The context of a run whose events go to its folder."""
    context = Context(request, run_id, store_of(request.workspace))
    context.run_folder.mkdir(parents=True, exist_ok=True)
    return replace(context, progress=EventLog(context.run_folder / EVENTS))


def run_step(
    stage: str, request: str, run_id: str, shown: Mapping[str, Any] | None = None, /, **references: str
) -> str:
    """Run one stage and return the reference of its folder.

    Args:
        stage: the stage's name.
        request: a :class:`Request` as JSON.
        run_id: the run this step belongs to; empty on a cluster, where Kubeflow's own id names it: a copy of a run
            is a run of its own.
        shown: KFP output artifacts by role, filled for its own pages.
        references: finished folders of the stages it reads.

    Raises:
        SystemExit: the stage failed; the cause is in ``error.json``, the code is the error's.
    """
    with _step(stage, request, run_id) as context:
        folder = _run(stage, context, references)
        if shown:
            from acclimate.kfp_artifacts import show

            show(stage, folder, **shown)
        return context.store.reference(folder)


def run_ingest(request: str, run_id: str) -> Ingested:
    """Run ``ingest``; on a cluster, give way to a run that works on the same adaptation already."""
    with _step("ingest", request, run_id) as context:
        folder = _run("ingest", context, {})
        owner = context.store.claim(claim_of(context, folder), context.run_id) if is_pod() else context.run_id
        follow = "" if owner == context.run_id else owner
        if follow:
            context.progress("follows", run=follow, says="another run works on this adaptation already")
        return Ingested(context.store.reference(folder), follow)


def run_decide(request: str, run_id: str, **references: str) -> Decided:
    """Run ``decide`` and return its reference with the branch it asks for."""
    with _step("decide", request, run_id) as context:
        folder = _run("decide", context, references)
        return Decided(context.store.reference(folder), Decision.read(folder).action)


def run_check(request: str, run_id: str) -> Checked:
    """Decide whether to train again: the first step of the retrain pipeline."""
    with _step("check", request, run_id) as context:
        from acclimate.retraining import check_step, retrain_request

        folder = check_step(context)
        decision = RetrainDecision.read(folder)
        settled = retrain_request(context, decision).to_json()
        return Checked(context.store.reference(folder), decision.action, settled)


def run_predict(request: str, run_id: str, model: str, data: str, out: str) -> str:
    """Predict a table, see :func:`acclimate.prediction.predict_step`."""
    with _step("predict", request, run_id) as context:
        from acclimate.prediction import predict_step

        return predict_step(context, model, data, out)


def finish(request: str, run_id: str, page: str) -> None:
    """End a run on a cluster, however it went: gather the report, give up the claim. Locally the run does that itself.

    Nothing that goes wrong here changes how the run ended; it is printed.

    Args:
        request: as for :func:`run_step`.
        run_id: as for :func:`run_step`.
        page: file for the HTML report, shown by KFP.
    """
    if not is_pod():
        return
    try:
        _gather(open_context(Request.from_json(request), _named(run_id)), Path(page))
    except Exception:  # noqa: BLE001 - the outermost edge of the process; the run's own state must stand
        _print_traceback()


def claim_of(context: Context, data: Path) -> str:
    """Name of the claim on an adaptation: one run at a time works on it."""
    return f"run-{run_key(context, data)[:24]}"


def step_folder(run_id: str, stage: str) -> str:
    """Name of the shared folder of a step's events and error."""
    return f"runs/{run_id}/steps/{stage}"


def is_pod() -> bool:
    """Whether this process is a pod of its own, not a child of a run on this machine."""
    return RUN_PID not in os.environ


def _named(run_id: str) -> str:
    name = run_id or os.environ.get(KFP_RUN_ID, "")
    if not name:
        raise ConfigError("E-RUN-002", "the run has no name", hint=f"pass run_id, or set {KFP_RUN_ID}")
    return name


def _gather(context: Context, page: Path) -> None:
    followed, error = Followed(), None
    # check reads data too; what the later steps say of themselves comes after it
    for stage in ("check", *STEPS):
        folder = context.store.pull(step_folder(context.run_id, stage))
        if (folder / EVENTS).is_file():
            for line in (folder / EVENTS).read_text(encoding="utf-8").splitlines():
                followed.take(json.loads(line))
        if (folder / ERROR).is_file() and error is None:
            error = from_dict(json.loads((folder / ERROR).read_text(encoding="utf-8")))
    try:
        result = outcome(context, followed, "acclimate submit adaptation.yaml", error)
        if result.report is not None:
            page.parent.mkdir(parents=True, exist_ok=True)
            page.write_bytes(result.report.read_bytes())
    finally:
        if "ingest" in followed.folders:
            data = context.store.open(followed.folders["ingest"])
            context.store.release(claim_of(settled(context, followed), data), context.run_id)


def _run(stage: str, context: Context, references: dict[str, str]) -> Path:
    folders = {name: context.store.open(reference) for name, reference in references.items()}
    with _claimed(context, folders.get("data")):
        return STEPS[stage](context, **folders)


@contextmanager
def _claimed(context: Context, data: Path | None) -> Iterator[None]:
    """Hold the run's claim while a step works; who is told to stop gives it back, and the next run need not wait."""
    if data is None or not is_pod():
        yield
        return
    name = claim_of(context, data)
    try:
        with context.store.beating(name, context.run_id):
            yield
    except InterruptedRun:
        context.store.release(name, context.run_id)
        raise


@contextmanager
def _step(stage: str, request: str, run_id: str) -> Iterator[Context]:
    context = open_context(Request.from_json(request), _named(run_id))
    record = context.run_folder
    if is_pod():
        record = context.store.pull(step_folder(context.run_id, stage))
        record.mkdir(parents=True, exist_ok=True)
        context = replace(context, progress=EventLog(record / EVENTS))
    _die_with_the_run()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        if is_pod():
            _require_hope(record)
        yield context
    except AcclimateError as error:
        _fail(record, stage, error)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the outermost edge of the process
        _fail(record, stage, bug_of(error))
    finally:
        if is_pod():
            context.store.push(step_folder(context.run_id, stage))


def _require_hope(record: Path) -> None:
    """Fail at once where an earlier attempt of this step failed for good: KFP repeats everything.

    As often as KFP repeats it by itself; after that somebody asked for it, and the cause may be gone.
    """
    path = record / ERROR
    if not path.is_file():
        return
    told = json.loads(path.read_text(encoding="utf-8"))
    error, repeats = from_dict(told), int(told.get("repeats", 0)) + 1
    if error.exit_code in WORTH_RETRYING or repeats > RETRIES:
        path.unlink()
        return
    _store_error(record, {**told, "repeats": repeats})
    sys.stderr.write(f"{error.code} {error}: not tried again\n")
    sys.exit(error.exit_code)


def _print_traceback() -> None:
    # a client's own message may hold the address it was given, credentials and all
    sys.stderr.write(without_credentials(traceback.format_exc()))


def _fail(record: Path, stage: str, error: AcclimateError) -> NoReturn:
    _print_traceback()
    _store_error(record, {**error.to_dict(), "stage": stage})
    sys.exit(error.exit_code)


def _store_error(record: Path, told: dict[str, Any]) -> None:
    partial = record / f"{ERROR}.{os.getpid()}"
    partial.write_text(json.dumps(told), encoding="utf-8")
    partial.replace(record / ERROR)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    # told once is enough: a second signal must not break off the tidying-up
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise InterruptedRun(
        "E-RUN-143",
        "stopped by SIGTERM",
        hint="run the same command again: finished stages and checkpoints are kept",
    )


def _die_with_the_run() -> None:
    """Kill this process as soon as the run that started it is gone, so that no orphan goes on writing.

    PR_SET_PDEATHSIG would watch only the shell that KFP puts between the run and the step.
    """
    run_pid = int(os.environ.get(RUN_PID, "0"))
    if not run_pid:
        return
    threading.Thread(target=_await_death, args=(run_pid,), daemon=True).start()


def _await_death(run_pid: int) -> None:
    try:
        if sys.platform == "linux":
            select.select([os.pidfd_open(run_pid)], [], [])
        while sys.platform != "linux":
            os.kill(run_pid, 0)
            time.sleep(_POLL_SECONDS)
    finally:
        os.kill(os.getpid(), signal.SIGKILL)
