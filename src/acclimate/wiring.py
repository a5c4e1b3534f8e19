"""The one place that puts adapters into stages, lazily; and what users load models with."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from acclimate.adapters.local_store import LocalStore
from acclimate.adapters.sources import resolve_source
from acclimate.config_base import DataSpec
from acclimate.errors import ModelError
from acclimate.execution import Context, Request
from acclimate.ports import Store, Trainer
from acclimate.records import GENERATION_TASK, IMAGE_TASK, SourceCard
from acclimate.registry import RegisteredVersion, Registry

if TYPE_CHECKING:
    from acclimate.adapters.data_uris import Located
    from acclimate.nn.causal.writer import Writer
    from acclimate.nn.model import AdaptedModel


@cache
def _resolved(
    spec: str, licence: str | None, root: Path, home: Path, tracking: str | None, allow_outside: bool
) -> tuple[Path, SourceCard]:
    def registry() -> Registry:
        return registry_at(tracking, home)

    return resolve_source(spec, root=root, licence=licence, allow_outside=allow_outside, home=home, registry=registry)


def source_of(context: Context) -> tuple[Path, SourceCard]:
    """Folder and card of the source model."""
    return source_at(context.request, context.home)


def source_at(request: Request, home: Path) -> tuple[Path, SourceCard]:
    """Folder and card of a request's source model; one from elsewhere is kept below ``home``.

    Raises:
        ModelError: E-MODEL-025, the model is of another kind than the task needs; or it can't be used.
    """
    source, tracking = request.adaptation.source, request.adaptation.tracking.uri
    folder, card = _resolved(source.model, source.licence, request.root, home, tracking, request.allow_outside)
    _require_fit(request.adaptation.task, card, source.model)
    return folder, card


def _require_fit(task: str, card: SourceCard, source: str) -> None:
    from acclimate.nn.preflight import CAUSAL_MODEL_TYPES, IMAGE_MODEL_TYPES

    if card.model_type in IMAGE_MODEL_TYPES:
        kind, fitting = "a vision encoder", IMAGE_TASK
    elif card.model_type in CAUSAL_MODEL_TYPES:
        kind, fitting = "a causal language model", GENERATION_TASK
    else:
        kind, fitting = "a text encoder", "text-classification"
    if task != fitting:
        raise ModelError(
            "E-MODEL-025",
            f"the source model ({card.model_type}) is {kind}, the task is {task}",
            where=source,
            hint=f"set task: {fitting}, or name another source",
        )


def pinned(request: Request, home: Path) -> Request:
    """The same request, its source ``models:/NAME@ALIAS`` named by the version it stands for now.

    Raises:
        ConfigError: E-SOURCE-008, the model has no such alias.
    """
    from acclimate.adapters.remote_sources import pinned_source

    adaptation = request.adaptation
    return request.starting_from(
        pinned_source(adaptation.source.model, lambda: registry_at(adaptation.tracking.uri, home))
    )


def located(request: Request, home: Path, spec: DataSpec) -> Located:
    """The data of a table on this machine; what lies elsewhere is fetched to ``home`` and checked."""
    from acclimate.adapters.data_uris import located as locate

    has_images = request.adaptation.task == IMAGE_TASK
    return locate(spec.data, root=request.root, home=home, allow_outside=request.allow_outside, has_images=has_images)


def store_of(workspace: str) -> Store:
    """The workspace's store: a folder of this machine, or ``s3://BUCKET/PREFIX``.

    Raises:
        AccessError: it can't be used.
    """
    if workspace.startswith("s3://"):
        from acclimate.adapters.s3_store import S3Store

        return S3Store(workspace)
    return LocalStore(Path(workspace))


def registry_at(uri: str | None, workspace: Path, promotions: str | None = None) -> Registry:
    """The model registry of a workspace, or the server at ``uri``.

    Args:
        uri: the server; None takes MLFLOW_TRACKING_URI, else what is embedded in the workspace.
        workspace: the workspace's local folder.
        promotions: where promotion logs lie; None takes ACCLIMATE_PROMOTIONS, else a folder in the workspace.
    """
    return _opened(uri, workspace, promotions, may_claim=True)


def _opened(uri: str | None, workspace: Path, promotions: str | None, *, may_claim: bool) -> Registry:
    """The environment is asked each time: a program may set it between two questions."""
    server = uri or os.environ.get("MLFLOW_TRACKING_URI") or None
    place = promotions or os.environ.get("ACCLIMATE_PROMOTIONS") or None
    return _registry_at(server, workspace, place, may_claim)


@cache
def _registry_at(uri: str | None, workspace: Path, promotions: str | None, may_claim: bool) -> Registry:
    from acclimate.adapters.mlflow_registry import open_registry

    return open_registry(uri, workspace, promotions, may_claim=may_claim)


def asked_registry(workspace: Path | None, promotions: str | None = None) -> Registry:
    """The registry that a command without an adaptation.yaml means: of a workspace, by default ``./.acclimate``."""
    home = (workspace or Path(".acclimate")).resolve()
    return _opened(None, home, promotions, may_claim=False)


def registry_of(context: Context) -> Registry:
    """The registry this run writes to."""
    request = context.request
    return registry_at(request.adaptation.tracking.uri, context.home, promotions_of(request))


def promotions_of(request: Request) -> str | None:
    """Where a request's promotions are recorded: where it says, else in a workspace on S3; None: in its folder."""
    shared = f"{request.workspace.rstrip('/')}/promotions" if request.workspace.startswith("s3://") else None
    return request.adaptation.gate.promotions or shared


def live_versions(context: Context) -> list[RegisteredVersion]:
    """The live versions of the adaptation's model; the embedded registry is read without loading MLflow."""
    from acclimate.adapters.mlflow_embedded import read_versions

    config = context.request.adaptation
    if config.tracking.uri is None and not os.environ.get("MLFLOW_TRACKING_URI"):
        found = read_versions(context.home / "mlflow.db", config.name)
        if found is not None:
            return found
    return registry_of(context).versions(config.name)


def trainer_of(context: Context) -> Trainer:
    """In process for one worker, Ray Train for more."""
    compute = context.request.adaptation.compute
    if compute.most_workers == 1:
        from acclimate.nn.train import InProcessTrainer

        return InProcessTrainer(gpus=compute.gpus_per_worker)
    from acclimate.adapters.ray import RayTrainer

    # without a cluster the workers share this machine
    cpus = compute.cpus_per_worker if os.environ.get("RAY_ADDRESS") else 1
    shared = context.store if context.is_shared else None
    return RayTrainer(
        compute.most_workers,
        fewest=compute.fewest_workers,
        cpus=cpus,
        gpus=compute.gpus_per_worker,
        sharded=compute.sharded,
        shared=shared,
    )


def load(uri: str, workspace: str | Path | None = None) -> AdaptedModel | Writer:
    """Load an adapted model.

    Args:
        uri: a model's folder, ``models:/NAME/VERSION``, ``models:/NAME@ALIAS`` or ``runs:/ID/PATH``.
        workspace: where the registry is looked for; by default MLFLOW_TRACKING_URI, else ``./.acclimate``.

    Returns:
        The model: ``.predict(inputs)`` gives labels in order, ``.predict_proba(inputs)`` their probabilities. Of
        text generation ``.predict(texts)`` gives what the model writes.

    Raises:
        ModelError: the folder is not a model, or the registry knows no such model.
    """
    from acclimate.nn.adapted import load_adapted

    if not uri.startswith(("models:/", "runs:/")):
        return load_adapted(Path(uri))
    home = Path(workspace or ".acclimate").resolve()
    registry = asked_registry(home)
    return load_adapted(registry.fetch(uri, home / "fetched"))
