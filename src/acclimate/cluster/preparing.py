"""What a pipeline on a cluster needs before it can start: a request without local paths, and a compiled pipeline."""

from __future__ import annotations

import os
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

Pipeline = Literal["adapt", "retrain"]
RUNNER = "acclimate-runner"


def cluster_request(
    path: Path, overrides: Sequence[str], *, pipeline: Pipeline, allow_outside: bool, progress: Progress = silent
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
    if scheme_of(request.workspace) != "s3":
        raise ConfigError(
            "E-KFP-017",
            "the workspace is a folder on this machine, which a cluster can't read",
            where=f"{path}: workspace",
            hint="set workspace: s3://BUCKET/PREFIX, or -s workspace=s3://BUCKET/PREFIX",
        )
    config = request.adaptation
    target = config.target.model_copy(
        update={"data": _published_data(config.target.data, "target.data", request, progress)}
    )
    changed = {"target": target, "source": _published_source(request, progress)}
    if config.retrain.fresh is not None:
        data = _published_data(config.retrain.fresh.data, "retrain.fresh.data", request, progress)
        fresh = config.retrain.fresh.model_copy(update={"data": data})
        changed["retrain"] = config.retrain.model_copy(update={"fresh": fresh})
    adaptation = config.model_copy(update=changed)
    return replace(request, adaptation=adaptation, root=Path("/"))


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
        data = _published_data(source.reference.data, "source.reference.data", request, progress)
        changed["reference"] = source.reference.model_copy(update={"data": data})
    return source.model_copy(update=changed)


def _published_data(data: str, name: str, request: Request, progress: Progress) -> str:
    if not _is_here(data):
        return data
    from acclimate.adapters.data_uris import located
    from acclimate.adapters.fetched import cache_home

    progress("uploading", says=f"the data of {name}")
    table = located(data, root=request.root, home=cache_home(), allow_outside=request.allow_outside, name=name)
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
    gpus = compute.gpus_per_worker if compute.workers == 1 else 0
    training_image = os.environ.get("ACCLIMATE_TRAINING_IMAGE") or None
    return prepared(pipeline, image=image, gpus=gpus, training_image=training_image).encode()
