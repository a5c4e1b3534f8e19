"""The edge of a pipeline step: what a KFP component calls.

KFP's local runner loses a step's exit code and cause, and prints the step's output as its own. So a step writes
``events.jsonl`` and ``error.json`` into the run's folder, and it dies with the run that started it.
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
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, NoReturn

from acclimate.adapters.local_store import LocalStore
from acclimate.errors import AcclimateError, InterruptedRun, bug_of
from acclimate.execution import Context, Request
from acclimate.records import Decision
from acclimate.stage_work import STEPS

RUN_PID = "ACCLIMATE_RUN_PID"
EVENTS = "events.jsonl"
ERROR = "error.json"
_POLL_SECONDS = 0.5


class Decided(NamedTuple):
    """What ``decide`` hands on: its folder, and the branch to take."""

    folder: str
    action: str


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
    store = LocalStore(request.workspace)
    folder = request.workspace / "runs" / run_id
    folder.mkdir(parents=True, exist_ok=True)
    return Context(request, run_id, store, EventLog(folder / EVENTS))


def run_step(stage: str, request: str, run_id: str, **folders: str) -> str:
    """Run one stage and return its folder.

    Args:
        stage: the stage's name.
        request: a :class:`Request` as JSON.
        run_id: the run this step belongs to.
        folders: finished folders of the stages it reads.

    Raises:
        SystemExit: the stage failed; the cause is in the run's ``error.json``, the code is the error's.
    """
    context = open_context(Request.from_json(request), run_id)
    _die_with_the_run()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return str(STEPS[stage](context, **{name: Path(folder) for name, folder in folders.items()}))
    except AcclimateError as error:
        _fail(context, stage, error)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the outermost edge of the process
        _fail(context, stage, bug_of(error))


def run_decide(request: str, run_id: str, **folders: str) -> Decided:
    """Run ``decide`` and return its folder with the branch it asks for."""
    folder = run_step("decide", request, run_id, **folders)
    return Decided(folder, Decision.read(Path(folder)).action)


def _fail(context: Context, stage: str, error: AcclimateError) -> NoReturn:
    traceback.print_exc()
    partial = context.run_folder / f"{ERROR}.{os.getpid()}"
    partial.write_text(json.dumps({**error.to_dict(), "stage": stage}), encoding="utf-8")
    partial.replace(context.run_folder / ERROR)
    sys.exit(error.exit_code)


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise InterruptedRun(
        "E-RUN-143", "stopped by SIGTERM", hint="run the same command again: finished stages and epochs are kept"
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
