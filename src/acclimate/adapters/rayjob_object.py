"""The RayJob (KubeRay 1.7, ``ray.io/v1``) that trains on a cluster, as a plain object."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import Any

from acclimate.version import STEP_IMAGE

LABELS = {"app.kubernetes.io/part-of": "acclimate", "app.kubernetes.io/component": "ray"}
RECORD = "acclimate/record"
RAY_VERSION = "2.60.0"
USER = 10001
CLEANUP_SECONDS = 60
SCRATCH = "40Gi"
# jobs travel as arguments, so the object store holds next to nothing
OBJECT_STORE_BYTES = 256 * 1024**2
Named = dict[str, tuple[str, ...]]
SERVICES: Named = {"acclimate-services": ("AWS_ENDPOINT_URL", "AWS_REGION", "MLFLOW_TRACKING_URI")}
STORAGE: Named = {"acclimate-s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
TRACKING: Named = {
    "acclimate-mlflow": ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
}
SETTINGS = {
    "ACCLIMATE_HOME": "/tmp/acclimate",  # noqa: S108 - a volume of the pod's own
    "HF_HOME": "/tmp/huggingface",  # noqa: S108
    "HOME": "/tmp",  # noqa: S108
    "RAY_USAGE_STATS_ENABLED": "0",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class Placement:
    """Where head and workers run.

    Args:
        node_selector: labels of the nodes.
        tolerations: of the nodes' taints.
        priority_class: empty is the default.
        pull_secrets: names of Secrets that open the image's registry.
    """

    node_selector: dict[str, str] = field(default_factory=dict)
    tolerations: list[dict[str, Any]] = field(default_factory=list)
    priority_class: str = ""
    pull_secrets: tuple[str, ...] = ()


@dataclass(frozen=True)
class RayJobSpec:
    """One training on a cluster.

    Args:
        name: of the RayJob; the same for the same work.
        record: address of the folder in the workspace that holds what is to be done and takes what happened.
        image: of head and workers: the step's own.
        workers: training processes, each in a pod of its own; all must run before KubeRay starts the job.
        cpus: processors of each.
        memory: of each, e.g. ``8Gi``.
        gpus: of each.
        deadline_seconds: after which KubeRay ends the job, counted from its creation.
        start_seconds: after which a job whose entrypoint does not run is given up.
        owner: the pod that asks: when it is deleted, so is the job.
        placement: where the pods run.
    """

    name: str
    record: str
    image: str
    workers: int
    cpus: int
    memory: str
    gpus: int = 0
    deadline_seconds: int = 20 * 3600
    start_seconds: int = 1800
    owner: tuple[str, str] | None = None
    placement: Placement = Placement()


def rayjob(spec: RayJobSpec, namespace: str) -> dict[str, Any]:
    """The object to create.

    ``HTTPMode``: the operator hands the entrypoint to the head itself. The default, a submitter in a Kubernetes Job,
    is one more pod to schedule, to admit and to count against a quota, with a log stream whose end it takes for the
    job's. KubeRay makes a token for each cluster of its own. The head runs the entrypoint and no worker.
    ``deletionStrategy`` is left out: it needs a feature gate and excludes ``shutdownAfterJobFinishes``, which does
    the same for us; the object itself is deleted by whoever follows it, or with its owner.
    """
    metadata: dict[str, Any] = {
        "name": spec.name,
        "namespace": namespace,
        "labels": LABELS,
        "annotations": {RECORD: spec.record},
    }
    if spec.owner is not None:
        name, uid = spec.owner
        metadata["ownerReferences"] = [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid}]
    start = {"object-store-memory": str(OBJECT_STORE_BYTES)}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": metadata,
        "spec": {
            "entrypoint": f"python -m acclimate.rayjob_entry {shlex.quote(spec.record)}",
            "submissionMode": "HTTPMode",
            "activeDeadlineSeconds": spec.deadline_seconds,
            "preRunningDeadlineSeconds": spec.start_seconds,
            "backoffLimit": 0,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": CLEANUP_SECONDS,
            "rayClusterSpec": {
                "rayVersion": RAY_VERSION,
                "authOptions": {"mode": "token"},
                "headGroupSpec": {
                    "serviceType": "ClusterIP",
                    "rayStartParams": {**start, "num-cpus": "0"},
                    "template": _pod(spec, "ray-head", 0, SERVICES, STORAGE | TRACKING),
                },
                "workerGroupSpecs": [
                    {
                        "groupName": "workers",
                        "replicas": spec.workers,
                        "minReplicas": spec.workers,
                        "maxReplicas": spec.workers,
                        "rayStartParams": {**start, "num-cpus": str(spec.cpus)},
                        "template": _pod(spec, "ray-worker", spec.gpus, SERVICES, STORAGE),
                    }
                ],
            },
        },
    }


def _pod(spec: RayJobSpec, name: str, gpus: int, maps: Named, secrets: Named) -> dict[str, Any]:
    amounts = {"cpu": str(spec.cpus), "memory": spec.memory, "ephemeral-storage": SCRATCH}
    amounts |= {"nvidia.com/gpu": str(gpus)} if gpus else {}
    container = {
        "name": name,
        "image": spec.image,
        "imagePullPolicy": "IfNotPresent",
        "env": [
            *({"name": key, "value": value} for key, value in {**SETTINGS, STEP_IMAGE: spec.image}.items()),
            *_from("configMapKeyRef", maps),
            *_from("secretKeyRef", secrets),
        ],
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "privileged": False,
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}, {"name": "memory", "mountPath": "/dev/shm"}],  # noqa: S108
    }
    place = spec.placement
    pod: dict[str, Any] = {
        "serviceAccountName": "acclimate-ray",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "scratch", "emptyDir": {"sizeLimit": SCRATCH}},
            {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        ],
    }
    pod |= {"nodeSelector": place.node_selector} if place.node_selector else {}
    pod |= {"tolerations": place.tolerations} if place.tolerations else {}
    pod |= {"priorityClassName": place.priority_class} if place.priority_class else {}
    pod |= {"imagePullSecrets": [{"name": each} for each in place.pull_secrets]} if place.pull_secrets else {}
    return {"metadata": {"labels": LABELS}, "spec": pod}


def _from(kind: str, named: Named) -> list[dict[str, Any]]:
    return [
        {"name": key, "valueFrom": {kind: {"name": name, "key": key, "optional": True}}}
        for name, keys in named.items()
        for key in keys
    ]
