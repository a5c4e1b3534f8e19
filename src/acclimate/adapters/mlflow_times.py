"""When a model version was registered, by the registry's own clock."""

from __future__ import annotations

from pathlib import Path

from acclimate.adapters.mlflow_client import connect
from acclimate.adapters.mlflow_errors import translated
from acclimate.registry import RegisteredVersion


def registered_at(uri: str | None, workspace: Path, version: RegisteredVersion) -> float:
    """Seconds since 1970 at which a version was registered.

    Args:
        uri: MLflow server or database; None takes MLFLOW_TRACKING_URI, else the store embedded in ``workspace``.
        workspace: folder of the embedded store.
        version: a live version.

    Raises:
        ModelError: E-REGISTRY-003, it is gone.
        UnavailableError: E-REGISTRY-001, the registry can't be reached.
    """
    connection = connect(uri, workspace)
    with translated(connection.shown_uri):
        found = connection.client.get_model_version(version.name, str(version.version))
    return float(found.creation_timestamp) / 1000.0
