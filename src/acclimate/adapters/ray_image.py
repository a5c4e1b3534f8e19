"""What a RayJob takes over from the pod that asks for it and from what the chart says about its pods."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from acclimate.adapters.kubernetes_api import KubernetesApi, RefusedError
from acclimate.adapters.rayjob_errors import refused
from acclimate.adapters.rayjob_object import Placement
from acclimate.errors import ConfigError

POD_NAMES = ("POD_NAME", "KFP_POD_NAME")
IMAGE = "ACCLIMATE_IMAGE"
CONFIG_MAP, CONFIG_KEY = "acclimate-rayjob", "rayjob-overrides.yaml"
# the container a KFP step runs in
_MAIN = "main"
_KINDS: dict[str, type] = {"image": str, "nodeSelector": dict, "tolerations": list, "priorityClassName": str}


@dataclass(frozen=True)
class ThisPod:
    """The pod this process runs in.

    Args:
        image: of its main container.
        owner: its name and uid, None where they are unknown.
        pull_secrets: Secrets that open its registry.
    """

    image: str
    owner: tuple[str, str] | None = None
    pull_secrets: tuple[str, ...] = ()


def this_pod(api: KubernetesApi, image: str = "") -> ThisPod:
    """Ask the API about this pod; its name is its host's, unless the environment says another.

    Args:
        api: of the cluster.
        image: to take instead of the pod's.

    Raises:
        ConfigError: E-RAY-021, the pod can't be asked for and no image is given.
    """
    image = image or os.environ.get(IMAGE, "")
    name = next((os.environ[each] for each in POD_NAMES if os.environ.get(each)), socket.gethostname())
    try:
        pod = api.get(f"/api/v1/namespaces/{api.namespace}/pods/{name}")
    except RefusedError as error:
        if image:
            return ThisPod(image)
        raise ConfigError(
            "E-RAY-021",
            f"the image of this step can't be found out: {error.message}",
            where=f"pod {name}",
            hint=f"set POD_NAME and let the service account get pods, or set {IMAGE}",
        ) from error
    spec = pod.get("spec", {})
    containers = sorted(spec.get("containers", ()), key=lambda each: each.get("name") != _MAIN)
    return ThisPod(
        image or str(containers[0]["image"]),
        (name, str(pod["metadata"]["uid"])),
        tuple(str(each["name"]) for each in spec.get("imagePullSecrets", ())),
    )


def placement_of(api: KubernetesApi, pod: ThisPod) -> tuple[Placement, str]:
    """Where the pods shall run, and their image if it shall be another; from the chart's ConfigMap, if it is there.

    Raises:
        ConfigError: E-RAY-022, the ConfigMap can't be understood.
    """
    try:
        found = api.get(f"/api/v1/namespaces/{api.namespace}/configmaps/{CONFIG_MAP}")
    except RefusedError as error:
        if error.status in {403, 404}:
            return Placement(pull_secrets=pod.pull_secrets), ""
        raise refused(error) from error
    says = _parsed(str((found.get("data") or {}).get(CONFIG_KEY, "")))
    placement = Placement(
        node_selector=says.get("nodeSelector", {}),
        tolerations=says.get("tolerations", []),
        priority_class=says.get("priorityClassName", ""),
        pull_secrets=pod.pull_secrets,
    )
    return placement, str(says.get("image", ""))


def _parsed(text: str) -> dict[str, Any]:
    try:
        found = YAML(typ="safe", pure=True).load(text) or {}
    except YAMLError as error:
        raise _misunderstood("it is no YAML") from error
    if not isinstance(found, dict):
        raise _misunderstood("it is no mapping")
    for key, value in found.items():
        if key not in _KINDS or not isinstance(value, _KINDS[key]):
            raise _misunderstood(f"{str(key)[:60]!r} is unknown or not a {_KINDS.get(key, str).__name__}")
    return found


def _misunderstood(why: str) -> ConfigError:
    return ConfigError(
        "E-RAY-022",
        f"the overrides for RayJobs can't be used: {why}",
        where=f"ConfigMap {CONFIG_MAP}, {CONFIG_KEY}",
        hint=f"set the chart's ray.overrides; it knows {', '.join(_KINDS)}",
    )
