"""Source models in the registry: one registered model a source, one version a digest, no weights."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from acclimate.adapters.mlflow_client import Connection
from acclimate.adapters.mlflow_errors import without_credentials
from acclimate.adapters.mlflow_runs import experiment_id
from acclimate.adapters.mlflow_tags import KIND, LOGGED_MODEL, SOURCE_DIGEST, SOURCE_KIND
from acclimate.adapters.mlflow_versions import ensure_registered_model, ensure_version, live_versions
from acclimate.records import SourceCard

SOURCE_PREFIX = "source--"
_EXPERIMENT = "source-models"


def registered_name(card: SourceCard) -> str:
    """``source--NAME``, with what MLflow does not allow in names replaced."""
    return SOURCE_PREFIX + re.sub(r"[^A-Za-z0-9._-]+", "-", card.name)[:200]


def ensure_source(connection: Connection, card: SourceCard, source_uri: str) -> tuple[str, str | None]:
    """Register a source model once.

    Args:
        connection: the registry.
        card: the source model as pinned.
        source_uri: where it came from; ``models:/NAME/VERSION`` is a version already and stays what it is.

    Returns:
        ``models:/NAME/VERSION`` and the id of its logged model (None where it has none).
    """
    if re.fullmatch(r"models:/[^/@]+/\d+", source_uri):
        return source_uri, None
    name = registered_name(card)
    key = (SOURCE_DIGEST, card.digest)
    for version in live_versions(connection, name):
        if version.tags.get(key[0]) == key[1]:
            return version.model_uri, version.tags.get(LOGGED_MODEL)
    tags = _tags(card, source_uri)
    logged = _pointer(connection, card, tags)
    ensure_registered_model(connection, name, {KIND: SOURCE_KIND})
    version, _ = ensure_version(
        connection,
        name,
        key,
        {"source": logged.artifact_location, "model_id": logged.model_id, "run_id": logged.source_run_id},
        {**tags, LOGGED_MODEL: logged.model_id},
    )
    return version.model_uri, version.tags.get(LOGGED_MODEL)


def _tags(card: SourceCard, source_uri: str) -> dict[str, str]:
    return {
        KIND: SOURCE_KIND,
        SOURCE_DIGEST: card.digest,
        "acclimate.source_uri": without_credentials(source_uri),
        "acclimate.revision": card.revision,
        "acclimate.licence": card.licence or "unknown",
        "acclimate.model_type": card.model_type,
        "acclimate.parameters": str(card.parameters),
    }


def _pointer(connection: Connection, card: SourceCard, tags: dict[str, str]) -> Any:
    client = connection.client
    experiment = experiment_id(connection, _EXPERIMENT)
    # Without a run, MLflow looks the logged model up in its global tracking store instead of this one.
    run_id = client.create_run(experiment, tags=tags, run_name=card.name).info.run_id
    made = client.create_logged_model(experiment, name="source", source_run_id=run_id, tags=tags, model_type="source")
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "source.json").write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
        client.log_model_artifacts(made.model_id, folder)
    client.set_terminated(run_id, "FINISHED")
    return client.finalize_logged_model(made.model_id, "READY")
