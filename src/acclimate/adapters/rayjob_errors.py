"""What keeps a RayJob from being made, started or finished, as coded errors."""

from __future__ import annotations

from typing import Any

from acclimate.adapters.kubernetes_api import RefusedError
from acclimate.errors import AccessError, AcclimateError, ConfigError, UnavailableError

NEVER_PULLED = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
_SHOWN = 3
_LOGS = "kubectl logs -l ray.io/node-type=head,app.kubernetes.io/part-of=acclimate shows more while the pods are there"


def refused(error: RefusedError) -> AcclimateError:
    """Why the API says no."""
    if error.status == 404:
        return UnavailableError(
            "E-RAY-002",
            "this cluster knows no RayJobs: the KubeRay operator is not installed",
            where=error.where,
            hint="helm install kuberay-operator kuberay/kuberay-operator --version 1.7.0, or set compute.workers: 1",
        )
    if error.status == 403 and "exceeded quota" in error.message:
        return UnavailableError(
            "E-RAY-005",
            f"the namespace's quota leaves no room for the training: {error.message}",
            where=error.where,
            hint="wait until other work has ended, raise the quota, or ask for less in compute",
        )
    if error.status == 403:
        verb = {"GET": "get", "POST": "create", "DELETE": "delete"}.get(error.where.split()[0], "get")
        return AccessError(
            "E-RAY-003",
            f"the step's service account may not {verb} RayJobs here: {error.message}",
            where=error.where,
            hint=f"grant apiGroups [ray.io], resources [rayjobs], verbs [create, get, delete]; missing: {verb}; "
            "list the account in the chart's runner.serviceAccounts; a policy that refuses the object says so above",
        )
    return ConfigError(
        "E-RAY-006",
        f"the cluster refuses the RayJob ({error.status}): {error.message}",
        where=error.where,
        hint="KubeRay must be 1.7; check the compute section and the chart's ray.overrides",
    )


def not_started(name: str, minutes: float, pods: list[dict[str, Any]], says: str) -> AcclimateError:
    """Nothing ran within the time that was given."""
    reasons = _shown([reason for pod in pods for reason in waiting_reasons(pod)])
    return UnavailableError(
        "E-RAY-008",
        f"the training has not started within {minutes:g} minutes: {reasons or says or 'no pod was made'}",
        where=name,
        hint="ask for less in compute, or make room: nodes, GPUs, quota; kubectl describe rayjob says more",
    )


def no_image(name: str, pods: list[dict[str, Any]]) -> AcclimateError:
    """The image can't be had."""
    reasons = _shown([reason for pod in pods for reason in waiting_reasons(pod) if reason.startswith(NEVER_PULLED)])
    return AccessError(
        "E-RAY-009",
        f"the image of the training can't be pulled: {reasons}",
        where=name,
        hint="check its name, the registry's Secret in imagePullSecrets, and the chart's ray.overrides.image",
    )


def failed(name: str, status: dict[str, Any], pods: list[dict[str, Any]]) -> AcclimateError:
    """The job ended without success and left no cause of its own."""
    says = str(status.get("message") or status.get("reason") or "no reason was given").strip()[:300]
    if any(_was_killed_for_memory(pod) for pod in pods):
        return ConfigError(
            "E-RAY-011",
            f"the training ran out of memory: {says}",
            where=name,
            hint="raise compute.memory_per_worker or lower finetune.batch_size; it goes on after the last whole epoch",
        )
    if "DeadlineExceeded" in str(status.get("reason")):
        return UnavailableError(
            "E-RAY-012",
            f"the training did not end before its deadline: {says}",
            where=name,
            hint="run again: it goes on after the last whole epoch; more workers or a smaller budget take less time",
        )
    return UnavailableError("E-RAY-010", f"the training on Ray failed: {says}", where=name, hint=_LOGS)


def gone(name: str) -> AcclimateError:
    """Somebody else deleted it."""
    return UnavailableError(
        "E-RAY-013",
        "the RayJob was deleted by somebody else while it was followed",
        where=name,
        hint="run again: it goes on after the last whole epoch",
    )


def waiting_reasons(pod: dict[str, Any]) -> list[str]:
    """Why a pod or its containers wait, each as ``Reason: message``."""
    status = pod.get("status", {})
    conditions = [
        f"{each.get('reason', '')}: {each.get('message', '')}"
        for each in status.get("conditions", ())
        if each.get("type") == "PodScheduled" and each.get("status") == "False"
    ]
    waits = [each.get("state", {}).get("waiting", {}) for each in _containers(status)]
    return [*conditions, *(f"{each['reason']}: {each.get('message', '')}" for each in waits if each.get("reason"))]


def _containers(status: dict[str, Any]) -> list[dict[str, Any]]:
    return [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]


def _was_killed_for_memory(pod: dict[str, Any]) -> bool:
    states = [each.get(key, {}) for each in _containers(pod.get("status", {})) for key in ("state", "lastState")]
    return any(state.get("terminated", {}).get("reason") == "OOMKilled" for state in states)


def _shown(reasons: list[str]) -> str:
    found = list(dict.fromkeys(reason.strip(": ")[:200] for reason in reasons))
    more = f"; and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more
