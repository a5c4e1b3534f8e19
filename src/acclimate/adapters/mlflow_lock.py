"""Mutual exclusion for moving aliases: a file lock for the embedded store, tickets in the registry for a server.

The only thing MLflow orders for its clients is the number of a model version. So a ticket is a version of one internal
registered model, and whoever has the lowest live ticket for a name holds the lock (a bakery whose server draws
the numbers).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from filelock import FileLock

from acclimate.adapters.mlflow_client import Connection, every
from acclimate.adapters.mlflow_errors import is_error
from acclimate.adapters.mlflow_versions import delete_version, ensure_registered_model, registered
from acclimate.errors import ModelError, UnavailableError
from acclimate.registry import RegisteredVersion

LOCKS = "acclimate--locks"
_FOR = "acclimate.lock_for"
_TOKEN = "acclimate.lock_token"  # noqa: S105  # names a tag
_POLL_SECONDS = 0.1
# Far above what moving two aliases takes. Measured on the waiter's own monotonic clock: clocks need not agree.
STALE_SECONDS = 30.0


@contextmanager
def alias_lock(connection: Connection, name: str) -> Iterator[None]:
    """Hold the lock on a model's aliases.

    A holder that dies leaves a ticket behind; whoever waits for it takes it away after :data:`STALE_SECONDS`.

    Args:
        connection: the registry.
        name: the registered model whose aliases are to be moved.

    Raises:
        UnavailableError: E-REGISTRY-016, our ticket was taken away while we waited.
        ModelError: E-REGISTRY-024, there is no run of this model that a ticket could be drawn with.
    """
    if connection.database is not None:
        with FileLock(f"{connection.database}.{name}.lock"):
            yield
        return
    token = uuid.uuid4().hex
    ensure_registered_model(connection, LOCKS, {})
    try:
        _draw(connection, name, token)
        _wait(connection, name, token)
        yield
    finally:
        # All of them: a lost reply makes the client draw twice.
        for ticket in _tickets(connection, name):
            if ticket.tags[_TOKEN] == token:
                delete_version(connection, LOCKS, ticket.version)


def _draw(connection: Connection, name: str, token: str) -> None:
    # A server takes a source only if it belongs to a run it knows; the queue is by name, whichever run it is.
    run = next(_runs(connection, name), None)
    if run is None:
        raise ModelError(
            "E-REGISTRY-024",
            "no run of this model can be read any more, and MLflow keeps no place in a queue without one",
            where=name,
            hint="run its adaptation again, then repeat this: acclimate run adaptation.yaml",
        )
    tags = {_FOR: name, _TOKEN: token}
    connection.client.create_model_version(LOCKS, run.artifact_uri, run_id=run.run_id, tags=tags)


def _runs(connection: Connection, name: str) -> Iterator[Any]:
    """Runs that are there still: of the model's versions, the newest first, then of its experiment."""
    from mlflow.exceptions import MlflowException

    client = connection.client
    newest_first = {"max_results": 100, "order_by": ["version_number DESC"]}
    for version in every(
        lambda page_token: client.search_model_versions(f"name = '{name}'", page_token=page_token, **newest_first)
    ):
        try:
            # one that was registered by hand may have none
            if version.run_id:
                yield client.get_run(version.run_id).info
        except MlflowException as error:
            if not is_error(error, "RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED"):
                raise
    experiment = client.get_experiment_by_name(name)
    if experiment is not None:
        yield from (run.info for run in client.search_runs([experiment.experiment_id], max_results=1))


def _tickets(connection: Connection, name: str) -> list[RegisteredVersion]:
    search = connection.client.search_model_versions
    found = every(lambda page_token: search(f"name = '{LOCKS}'", page_token=page_token))
    ours = (one for one in found if one.tags.get(_FOR) == name and _TOKEN in one.tags)
    return sorted((registered(one, {}) for one in ours), key=lambda one: one.version)


def _wait(connection: Connection, name: str, token: str) -> None:
    holder, seen_since = 0, 0.0
    while True:
        tickets = _tickets(connection, name)
        if all(ticket.tags[_TOKEN] != token for ticket in tickets):
            raise UnavailableError(
                "E-REGISTRY-016",
                "somebody took away our place in the queue for moving aliases",
                where=name,
                hint="run again",
            )
        first = tickets[0]
        if first.tags[_TOKEN] == token:
            return
        if first.version != holder:
            holder, seen_since = first.version, time.monotonic()
        elif time.monotonic() - seen_since > STALE_SECONDS:
            delete_version(connection, LOCKS, holder)
        # who stands further back asks less often: else many waiters keep the server from serving the holder
        before = next(place for place, ticket in enumerate(tickets) if ticket.tags[_TOKEN] == token)
        time.sleep(_POLL_SECONDS * before)
