"""The one place that puts adapters into stages, lazily; and what users load models with."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from acclimate.adapters.sources import resolve_source
from acclimate.execution import Context
from acclimate.ports import RegisteredVersion, Registry, Trainer
from acclimate.records import SourceCard

if TYPE_CHECKING:
    from acclimate.nn.model import AdaptedModel


@cache
def _resolved(uri: str, root: Path, licence: str | None, allow_outside: bool) -> tuple[Path, SourceCard]:
    return resolve_source(uri, root=root, licence=licence, allow_outside=allow_outside)


def source_of(context: Context) -> tuple[Path, SourceCard]:
    """Folder and card of the source model."""
    request = context.request
    spec = request.adaptation.source
    return _resolved(spec.model, request.root, spec.licence, request.allow_outside)


@cache
def registry_at(uri: str | None, workspace: Path) -> Registry:
    """The model registry of a workspace, or the server at ``uri``."""
    from acclimate.adapters.mlflow_registry import open_registry

    return open_registry(uri, workspace)


def registry_of(context: Context) -> Registry:
    """The registry this run writes to."""
    return registry_at(context.request.adaptation.tracking.uri, context.request.workspace)


def live_versions(context: Context) -> list[RegisteredVersion]:
    """The live versions of the adaptation's model; the embedded registry is read without loading MLflow."""
    from acclimate.adapters.mlflow_embedded import read_versions

    config = context.request.adaptation
    if config.tracking.uri is None and not os.environ.get("MLFLOW_TRACKING_URI"):
        found = read_versions(context.request.workspace / "mlflow.db", config.name)
        if found is not None:
            return found
    return registry_of(context).versions(config.name)


def trainer_of(context: Context) -> Trainer:
    """In process for one worker, Ray Train for more."""
    workers = context.request.adaptation.compute.workers
    if workers == 1:
        from acclimate.nn.train import InProcessTrainer

        return InProcessTrainer()
    from acclimate.adapters.ray import RayTrainer

    return RayTrainer(workers=workers)


def load(uri: str, workspace: str | Path | None = None) -> AdaptedModel:
    """Load an adapted model.

    Args:
        uri: a model's folder, ``models:/NAME/VERSION``, ``models:/NAME@ALIAS`` or ``runs:/ID/PATH``.
        workspace: where the registry is looked for; by default MLFLOW_TRACKING_URI, else ``./.acclimate``.

    Returns:
        The model: ``.predict(texts)`` gives labels in order, ``.predict_proba(texts)`` the probabilities.

    Raises:
        ModelError: the folder is not a model, or the registry knows no such model.
    """
    from acclimate.nn.model import AdaptedModel

    if not uri.startswith(("models:/", "runs:/")):
        return AdaptedModel.load(Path(uri))
    home = Path(workspace or ".acclimate").resolve()
    registry = registry_at(None, home)
    return AdaptedModel.load(registry.fetch(uri, home / "tmp" / "fetched"))
