"""What a step is given on a cluster, in one place: resources, time, retries, identity, scratch and secrets.

KFP cannot tell a lost pod from a wrong configuration, so it repeats both. Two repeats with a growing pause bridge an
eviction or a node's loss; a step that has failed for good says so again at once, from the error its first try stored.
"""

from dataclasses import dataclass, field

from kfp import dsl, kubernetes

from acclimate.steps import RETRIES

PAUSE_SECONDS = 30
LONGEST_PAUSE_SECONDS = 600
USER = 10001
SCRATCH = "/tmp"  # noqa: S108 - a volume of the pod's own
RUN_ID = "KFP_RUN_ID"
MINUTE, HOUR, DAY = 60, 3600, 86400

S3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
MLFLOW = {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"}
RAY = {"RAY_AUTH_TOKEN"}
SERVICES = frozenset({"MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_REGION"})
RAY_SERVICE = SERVICES | {"RAY_ADDRESS", "RAY_AUTH_MODE"}
CONFIG_MAP = "acclimate-services"
WORKSPACE = {"acclimate-s3": S3, "acclimate-mlflow": MLFLOW}


@dataclass(frozen=True)
class Needs:
    """What one step needs of a cluster.

    Args:
        cpu: cores requested and at most used.
        memory: the same for memory.
        scratch: size of the volume at ``/tmp``.
        seconds: after which its pod is stopped.
        secrets: environment variables by the Secret that holds them; every one is optional.
        services: addresses it is told, from the ConfigMap; every one is optional.
    """

    cpu: tuple[str, str]
    memory: tuple[str, str]
    scratch: str
    seconds: int
    secrets: dict[str, set[str]] = field(default_factory=lambda: WORKSPACE)
    services: frozenset[str] = SERVICES


NEEDS = {
    "check": Needs(("1", "2"), ("2Gi", "6Gi"), "10Gi", 2 * HOUR),
    "ingest": Needs(("1", "2"), ("2Gi", "8Gi"), "20Gi", 2 * HOUR),
    "gap": Needs(("2", "4"), ("4Gi", "8Gi"), "10Gi", 4 * HOUR),
    "baseline": Needs(("2", "4"), ("4Gi", "8Gi"), "20Gi", 8 * HOUR),
    "decide": Needs(("500m", "2"), ("2Gi", "4Gi"), "10Gi", HOUR),
    "finetune": Needs(("4", "8"), ("8Gi", "16Gi"), "40Gi", DAY, {**WORKSPACE, "acclimate-ray": RAY}, RAY_SERVICE),
    "keep-frozen": Needs(("100m", "500m"), ("128Mi", "512Mi"), "1Gi", 10 * MINUTE, {}),
    "evaluate": Needs(("2", "4"), ("4Gi", "8Gi"), "20Gi", 4 * HOUR),
    "register": Needs(("1", "2"), ("4Gi", "8Gi"), "20Gi", 2 * HOUR),
    "finish": Needs(("500m", "2"), ("1Gi", "4Gi"), "40Gi", HOUR),
    "predict": Needs(("2", "4"), ("4Gi", "8Gi"), "20Gi", 8 * HOUR),
}

CONFIG = dsl.PipelineConfig(ttl_seconds_after_finished=7 * DAY, active_deadline_seconds=3 * DAY)


def placed(task: dsl.PipelineTask) -> dsl.PipelineTask:
    """Give a task what its step needs of a cluster.

    KFP's cache is off: it does not see our code, so our manifests are the only cache.
    """
    needs = NEEDS[task.name]
    task.set_caching_options(False)
    task.set_retry(RETRIES, f"{PAUSE_SECONDS}s", 2.0, f"{LONGEST_PAUSE_SECONDS}s")
    task.set_cpu_request(needs.cpu[0]).set_cpu_limit(needs.cpu[1])
    task.set_memory_request(needs.memory[0]).set_memory_limit(needs.memory[1])
    kubernetes.set_timeout(task, needs.seconds)
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    kubernetes.set_image_pull_policy(task, "IfNotPresent")
    kubernetes.empty_dir_mount(task, volume_name="scratch", mount_path=SCRATCH, size_limit=needs.scratch)
    kubernetes.add_pod_label(task, "app.kubernetes.io/part-of", "acclimate")
    kubernetes.add_pod_label(task, "app.kubernetes.io/component", "step")
    kubernetes.add_pod_label(task, "acclimate/stage", task.name)
    if needs.secrets:
        _connect(task, needs)
    return task


def _connect(task: dsl.PipelineTask, needs: Needs) -> None:
    kubernetes.use_field_path_as_env(task, RUN_ID, "metadata.labels['pipeline/runid']")
    kubernetes.use_config_map_as_env(task, CONFIG_MAP, {name: name for name in sorted(needs.services)}, optional=True)
    for secret, names in needs.secrets.items():
        kubernetes.use_secret_as_env(task, secret, {name: name for name in sorted(names)}, optional=True)
