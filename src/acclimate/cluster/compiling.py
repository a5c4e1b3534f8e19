"""Writes a compiled pipeline to a file, for those who bring it to a cluster themselves."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from acclimate.errors import ConfigError
from acclimate.kfp_ir import compiled, objects, prepared


def write_pipeline(
    pipeline: str, out: Path, *, image: str | None = None, kubernetes: bool = False, namespace: str | None = None
) -> dict[str, Any]:
    """Write a pipeline as YAML.

    Args:
        pipeline: its name.
        out: the file; an existing one is replaced.
        image: of the steps, by digest; ``ACCLIMATE_IMAGE`` by default; without either the placeholder stays in it.
        kubernetes: as Pipeline and PipelineVersion objects for KFP's Kubernetes-native mode.
        namespace: of these objects.

    Returns:
        ``path``, ``pipeline``, ``image`` and the ``sha256`` of the file.

    Raises:
        ConfigError: E-KFP-022, objects without an image; E-KFP-023, the file can't be written; an image without digest.
    """
    image = image or os.environ.get("ACCLIMATE_IMAGE") or None
    if kubernetes and not image:
        raise ConfigError(
            "E-KFP-022",
            "objects for a cluster need the image of the pipeline's steps",
            hint="give --image REPOSITORY@sha256:DIGEST",
        )
    text = prepared(pipeline, image=image) if image else compiled(pipeline)
    if kubernetes:
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        text = objects(f"acclimate-{pipeline}", text, version=version, namespace=namespace)
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        hint = "give another file with -o"
        raise ConfigError("E-KFP-023", f"can't write: {error.strerror}", where=str(out), hint=hint) from error
    digest = hashlib.sha256(text.encode()).hexdigest()
    return {"path": str(out), "pipeline": pipeline, "image": image or "placeholder image", "sha256": digest}
