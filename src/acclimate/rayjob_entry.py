"""Entrypoint of a RayJob: ``python -m acclimate.rayjob_entry s3://BUCKET/PREFIX/rayjobs/KEY``.

It runs on the head of the job's cluster: finetune as a whole, its training on the workers. KubeRay keeps of a failed
job only a line, so events and the error go into the shared folder it was started with.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from acclimate.adapters.mlflow_errors import without_credentials
from acclimate.errors import AcclimateError, ConfigError, InterruptedRun, bug_of
from acclimate.execution import Context, Request
from acclimate.ports import Store
from acclimate.rayjob_training import ERROR, EVENTS, FOLDER, Task, end_when_nobody_follows
from acclimate.stage_work.training import finetune_step, finetune_work
from acclimate.steps import EventLog
from acclimate.wiring import store_of

_PUSH_SECONDS = 5.0
_OUTAGE_SECONDS = 60.0


class ReportedEvents:
    """An event log that is stored in the workspace while it grows.

    Args:
        store: of the workspace.
        name: of the shared folder.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self._log = EventLog(store.home / name / EVENTS)
        self._pushed = 0.0

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Append an event, and store the log unless that was done a moment ago."""
        self._log(event, **fields)
        if time.monotonic() - self._pushed > _PUSH_SECONDS:
            self._store.push(self._name)
            self._pushed = time.monotonic()


def run(record: str) -> None:
    """Do what the task in a shared folder says.

    Args:
        record: the folder's address.

    Raises:
        AcclimateError: what went wrong; it is in the folder's ``error.json`` too.
    """
    workspace, _, key = record.rpartition(f"/{FOLDER}/")
    if not workspace or not key or "/" in key:
        hint = f"s3://BUCKET/PREFIX/{FOLDER}/KEY"
        raise ConfigError("E-RAY-023", "this is no address of a task", where=record[:200], hint=hint)
    # set by Ray for the entrypoint of a job, but not promised
    os.environ.setdefault("RAY_ADDRESS", "auto")
    store, name = store_of(workspace), f"{FOLDER}/{key}"
    folder = store.pull(name)
    try:
        _run(Task.read(folder), store, ReportedEvents(store, name))
    except AcclimateError as error:
        _leave(folder, error)
        raise
    except Exception as error:
        _leave(folder, bug_of(error))
        raise
    finally:
        store.push(name)


def _run(task: Task, store: Store, progress: ReportedEvents) -> None:
    context = Context(Request.from_json(task.request), task.run_id, store, progress)
    folders = {role: store.open(reference) for role, reference in task.references.items()}
    if finetune_work(context, **folders).key != task.key:
        raise ConfigError(
            "E-RAY-017",
            "the job's image holds another version of acclimate than the step that made it",
            where=os.environ.get("HOSTNAME", ""),
            hint="let ray.overrides.image of the chart be empty, or build it from the same version",
        )
    _watch_followers(store, task.key, progress)
    finetune_step(context, **folders)


def _watch_followers(store: Store, key: str, progress: ReportedEvents) -> None:
    """Stop this process as a cluster would when nobody wants its outcome any more."""

    def end() -> None:
        progress("abandoned", says="nobody follows this training any more; it stops and can be taken up later")
        os.kill(os.getpid(), signal.SIGTERM)

    def watch() -> None:
        while True:
            try:
                return end_when_nobody_follows(store, key, end)
            except AcclimateError:
                # a store that is away is away for the followers too
                sys.stderr.write(without_credentials(traceback.format_exc()))
                time.sleep(_OUTAGE_SECONDS)

    threading.Thread(target=watch, name="followers", daemon=True).start()


def _leave(folder: Path, error: AcclimateError) -> None:
    (folder / ERROR).write_text(json.dumps({**error.to_dict(), "stage": "finetune"}), encoding="utf-8")


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise InterruptedRun("E-RUN-143", "stopped by SIGTERM", hint="run again: it goes on after the last whole epoch")


def main() -> NoReturn:
    """Run the task named on the command line; the exit code is the error's."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        run(*sys.argv[1:2] or [""])
    except AcclimateError as error:
        sys.stderr.write(without_credentials(traceback.format_exc()))
        sys.exit(error.exit_code)
    sys.exit(0)


if __name__ == "__main__":
    main()
