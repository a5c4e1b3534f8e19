"""Runs the whole pipeline, or the part up to the decision, on this machine."""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import as_file, files
from pathlib import Path
from types import FrameType
from typing import Any

from acclimate.adapters.data_uris import absolute_data
from acclimate.adapters.kfp_local import PipelineFailed, run_compiled
from acclimate.config_file import check_services, load_config
from acclimate.config_file.addresses import scheme_of
from acclimate.errors import AcclimateError, InterruptedRun, UnavailableError, from_dict
from acclimate.execution import Context, Request
from acclimate.outcome import Followed, RunResult, outcome
from acclimate.ports import Progress, silent
from acclimate.stage_work import STEPS
from acclimate.steps import ERROR, EVENTS, RUN_PID, open_context
from acclimate.wiring import pinned, store_of

POLL_SECONDS = 0.2
STOP_SECONDS = 8.0


def load_request(
    path: str | Path, overrides: Sequence[str] = (), *, allow_outside: bool = False, pin: bool = True
) -> Request:
    """Read an adaptation.yaml into a request with absolute paths.

    Args:
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        allow_outside: data may lie outside the project root.
        pin: a source ``models:/NAME@ALIAS`` becomes the version it stands for now; else each run looks for itself.

    Raises:
        ConfigError: whatever is wrong with the file, all at once.
    """
    loaded = load_config(Path(path), list(overrides), allow_outside=allow_outside)
    home, root = loaded.path.parent, loaded.root

    def absolute(data: str) -> str:
        return absolute_data(data, home, root, allow_outside=allow_outside)

    config = loaded.config
    target = config.target.model_copy(update={"data": absolute(config.target.data)})
    source = config.source
    if source.reference is not None:
        reference = source.reference.model_copy(update={"data": absolute(source.reference.data)})
        source = source.model_copy(update={"reference": reference})
    if scheme_of(source.model) is None:
        source = source.model_copy(update={"model": str((home / source.model).resolve())})
    retrain = config.retrain
    if retrain.fresh is not None:
        fresh = retrain.fresh.model_copy(update={"data": absolute(retrain.fresh.data)})
        retrain = retrain.model_copy(update={"fresh": fresh})
    place, beside = config.gate.promotions, home
    if place is None and os.environ.get("ACCLIMATE_PROMOTIONS"):
        place, beside = os.environ["ACCLIMATE_PROMOTIONS"], Path.cwd()
    if place is not None and scheme_of(place) is None:
        place = str((beside / place).resolve())
    gate = config.gate.model_copy(update={"promotions": place})
    workspace = config.workspace if scheme_of(config.workspace) else str((home / config.workspace).resolve())
    check_services(config, os.environ, where=loaded.places.where(("workspace",)))
    changes: dict[str, Any] = {"target": target, "source": source, "gate": gate, "retrain": retrain}
    changes["workspace"] = workspace
    if config.pool is not None:
        changes["pool"] = config.pool.model_copy(update={"data": absolute(config.pool.data)})
    request = Request(config.model_copy(update=changes), root, workspace, allow_outside)
    if not pin:
        return request
    return pinned(request, store_of(workspace).home if scheme_of(workspace) else Path(workspace))


def new_run_id() -> str:
    """A name for a run's folder, sorted by start."""
    return time.strftime("%Y%m%d-%H%M%S-", time.gmtime()) + secrets.token_hex(3)


def plan(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> RunResult:
    """Run up to the decision: what would be done, why and at what cost, without training.

    Args:
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        allow_outside: data may lie outside the project root.
        progress: told of every event.

    Returns:
        The part of the summary that is known before training; there is no model and no verdict yet.
    """
    request = load_request(path, overrides, allow_outside=allow_outside)
    context = open_context(request, new_run_id())
    followed, command = Followed(), _command("plan", path, overrides)

    def both(event: str, /, **fields: Any) -> None:
        followed.take({"event": event, **fields})
        progress(event, **fields)

    context = Context(request, context.run_id, context.store, both)
    try:
        data = STEPS["ingest"](context)
        gap = STEPS["gap"](context, data=data)
        baseline = STEPS["baseline"](context, data=data)
        STEPS["decide"](context, data=data, gap=gap, baseline=baseline)
        return outcome(context, followed, command)
    finally:
        clean(context)


def run(
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    pipeline: str = "adapt",
    allow_outside: bool = False,
    progress: Progress = silent,
) -> RunResult:
    """Run a whole pipeline on this machine, as the compiled DAG in KFP's local runner.

    Args:
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        pipeline: ``adapt``, or ``retrain``, which first decides whether to.
        allow_outside: data may lie outside the project root.
        progress: told of every event of every step.

    Returns:
        The result with its summary and report; exit code 10 when the gate refused.

    Raises:
        AcclimateError: the coded cause of a step's failure.
    """
    request = load_request(path, overrides, allow_outside=allow_outside)
    context = open_context(request, new_run_id())
    verb = "run" if pipeline == "adapt" else pipeline
    followed, command = Followed(), _command(verb, path, overrides)
    try:
        with _following(context, followed, progress), _forwarding_signals(followed) as stopped:
            _run_pipeline(pipeline, context, stopped)
        return outcome(context, followed, command)
    except AcclimateError as error:
        outcome(context, followed, command, error)
        raise
    finally:
        clean(context)


def _command(verb: str, path: str | Path, overrides: Sequence[str]) -> str:
    return shlex.join(["acclimate", verb, str(path), *(part for item in overrides for part in ("-s", item))])


def _run_pipeline(name: str, context: Context, stopped: Callable[[], int]) -> None:
    scratch = context.scratch / "kfp"
    scratch.mkdir(parents=True)
    log = context.run_folder / "kfp.log"
    arguments = {"request": context.request.to_json(), "run_id": context.run_id}
    try:
        with as_file(files("acclimate") / "pipelines" / f"{name}.yaml") as pipeline:
            run_compiled(pipeline, arguments, scratch=scratch, log=log)
    except PipelineFailed as failure:
        if stopped() == signal.SIGINT:
            raise KeyboardInterrupt from failure
        raise _cause(context, log, stopped()) from failure


def _cause(context: Context, log: Path, signal_number: int) -> AcclimateError:
    path = context.run_folder / ERROR
    if path.is_file():
        return from_dict(json.loads(path.read_text(encoding="utf-8")))
    if signal_number == signal.SIGTERM:
        return InterruptedRun("E-RUN-143", "stopped by SIGTERM", hint="run the same command again to go on")
    return UnavailableError(
        "E-RUN-001",
        "a step ended without saying why; it was probably killed, for instance for lack of memory",
        where=str(log),
        hint="read the log's last lines, then run the same command again: finished stages are kept",
    )


@contextmanager
def _following(context: Context, followed: Followed, progress: Progress) -> Iterator[None]:
    """Pass the steps' events on while the pipeline runs; none is lost at the end."""
    path, done = context.run_folder / EVENTS, threading.Event()
    path.touch()

    def follow() -> None:
        with path.open(encoding="utf-8") as file:
            ended = False
            while not ended:
                ended = done.wait(POLL_SECONDS)
                for line in iter(file.readline, ""):
                    event = json.loads(line)
                    followed.take(event)
                    progress(event.pop("event"), **event)

    thread = threading.Thread(target=follow, name="events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _forwarding_signals(followed: Followed) -> Iterator[Callable[[], int]]:
    """Hand SIGTERM and SIGINT on to the running step, and kill it when it does not stop in time."""
    os.environ[RUN_PID] = str(os.getpid())
    if threading.current_thread() is not threading.main_thread():
        yield lambda: 0
        return
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        _signal(followed.step_pid, signal.SIGTERM)
        timer = threading.Timer(STOP_SECONDS, _signal, (followed.step_pid, signal.SIGKILL))
        timer.daemon = True
        timer.start()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: received[0] if received else 0
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _signal(pid: int, number: int) -> None:
    if pid and pid != os.getpid():
        with suppress(ProcessLookupError):  # it has ended by itself
            os.kill(pid, number)


def clean(context: Context) -> None:
    """Remove the partial outputs of a run."""
    if context.scratch.exists():
        shutil.rmtree(context.scratch)
