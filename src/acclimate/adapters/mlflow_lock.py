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

from filelock import FileLock

from acclimate.adapters.mlflow_client import Connection, every
from acclimate.adapters.mlflow_versions import delete_version, ensure_registered_model, registered
from acclimate.errors import UnavailableError
from acclimate.registry import RegisteredVersion

LOCKS = "acclimate--locks"
_FOR = "acclimate.lock_for"
_TOKEN = "acclimate.lock_token"  # noqa: S105  # names a tag
_POLL_SECONDS = 0.1
# Far above what moving two aliases takes. Measured on the waiter's own monotonic clock: clocks need not agree.
STALE_SECONDS = 30.0


@contextmanager
def alias_lock(connection: Connection, version: RegisteredVersion) -> Iterator[None]:
    """Hold the lock on a model's aliases.

    A holder that dies leaves a ticket behind; whoever waits for it takes it away after :data:`STALE_SECONDS`.

    Args:
        connection: the registry.
        version: a version of the model whose aliases are to be moved.

    Raises:
        UnavailableError: E-REGISTRY-016, our ticket was taken away while we waited.
    """
    if connection.database is not None:
        with FileLock(f"{connection.database}.{version.name}.lock"):
            yield
        return
    token = uuid.uuid4().hex
    ensure_registered_model(connection, LOCKS, {})
    try:
        _draw(connection, version, token)
        _wait(connection, version.name, token)
        yield
    finally:
        # All of them: a lost reply makes the client draw twice.
        for ticket in _tickets(connection, version.name):
            if ticket.tags[_TOKEN] == token:
                delete_version(connection, LOCKS, ticket.version)


def _draw(connection: Connection, version: RegisteredVersion, token: str) -> None:
    run_id = connection.client.get_model_version(version.name, str(version.version)).run_id
    # A server takes a source only if it belongs to a run it knows.
    source = connection.client.get_run(run_id).info.artifact_uri
    tags = {_FOR: version.name, _TOKEN: token}
    connection.client.create_model_version(LOCKS, source, run_id=run_id, tags=tags)


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
