"""The pods of a RayJob keep the rules of the chart's own, and the chart's overrides reach them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.chart.network import Peer, reaches
from tests.chart.pod_security import violations
from tests.chart.rendering import NAMESPACE, release

objects = pytest.importorskip("acclimate.adapters.rayjob_object")
images = pytest.importorskip("acclimate.adapters.ray_image")


class Cluster:
    """As much of the Kubernetes API as asking for one ConfigMap needs."""

    namespace = NAMESPACE

    def __init__(self, name: str) -> None:
        self._maps = release(name).of_kind("ConfigMap")

    def get(self, path: str) -> dict[str, Any]:
        return self._maps[path.rsplit("/", 1)[-1]]


def templates(name: str) -> list[dict[str, Any]]:
    """Pod templates of head and workers, as the client makes them beside a release."""
    pod = images.ThisPod("registry.example/acclimate:1.0")
    placement, image = images.placement_of(Cluster(name), pod)
    spec = objects.RayJobSpec(
        "finetune-1", "s3://b/runs/1", image or pod.image, 2, 2, "8Gi", gpus=1, placement=placement
    )
    cluster = objects.rayjob(spec, NAMESPACE)["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"]["template"], *(group["template"] for group in cluster["workerGroupSpecs"])]


@pytest.mark.parametrize("name", ["trial", "gpu_pool"])
def test_head_and_workers_are_restricted(name: str) -> None:
    assert [violations(template["spec"]) for template in templates(name)] == [[], []]


def test_the_overrides_of_the_chart_place_them() -> None:
    for template in templates("gpu_pool"):
        spec = template["spec"]
        assert spec["nodeSelector"] == {"pool": "gpu"}
        assert spec["tolerations"][0]["key"] == "nvidia.com/gpu"
        assert spec["priorityClassName"] == "training"
        assert "@sha256:" in spec["containers"][0]["image"]


def test_without_overrides_they_take_the_step_s_image() -> None:
    assert {template["spec"]["containers"][0]["image"] for template in templates("trial")} == {
        "registry.example/acclimate:1.0"
    }


@pytest.mark.parametrize("name", ["trial", "gpu_pool"])
def test_each_is_told_the_image_it_runs_in(name: str) -> None:
    for template in templates(name):
        (container,) = template["spec"]["containers"]
        assert {"name": "ACCLIMATE_STEP_IMAGE", "value": container["image"]} in container["env"]


def test_the_network_rules_know_them() -> None:
    (head, worker), made = (Peer(template["metadata"]["labels"]) for template in templates("trial")), release("trial")
    store = Peer(made.of_kind("Service")["acclimate-seaweedfs"]["spec"]["selector"])
    assert reaches(made, worker, head, 6379)
    assert reaches(made, worker, store, 8333)
    assert head.labels.items() >= {"app.kubernetes.io/part-of": "acclimate"}.items()


def test_their_account_is_there() -> None:
    accounts = release("trial").of_kind("ServiceAccount")
    assert {template["spec"]["serviceAccountName"] for template in templates("trial")} <= set(accounts)
