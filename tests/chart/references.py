"""Which Secrets, ConfigMaps, accounts and claims a release's objects name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from tests.chart.rendering import Pod, Release


class Reference(NamedTuple):
    """A name that some object uses; ``key`` is empty where the whole is meant."""

    kind: str
    name: str
    key: str = ""
    optional: bool = False


def of_pod(pod: Pod) -> Iterator[Reference]:
    """Everything a pod names."""
    yield Reference("ServiceAccount", pod.spec["serviceAccountName"])
    for secret in pod.spec.get("imagePullSecrets", ()):
        yield Reference("Secret", secret["name"])
    for volume in pod.spec.get("volumes", ()):
        yield from _of_volume(volume)
    for container in pod.containers:
        for source in container.get("envFrom", ()):
            yield from (Reference(KINDS[kind], value["name"]) for kind, value in source.items() if kind in KINDS)
        for variable in container.get("env", ()):
            yield from _of_keys(variable.get("valueFrom", {}))


KINDS = {"secretRef": "Secret", "configMapRef": "ConfigMap", "secretKeyRef": "Secret", "configMapKeyRef": "ConfigMap"}


def _of_volume(volume: dict[str, Any]) -> Iterator[Reference]:
    if "secret" in volume:
        yield Reference("Secret", volume["secret"]["secretName"])
    if "configMap" in volume:
        yield Reference("ConfigMap", volume["configMap"]["name"])
    if "persistentVolumeClaim" in volume:
        yield Reference("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"])


def _of_keys(source: dict[str, Any]) -> Iterator[Reference]:
    for kind, value in source.items():
        if kind in KINDS:
            yield Reference(KINDS[kind], value["name"], value["key"], value.get("optional", False))


def of_release(release: Release) -> set[Reference]:
    """Everything that pods and monitors of a release name."""
    found = {reference for pod in release.pods for reference in of_pod(pod)}
    for monitor in release.of_kind("ServiceMonitor").values():
        for endpoint in monitor["spec"]["endpoints"]:
            found |= {Reference("Secret", key["name"], key["key"]) for key in endpoint["basicAuth"].values()}
    return found


def is_met(reference: Reference, release: Release) -> bool:
    """Whether the release itself holds what is named."""
    holder = release.of_kind(reference.kind).get(reference.name)
    return holder is not None and (not reference.key or reference.key in holder.get("data", {}))
