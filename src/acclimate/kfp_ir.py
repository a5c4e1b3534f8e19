"""The compiled pipelines as the wheel carries them, and what is put into them before they are run.

Here KFP is not imported: reading and changing a compiled pipeline takes milliseconds.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Any

import yaml  # type: ignore[import-untyped]

from acclimate.errors import ConfigError
from acclimate.version import STEP_IMAGE

PIPELINES = ("adapt", "retrain", "predict")
TRAINING = "exec-finetune"
LOCAL_IMAGE = "python"
MANIFESTS = "pipelines.kubeflow.org/v2beta1"

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_WITH_DIGEST = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)*(:[\w.-]+)?@sha256:[0-9a-f]{64}")
_WITH_TAG = re.compile(r"[\w.-]+(:\d+)?(/[\w.-]+)*:[\w.-]+")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


def compiled(name: str) -> str:
    """A compiled pipeline, as text.

    Args:
        name: one of :data:`PIPELINES`.

    Raises:
        ConfigError: E-KFP-101, there is no such pipeline.
    """
    if name not in PIPELINES:
        raise ConfigError("E-KFP-101", f"there is no pipeline {name!r}", hint=f"there are {', '.join(PIPELINES)}")
    return (files("acclimate") / "pipelines" / f"{name}.yaml").read_text(encoding="utf-8")


def prepared(
    name: str,
    *,
    image: str,
    training_image: str | None = None,
    gpus: int = 0,
    accelerator: str = "nvidia.com/gpu",
    allow_tag: bool = False,
) -> str:
    """A compiled pipeline with the images its steps run in, and accelerators for training.

    Args:
        name: one of :data:`PIPELINES`.
        image: of every step, by digest.
        training_image: of the step that trains; the same as the others where None.
        gpus: accelerators of the step that trains; the others get none.
        accelerator: Kubernetes' name of them.
        allow_tag: take an image by tag too: what it is can then change between two steps of a run.

    Returns:
        Two YAML documents: the pipeline's spec, and what is special to Kubernetes.

    Raises:
        ConfigError: E-KFP-101, no such pipeline; -102, an image that is none or has no digest; -103, GPUs below 0.
    """
    for given in (image, *([training_image] if training_image else [])):
        _check_image(given, allow_tag)
    if gpus < 0:
        raise ConfigError("E-KFP-103", f"{gpus} accelerators can't be given to a step", hint="0 or more")
    spec, platform = _read(compiled(name))
    for label, executor in _executors(spec).items():
        trains = label == TRAINING
        own = training_image if trains and training_image else image
        executor["container"]["image"] = own
        executor["container"].setdefault("env", []).append({"name": STEP_IMAGE, "value": own})
        if trains and gpus:
            executor["container"]["resources"]["accelerator"] = _accelerator(accelerator, gpus)
    return _written(spec, platform)


def objects(name: str, ir: str, *, version: str, namespace: str | None = None) -> str:
    """The Pipeline and PipelineVersion objects of KFP's Kubernetes-native mode.

    Args:
        name: the Pipeline's name.
        ir: its compiled form, such as :func:`prepared` gives.
        version: what sets this version apart; the PipelineVersion is called NAME-VERSION.
        namespace: where they go; without it, where they are applied.

    Raises:
        ConfigError: E-KFP-104, what comes of name and version is no name for Kubernetes.
    """
    spec, platform = _read(ir)
    described = {"description": text} if (text := spec["pipelineInfo"].get("description")) else {}
    placed = {"namespace": namespace} if namespace else {}
    version_name = f"{name}-{version}".lower()
    for given in (name, version_name, *placed.values()):
        if not _NAME.fullmatch(given):
            raise ConfigError(
                "E-KFP-104",
                f"{given!r} is no name for a Kubernetes object",
                hint="lower-case letters, digits, '-' and '.', at most 253",
            )
    pipeline = {
        "apiVersion": MANIFESTS,
        "kind": "Pipeline",
        "metadata": {"name": name, **placed},
        "spec": {"displayName": name, **described},
    }
    one_version = {
        "apiVersion": MANIFESTS,
        "kind": "PipelineVersion",
        "metadata": {"name": version_name, **placed},
        "spec": {
            "displayName": version_name,
            "pipelineName": name,
            **described,
            "pipelineSpec": spec,
            "platformSpec": platform,
        },
    }
    return _written(pipeline, one_version)


def local_ir(ir: str) -> str:
    """A compiled pipeline without what is meant for a cluster.

    KFP's local runner sleeps through a cluster's pauses between retries, repeats what has failed for good, and warns of
    each resource it can't limit and each image it doesn't run.
    """
    spec, _ = _read(ir)
    for executor in _executors(spec).values():
        executor["container"].pop("resources", None)
        executor["container"]["image"] = LOCAL_IMAGE
    for component in [spec["root"], *spec["components"].values()]:
        for task in component.get("dag", {}).get("tasks", {}).values():
            task.pop("retryPolicy", None)
    return _written(spec)


def _check_image(image: str, allow_tag: bool) -> None:
    if _WITH_DIGEST.fullmatch(image) or (allow_tag and _WITH_TAG.fullmatch(image)):
        return
    hint = "give it as REPOSITORY@sha256:DIGEST; 'docker buildx imagetools inspect IMAGE' shows the digest"
    raise ConfigError("E-KFP-102", "a step's image must be named by its digest", where=image[:200], hint=hint)


def _accelerator(kind: str, count: int) -> dict[str, str]:
    return {"type": kind, "count": str(count), "resourceType": kind, "resourceCount": str(count)}


def _executors(spec: dict[str, Any]) -> dict[str, Any]:
    executors: dict[str, Any] = spec["deploymentSpec"]["executors"]
    return executors


def _read(ir: str) -> tuple[dict[str, Any], dict[str, Any]]:
    spec, platform = yaml.load_all(ir, _LOADER)
    return spec, platform


def _written(*documents: dict[str, Any]) -> str:
    text: str = yaml.dump_all(documents, Dumper=_DUMPER, sort_keys=True, allow_unicode=True)
    return text
