"""Processes that register and promote over a bad network, or are killed while they do."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from acclimate.adapters import mlflow_lock
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.errors import AcclimateError
from acclimate.registry import RunRecords
from tests.contract import registry_race
from tests.faulty_proxy import ALL_METHODS, FaultyProxy, kill_at
from tests.run_records import SOURCE, digest, run_records, verdict_of

# MLflow's client waits 2, 4, 8 seconds between its tries; what is tested is how often it tries, not how long it waits
ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0", "MLFLOW_HTTP_REQUEST_BACKOFF_JITTER": "0"}
# a dead holder's ticket is waited for that long instead of 30 seconds
STALE_SECONDS = 3.0
_PATIENCE_SECONDS = 120


def opened(uri: str, folder: str) -> MlflowRegistry:
    """The registry as all here open it; the promotion logs lie in a folder beside."""
    os.environ.update(ENVIRONMENT)
    mlflow_lock.STALE_SECONDS = STALE_SECONDS
    return open_registry(uri, Path(folder), f"{folder}/promotions")


def records_of(name: str, key: str, champion: str) -> RunRecords:
    """A run of its own weights that was compared with a champion, or with none (empty), from a source of its own."""
    source = SOURCE.model_copy(update={"name": f"org/{name}", "digest": digest(name)})
    comparator = f"champion models:/{name}/{champion}" if champion else "baseline"
    return run_records(key, name=name, model_digest=digest(key), comparator=comparator, source=source)


def register(
    uri: str, folder: str, name: str, key: str, champion: str, model_uri: str, run_id: str
) -> Callable[[], str]:
    """Register one run key; gives its version, or the code and exit code of the error."""
    records, registry = records_of(name, key, champion), opened(uri, folder)

    def act() -> str:
        try:
            done = registry.register(records, run_id, model_uri, verdict_of(records), auto_promote=True)
        except AcclimateError as error:
            return f"{error.code} exit {error.exit_code}: {error}"
        return str(done.version)

    return act


def whole_stage(uri: str, folder: str, name: str, weights: str) -> Callable[[], str]:
    """All that the register stage does: the run, the model, the version, both aliases; gives the version."""
    records, registry = records_of(name, name, ""), opened(uri, folder)

    def act() -> str:
        run_id = registry.record_run(records)
        model_uri = registry.log_model(run_id, records, Path(weights))
        return str(registry.register(records, run_id, model_uri, verdict_of(records), auto_promote=True).version)

    return act


def record(uri: str, folder: str, name: str) -> Callable[[], str]:
    """Record the run of a key; gives its id, or the code and exit code of the error."""
    records, registry = records_of(name, name, ""), opened(uri, folder)

    def act() -> str:
        try:
            return registry.record_run(records)
        except AcclimateError as error:
            return f"{error.code} exit {error.exit_code}: {error}"

    return act


def promote(uri: str, folder: str, reference: str) -> Callable[[], str]:
    """Promote a version; gives the champion then."""
    registry = opened(uri, folder)
    return lambda: str(registry.promote(reference, "ann", "better", None).after)


def _mortal(pipe: Connection, prepare: Callable[..., Callable[[], str]], job: list[str]) -> None:
    act = prepare(*job)
    pipe.send("ready")
    pipe.recv()
    pipe.send(act())


def killed_at(
    proxy: FaultyProxy, step: int, prepare: Callable[..., Callable[[], str]], job: list[str], *, done: bool
) -> str | None:
    """Let a process act and kill it at its request number ``step``.

    Args:
        proxy: the one its requests take.
        step: see :func:`tests.faulty_proxy.kill_at`, as is ``done``.
        prepare: gives the act.
        job: arguments of ``prepare``.
        done: see ``step``.

    Returns:
        What the act gave where it had fewer requests than that; else None.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([registry_race.__name__])
    ours, its = context.Pipe()
    process = context.Process(target=_mortal, args=(its, prepare, job))
    process.start()
    its.close()
    with ours:
        assert ours.poll(_PATIENCE_SECONDS)
        ours.recv()
        assert process.pid is not None
        proxy.spoil(kill_at(step, process.pid, done=done), methods=ALL_METHODS)
        ours.send("go")
        try:
            assert ours.poll(_PATIENCE_SECONDS), "it neither ended nor died"
            said: str | None = ours.recv()
        except EOFError:
            said = None
    process.join(_PATIENCE_SECONDS)
    proxy.heal()
    return said
