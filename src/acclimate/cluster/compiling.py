"""Writes a compiled pipeline to a file, for those who bring it to a cluster themselves."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from acclimate.cluster.preparing import Pipeline, training_image_of
from acclimate.errors import ConfigError
from acclimate.kfp_ir import compiled, objects, prepared


def write_pipeline(
    pipeline: Pipeline,
    out: Path,
    *,
    image: str | None = None,
    training_image: str | None = None,
    gpus: int = 0,
    kubernetes: bool = False,
    namespace: str | None = None,
) -> dict[str, Any]:
    """Write a pipeline as YAML.

    Args:
        pipeline: its name.
        out: the file; an existing one is replaced.
        image: of the steps, by digest; ``ACCLIMATE_IMAGE`` by default; without either the placeholder stays in it.
        training_image: of the step that trains, by digest; by default ``ACCLIMATE_TRAINING_IMAGE``, else ``image``.
        gpus: accelerators of the step that trains; with several workers they are the RayJob's, and this stays 0.
        kubernetes: as Pipeline and PipelineVersion objects for KFP's Kubernetes-native mode.
        namespace: of these objects.

    Returns:
        ``path``, ``pipeline``, ``image``, ``training_image``, ``gpus`` and the ``sha256`` of the file.

    Raises:
        ConfigError: E-KFP-022, objects, a training image or accelerators without an image; E-KFP-023, the file can't be
            written; E-KFP-029, the pipeline has no step that trains; E-KFP-030, a namespace without objects; E-KFP-102,
            an image without digest; E-KFP-103, accelerators below 0.
    """
    if pipeline == "predict" and (training_image or gpus):
        raise ConfigError(
            "E-KFP-029",
            "the pipeline predict has no step that trains",
            hint="leave --training-image and --gpus out",
        )
    if namespace and not kubernetes:
        raise ConfigError(
            "E-KFP-030",
            "only Kubernetes objects have a namespace; a compiled pipeline has none",
            where=f"--namespace {namespace[:80]}",
            hint="add --kubernetes, or leave --namespace out",
        )
    image = image or os.environ.get("ACCLIMATE_IMAGE") or None
    training_image = training_image or training_image_of(pipeline)
    if (kubernetes or training_image or gpus) and not image:
        raise ConfigError(
            "E-KFP-022",
            "objects for a cluster, a training image and accelerators need the image of the pipeline's steps",
            hint="give --image REPOSITORY@sha256:DIGEST or set ACCLIMATE_IMAGE",
        )
    text = prepared(pipeline, image=image, training_image=training_image, gpus=gpus) if image else compiled(pipeline)
    if kubernetes:
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        text = objects(f"acclimate-{pipeline}", text, version=version, namespace=namespace)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        hint = "give another file with -o"
        raise ConfigError("E-KFP-023", f"can't write: {error.strerror}", where=str(out), hint=hint) from error
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {
        "path": str(out),
        "pipeline": pipeline,
        "image": image or "placeholder image",
        "training_image": training_image,
        "gpus": gpus,
        "sha256": digest,
    }


def compiled_text(found: dict[str, Any]) -> str:
    """A compiled pipeline that was written, for people."""
    training = [f"training in {found['training_image']}"] if found["training_image"] else []
    gpus = [f"{found['gpus']} GPUs for training"] if found["gpus"] else []
    return f"{found['path']}: " + ", ".join([found["pipeline"], found["image"], *training, *gpus])
