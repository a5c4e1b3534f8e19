"""Processes that all do something to a registry at the same moment."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from pathlib import Path

import mlflow  # noqa: F401  # loaded once, in the fork server

from acclimate.adapters.mlflow_client import connect
from acclimate.adapters.mlflow_registry import open_registry
from acclimate.errors import AcclimateError
from tests.run_records import SOURCE, run_records, verdict_of

_PATIENCE_SECONDS = 120


def open_store(workspace: str) -> Callable[[], object]:
    """Open the embedded store and write to it; gives the run's id."""
    return lambda: open_registry(None, Path(workspace)).record_run(run_records())


def record(uri: str, workspace: str, name: str) -> Callable[[], object]:
    """Record one run of a model that nobody has registered yet; gives the run's id."""
    registry = open_registry(uri, Path(workspace))
    registry.versions("warm-up")
    source = SOURCE.model_copy(update={"name": f"source-of-{name}"})
    return lambda: registry.record_run(run_records(name=name, source=source))


def register(
    workspace: str,
    name: str,
    key: str,
    model_uri: str,
    run_id: str,
    uri: str | None = None,
    place: str | None = None,
) -> Callable[[], object]:
    """Register one run key, compared with no champion; gives its version."""
    records = run_records(key, name=name)
    registry = open_registry(uri, Path(workspace), place)
    registry.versions("warm-up")
    return lambda: registry.register(records, run_id, model_uri, verdict_of(records), auto_promote=True).version


def promote(uri: str, workspace: str, place: str, reference: str) -> Callable[[], object]:
    """Promote a version; gives the champion then."""
    registry = open_registry(uri, Path(workspace), place)
    registry.versions("warm-up")
    return lambda: registry.promote(reference, reference, "a race", None).after


def promote_or_meddle(uri: str, workspace: str, place: str, reference: str, seconds: str) -> Callable[[], object]:
    """Promote a version; where ``seconds`` is not empty, point the alias at it by hand after that long instead."""
    if not seconds:
        return promote(uri, workspace, place, reference)
    client = connect(uri, Path(workspace)).client
    client.search_registered_models(max_results=1)
    name, version = reference.split("/")

    def meddle() -> str:
        time.sleep(float(seconds))
        client.set_registered_model_alias(name, "champion", version)
        return "by hand"

    return meddle


def _racer(
    environment: dict[str, str],
    barrier: Barrier,
    answer: Connection,
    prepare: Callable[..., Callable[[], object]],
    job: list[str],
) -> None:
    # the fork server keeps the variables of the test that started it, which may have named a server gone by now
    os.environ.clear()
    os.environ.update(environment)
    try:
        act = prepare(*job)
        barrier.wait(_PATIENCE_SECONDS)
        answer.send(str(act()))
    except AcclimateError as error:
        answer.send(error.code)


def race(prepare: Callable[..., Callable[[], object]], jobs: list[list[str]]) -> list[str]:
    """Start a process a job, let all go at once, and give what each said: its result or the code of its error.

    Args:
        prepare: does what may be done before the start and returns what is raced.
        jobs: arguments of ``prepare``, one list a process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    barrier = context.Barrier(len(jobs))
    pipes = [context.Pipe(duplex=False) for _ in jobs]
    racers = [
        context.Process(target=_racer, args=(dict(os.environ), barrier, sender, prepare, job))
        for (_, sender), job in zip(pipes, jobs, strict=True)
    ]
    for racer, (_, sender) in zip(racers, pipes, strict=True):
        racer.start()
        sender.close()  # so that a racer that dies is heard of at once
    answers = [_heard(receiver) for receiver, _ in pipes]
    for racer in racers:
        racer.join()
    return answers


def _heard(receiver: Connection) -> str:
    with receiver:
        try:
            return receiver.recv() if receiver.poll(_PATIENCE_SECONDS) else "no answer"
        except EOFError:
            return "died"
