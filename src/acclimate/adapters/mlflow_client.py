"""Opening MLflow: the embedded SQLite store of a workspace, or a server."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from acclimate.adapters.mlflow_errors import require_readable, shown, translated
from acclimate.errors import AccessError

# name, value and step of each metric
Measured = Sequence[tuple[str, float, int]]

_SQLITE = "sqlite:///"
_BATCH = 100
_PARAM_LIMIT = 6000
_TAG_LIMIT = 5000
# Set before MLflow is imported, and only where the user has not chosen otherwise.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    # Four retries wait about half a minute; MLflow's own seven wait four minutes, on a server that is down.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "4",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "60",
}


@dataclass(frozen=True)
class Connection:
    """An open tracking store, which is the model registry as well.

    Args:
        client: ``mlflow.MlflowClient``.
        uri: tracking URI, with credentials if it has any.
        database: the SQLite file of an embedded store; None for a server.
    """

    client: Any
    uri: str
    database: Path | None

    @property
    def shown_uri(self) -> str:
        """The tracking URI without credentials."""
        return shown(self.uri)

    def artifact_location(self, experiment: str) -> str | None:
        """Where an experiment's artifacts go: beside the embedded database; a server decides itself (None)."""
        return str(self.database.parent / "mlartifacts" / experiment) if self.database else None


def local_uri(workspace: Path) -> str:
    """Tracking URI of the store embedded in a workspace."""
    return f"{_SQLITE}{workspace.resolve() / 'mlflow.db'}"


def connect(uri: str | None, workspace: Path) -> Connection:
    """Open a tracking store.

    Args:
        uri: a server or a database; None takes MLFLOW_TRACKING_URI, else the store embedded in ``workspace``.
        workspace: used only where there is no URI.

    Raises:
        UnavailableError: E-REGISTRY-001, it can't be reached or created.
        AccessError: E-REGISTRY-004, the folder of the database can't be written.
        ConfigError: E-REGISTRY-017, a server's address can't be read.
    """
    chosen = uri or os.environ.get("MLFLOW_TRACKING_URI") or local_uri(workspace)
    require_readable(chosen)
    database = Path(chosen.removeprefix(_SQLITE)) if chosen.startswith(_SQLITE) else None
    client_class = _quiet_client_class()
    with translated(shown(chosen)):
        if database is not None:
            _create_once(database, client_class)
        return Connection(client_class(tracking_uri=chosen, registry_uri=chosen), chosen, database)


def every(search: Callable[..., Any]) -> Iterator[Any]:
    """All results of one of the client's searches, page after page.

    Args:
        search: takes ``page_token``; MLflow gives 100 to 10,000 results a page.
    """
    token: str | None = None
    while True:
        page = search(page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def log_entries(
    connection: Connection,
    run_id: str,
    *,
    params: Mapping[str, str] | None = None,
    metrics: Measured = (),
    tags: Mapping[str, str] | None = None,
    at: int | None = None,
) -> None:
    """Write any number of parameters, metrics and tags of a run: MLflow takes so many at a time only.

    Args:
        connection: the tracking store.
        run_id: the run.
        params: by name, cut where they are longer than MLflow takes.
        metrics: name, value and step of each.
        tags: by name, cut likewise.
        at: when the metrics were measured, in milliseconds since 1970; None is now.
    """
    from mlflow.entities import Metric, Param, RunTag

    at = int(time.time() * 1000) if at is None else at
    all_params = [Param(name, value[:_PARAM_LIMIT]) for name, value in (params or {}).items()]
    all_metrics = [Metric(name, value, at, step) for name, value, step in metrics]
    all_tags = [RunTag(name, value[:_TAG_LIMIT]) for name, value in (tags or {}).items()]
    for start in range(0, max(len(all_params), len(all_metrics), len(all_tags)), _BATCH):
        part = slice(start, start + _BATCH)
        connection.client.log_batch(run_id, all_metrics[part], all_params[part], all_tags[part])


def _quiet_client_class() -> Any:
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    from mlflow import MlflowClient

    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return MlflowClient


def _create_once(database: Path, client_class: Any) -> None:
    """Create a SQLite store under a lock and another name, so that a store by its own name is always whole."""
    if database.exists():
        return
    try:
        database.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{database}.lock")
        lock.acquire()
    except OSError as error:
        raise AccessError(
            "E-REGISTRY-004",
            f"the model registry can't be created: {error.strerror}",
            where=str(database.parent),
            hint="set workspace: to a folder you may write to",
        ) from error
    try:
        if not database.exists():
            partial = database.with_name(f"{database.name}.partial")
            partial.unlink(missing_ok=True)
            client_class(tracking_uri=f"{_SQLITE}{partial}").search_experiments(max_results=1)
            partial.rename(database)
    finally:
        lock.release()
