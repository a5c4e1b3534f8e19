"""What a pipeline on a cluster needs before it can start: a request without local paths, and a compiled pipeline."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from acclimate.config import SourceSpec
from acclimate.config_file.addresses import scheme_of
from acclimate.config_file.remote_uris import DvcAddress
from acclimate.errors import ConfigError
from acclimate.execution import Request
from acclimate.local_run import load_request
from acclimate.ports import Progress, silent
from acclimate.records import IMAGE_TASK

Adapting = Literal["adapt", "retrain"]
Pipeline = Literal["adapt", "retrain", "predict"]
_ACCOUNT = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def cluster_request(
    path: Path, overrides: Sequence[str], *, pipeline: Adapting, allow_outside: bool, progress: Progress = silent
) -> Request:
    """Read an adaptation.yaml and bring what lies on this machine to the workspace.

    The source model and local data are uploaded under the digest of their content; uploading again uploads nothing.

    Args:
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        pipeline: what will run; ``retrain`` looks for itself where an alias of the source points by then.
        allow_outside: data may lie outside the project root.
        progress: told of what is uploaded.

    Returns:
        A request that means the same on every machine.

    Raises:
        ConfigError: E-KFP-017, the workspace is a local folder; or whatever is wrong with the file.
    """
    request = load_request(path, overrides, allow_outside=allow_outside, pin=pipeline != "retrain")
    require_shared(request, path)
    config = request.adaptation
    target = config.target.model_copy(
        update={"data": published_data(config.target.data, "target.data", request, progress)}
    )
    changed: dict[str, object] = {"target": target, "source": _published_source(request, progress)}
    if config.pool is not None:
        data = published_data(config.pool.data, "pool.data", request, progress)
        changed["pool"] = config.pool.model_copy(update={"data": data})
    if config.retrain.fresh is not None:
        data = published_data(config.retrain.fresh.data, "retrain.fresh.data", request, progress)
        fresh = config.retrain.fresh.model_copy(update={"data": data})
        changed["retrain"] = config.retrain.model_copy(update={"fresh": fresh})
    adaptation = config.model_copy(update=changed)
    return replace(request, adaptation=adaptation, root=Path("/"))


def require_shared(request: Request, path: Path) -> None:
    """Refuse a workspace that only this machine sees.

    Args:
        request: what is to run on the cluster.
        path: the adaptation.yaml it was read from.

    Raises:
        ConfigError: E-KFP-017.
    """
    if scheme_of(request.workspace) != "s3":
        raise ConfigError(
            "E-KFP-017",
            "the workspace is a folder on this machine, which a cluster can't read",
            where=f"{path}: workspace",
            hint="set workspace: s3://BUCKET/PREFIX, or -s workspace=s3://BUCKET/PREFIX",
        )
    place = request.adaptation.gate.promotions
    if place is not None and scheme_of(place) != "s3":
        raise ConfigError(
            "E-KFP-017",
            f"promotions are recorded in a folder on this machine, which a cluster can't reach: {place}",
            where=f"{path}: gate.promotions",
            hint="set gate.promotions or ACCLIMATE_PROMOTIONS to s3://BUCKET/PREFIX, or leave both out",
        )


def _published_source(request: Request, progress: Progress) -> SourceSpec:
    source, changed = request.adaptation.source, dict[str, object]()
    if scheme_of(source.model) in {None, "package"}:
        from acclimate.adapters.published import publish_source
        from acclimate.adapters.sources import resolve_source

        progress("uploading", says=f"the source model {source.model}")
        folder, card = resolve_source(
            source.model, root=request.root, licence=source.licence, allow_outside=request.allow_outside
        )
        changed["model"] = publish_source(folder, card, request.workspace)
    if source.reference is not None:
        data = published_data(source.reference.data, "source.reference.data", request, progress)
        changed["reference"] = source.reference.model_copy(update={"data": data})
    return source.model_copy(update=changed)


def published_data(data: str, name: str, request: Request, progress: Progress) -> str:
    """The address at which the cluster finds a table; one that lies on this machine is uploaded.

    Args:
        data: absolute path or address.
        name: the key or option it comes from, shown in errors.
        request: names the workspace that it goes to.
        progress: told of an upload.

    Raises:
        AcclimateError: E-DATA-NNN, E-S3-NNN or E-DVC-NNN, it can't be read or stored.
    """
    if not _is_here(data):
        return data
    from acclimate.adapters.data_uris import located
    from acclimate.adapters.fetched import cache_home

    progress("uploading", says=f"the data of {name}")
    table = located(
        data,
        root=request.root,
        home=cache_home(),
        allow_outside=request.allow_outside,
        name=name,
        has_images=request.adaptation.task == IMAGE_TASK,
    )
    return table.publish(request.workspace)


def _is_here(data: str) -> bool:
    """Whether data lie on this machine: as files, or in a DVC repository that is a folder."""
    scheme = scheme_of(data)
    return scheme is None or (scheme == "dvc" and DvcAddress.parse(data).repo_is_folder)


def image_of(given: str | None) -> str:
    """The image that the steps run in: given, or ``ACCLIMATE_IMAGE``.

    Raises:
        ConfigError: E-KFP-019, neither.
    """
    image = given or os.environ.get("ACCLIMATE_IMAGE") or ""
    if not image:
        raise ConfigError(
            "E-KFP-019",
            "no image is given for the pipeline's steps",
            hint="give --image REGISTRY/acclimate@sha256:DIGEST or set ACCLIMATE_IMAGE",
        )
    return image


def service_account_of(given: str | None) -> str | None:
    """The service account that a run's pods get: given, or ``KFP_SERVICE_ACCOUNT``; None leaves it to KFP.

    KFP's default is the account that its own launcher and Argo have their rights in: ``pipeline-runner``, or
    ``default-editor`` of the user's namespace where it serves several users.

    Raises:
        ConfigError: E-KFP-025, it is no service account's name.
    """
    account = given or os.environ.get("KFP_SERVICE_ACCOUNT") or None
    if account is not None and not _ACCOUNT.fullmatch(account):
        raise ConfigError(
            "E-KFP-025",
            f"{account[:80]!r} can't be a service account's name",
            where="--service-account or KFP_SERVICE_ACCOUNT",
            hint="kubectl get serviceaccounts lists them; without one KFP takes its own default",
        )
    return account


def training_image_of(pipeline: Pipeline) -> str | None:
    """``ACCLIMATE_TRAINING_IMAGE``: the image of the step that trains; None where the pipeline has no such step."""
    return None if pipeline == "predict" else os.environ.get("ACCLIMATE_TRAINING_IMAGE") or None


def parameters_of(request: Request) -> dict[str, str]:
    """A pipeline's parameters; an empty run id stands for KFP's own, so that a copy of a run is a run of its own."""
    return {"request": request.to_json(), "run_id": ""}


def compiled(pipeline: Pipeline, request: Request, image: str) -> bytes:
    """The compiled pipeline with the image, and the accelerators its training step asks for, put in.

    Args:
        pipeline: its name.
        request: what it will run; several workers get their accelerators from Ray, one from its own step.
        image: by digest. The step that trains takes ``ACCLIMATE_TRAINING_IMAGE`` where that is set: one with Ray's
            dashboard, or with CUDA.
    """
    from acclimate.kfp_ir import prepared

    compute = request.adaptation.compute
    gpus = compute.gpus_per_worker if compute.most_workers == 1 else 0
    return prepared(pipeline, image=image, gpus=gpus, training_image=training_image_of(pipeline)).encode()
