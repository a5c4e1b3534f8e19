"""What Kubernetes' Pod Security level `restricted` asks of a pod, and what this project asks beyond it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
AMOUNTS = ("cpu", "memory", "ephemeral-storage")


def violations(spec: dict[str, Any], *, token: bool = False) -> list[str]:
    """What in a pod's spec breaks a rule.

    Args:
        spec: The pod's spec.
        token: Whether the pod may hold a token of the Kubernetes API.

    Returns:
        One line for each broken rule, with the container's name; empty for a pod that keeps all.
    """
    found = [*_of_pod(spec, token)]
    for group in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(group, ()):
            found += [
                f"{container.get('name')}: {line}" for line in _of_container(container, spec.get("securityContext", {}))
            ]
    return found


def _of_pod(spec: dict[str, Any], token: bool) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield f"{name} is on"
    for volume in spec.get("volumes", ()):
        yield from (f"volume of kind {kind}" for kind in set(volume) - {"name"} - VOLUMES)
        if "emptyDir" in volume and "sizeLimit" not in (volume["emptyDir"] or {}):
            yield f"emptyDir {volume['name']} has no size limit"
    if not token and spec.get("automountServiceAccountToken") is not False:
        yield "a token of the Kubernetes API is mounted"
    if "serviceAccountName" not in spec:
        yield "no service account is named"
    context = spec.get("securityContext", {})
    yield from (f"pod sets {name}" for name in ("sysctls", "windowsOptions") if context.get(name))


def _of_container(container: dict[str, Any], pod: dict[str, Any]) -> Iterator[str]:
    own = container.get("securityContext", {})
    both = {**pod, **own}
    if both.get("runAsNonRoot") is not True:
        yield "runAsNonRoot is not true"
    if both.get("runAsUser") in (None, 0):
        yield "no user other than root is named"
    if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "no seccomp profile"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "privilege escalation is allowed"
    if own.get("privileged"):
        yield "privileged"
    if own.get("procMount", "Default") != "Default":
        yield "procMount is changed"
    if "ALL" not in own.get("capabilities", {}).get("drop", ()):
        yield "capabilities are not dropped"
    if set(own.get("capabilities", {}).get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "capabilities are added"
    if own.get("readOnlyRootFilesystem") is not True:
        yield "the root file system can be written"
    yield from _of_resources(container)
    yield from (f"host port {port['hostPort']}" for port in container.get("ports", ()) if "hostPort" in port)
    image = container.get("image", "")
    name, _, digest = image.partition("@")
    if not digest and (":" not in name.rsplit("/", 1)[-1] or name.endswith(":latest")):
        yield f"image {image} has neither digest nor tag"


def _of_resources(container: dict[str, Any]) -> Iterator[str]:
    resources = container.get("resources", {})
    for kind in ("requests", "limits"):
        yield from (f"no {kind} of {name}" for name in AMOUNTS if name not in resources.get(kind, {}))
