"""Nothing is reached but what acclimate needs."""

from __future__ import annotations

import pytest

from tests.chart.network import Peer, reaches
from tests.chart.rendering import CHART, NAMESPACE, VALUE_SETS, Release, release, render, values_of


def ours(component: str) -> Peer:
    """A pod of acclimate's."""
    return Peer(
        {
            "app.kubernetes.io/name": "acclimate",
            "app.kubernetes.io/instance": "demo",
            "app.kubernetes.io/part-of": "acclimate",
            "app.kubernetes.io/component": component,
        }
    )


MLFLOW, STORE, STEP, RAY, DRIFT = (ours(name) for name in ("mlflow", "seaweedfs", "step", "ray", "drift"))
STRANGER = Peer({"app": "stranger"}, namespace="elsewhere")
NEIGHBOUR = Peer({"app": "neighbour"})
OTHER_STEP = Peer({"pipelines.kubeflow.org/v2_component": "true"})
PIPELINES = Peer({"app": "ml-pipeline"}, namespace="kubeflow")
METADATA_STORE = Peer({"component": "metadata-grpc-server"}, namespace="kubeflow")
ARTIFACTS, DATABASE = (Peer({"app": name}, namespace="kubeflow") for name in ("seaweedfs", "mysql"))
OPERATOR = Peer({"app.kubernetes.io/name": "kuberay-operator"}, namespace="kuberay")
DNS = Peer({"k8s-app": "kube-dns"}, namespace="kube-system")
INTERNET, METADATA = Peer(address="93.184.215.14"), Peer(address="169.254.169.254")

ALLOWED = [
    *[(pod, DNS, 53) for pod in (MLFLOW, STORE, STEP, RAY, DRIFT, ours("migration"))],
    *[(pod, MLFLOW, 5000) for pod in (STEP, RAY, DRIFT, ours("test"), OTHER_STEP, PIPELINES)],
    *[(pod, STORE, 8333) for pod in (STEP, RAY, DRIFT, MLFLOW, OTHER_STEP)],
    *[(STEP, PIPELINES, port) for port in (8887, 8888)],
    (STEP, METADATA_STORE, 8080),
    *[(STEP, ARTIFACTS, port) for port in (8333, 9000)],
    (STEP, INTERNET, 443),
    (OPERATOR, RAY, 8265),
    (RAY, RAY, 6379),
]
DENIED = [
    (STRANGER, MLFLOW, 5000),
    (NEIGHBOUR, MLFLOW, 5000),
    (STRANGER, STORE, 8333),
    (PIPELINES, STORE, 8333),
    *[(STEP, STORE, port) for port in (8888, 9333, 9340, 23646)],
    (STEP, MLFLOW, 22),
    (STEP, DATABASE, 3306),
    (RAY, PIPELINES, 8888),
    (STRANGER, RAY, 8265),
    (STEP, RAY, 8265),
    (OPERATOR, RAY, 6379),
    (NEIGHBOUR, RAY, 6379),
    (MLFLOW, INTERNET, 443),
    (STORE, INTERNET, 443),
    (STORE, MLFLOW, 5000),
    (RAY, INTERNET, 443),
    *[(pod, METADATA, 443) for pod in (MLFLOW, STORE, STEP, RAY, DRIFT)],
]


@pytest.mark.parametrize("connection", ALLOWED, ids=str)
def test_what_is_needed_is_open(connection: tuple[Peer, Peer, int]) -> None:
    assert reaches(release("trial"), *connection)


@pytest.mark.parametrize("connection", DENIED, ids=str)
def test_the_rest_is_closed(connection: tuple[Peer, Peer, int]) -> None:
    assert not reaches(release("trial"), *connection)


def test_without_policies_all_is_open() -> None:
    assert reaches(release("no_network_policies"), STRANGER, MLFLOW, 5000)


def test_production_opens_its_own_addresses_only() -> None:
    made = release("production")
    assert reaches(made, MLFLOW, Peer(address="10.30.1.1"), 5432)
    assert reaches(made, ours("migration"), Peer(address="10.30.1.1"), 5432)
    assert reaches(made, STEP, Peer(address="10.20.1.1"), 443)
    assert not reaches(made, STEP, Peer(address="10.30.1.1"), 5432)
    assert not reaches(made, STEP, INTERNET, 443)
    assert reaches(made, Peer(namespace="monitoring"), MLFLOW, 5000)
    assert reaches(made, Peer(namespace="ingress-nginx"), MLFLOW, 5000)


def test_a_foreign_server_is_reached_by_whoever_uses_it() -> None:
    for pod in (STEP, RAY, DRIFT):
        assert reaches(release("external_mlflow"), pod, INTERNET, 443)
        assert not reaches(release("external_mlflow"), pod, METADATA, 443)


def test_steps_reach_a_ray_cluster_of_yours_where_it_is_named() -> None:
    ray = Peer({"ray.io/node-type": "head"}, namespace="shared-ray")
    assert not reaches(release("trial"), STEP, ray, 10001)
    assert reaches(release("multi_user"), STEP, ray, 10001)


def test_workload_identity_is_reached_where_it_is_named() -> None:
    made = release("workload_identity")
    for pod in (STEP, RAY, DRIFT, MLFLOW):
        assert reaches(made, pod, Peer(address="169.254.170.23"), 80)
        assert not reaches(made, pod, METADATA, 80)


def test_dns_is_where_the_values_say() -> None:
    made = release("multi_user")
    assert reaches(made, STEP, Peer({"k8s-app": "coredns"}, namespace="dns"), 53)
    assert not reaches(made, STEP, DNS, 53)


@pytest.mark.parametrize("name", VALUE_SETS)
def test_no_rule_touches_a_pod_that_is_not_ours(name: str) -> None:
    """Kubeflow Pipelines may live in the same namespace: its own pods, and those it starts for a run."""
    foreign = [
        NEIGHBOUR,
        OTHER_STEP,
        Peer({"app": "ml-pipeline", "application-crd-id": "kubeflow-pipelines"}),
        Peer({"app": "workflow-controller"}),
        Peer({"workflows.argoproj.io/component": "agent", "workflows.argoproj.io/workflow": "adapt-1"}),
    ]
    for pod in foreign:
        assert reaches(release(name), pod, Peer(address="10.96.0.1"), 443)
        assert reaches(release(name), pod, Peer({"app": "mysql"}), 3306)
        assert reaches(release(name), STRANGER, pod, 8888)


def test_what_kfp_runs_in_a_step_reaches_it_in_the_same_namespace() -> None:
    made = render({"kfp": {"namespace": NAMESPACE}})
    for app, port in (("ml-pipeline", 8887), ("metadata-grpc-server", 8080), ("seaweedfs", 8333)):
        assert reaches(made, STEP, Peer({"app": app}), port)


def test_every_step_reaches_the_kubernetes_api_and_the_default_s_price_is_told() -> None:
    """KFP's launcher and Argo's executor need it in every step's pod; the chart can't know where it is."""
    api = Peer(address="10.0.0.1")
    for name in VALUE_SETS:
        assert reaches(release(name), STEP, api, 443), name
    assert reaches(release("trial"), STEP, INTERNET, 6443)
    assert not reaches(release("production"), STEP, INTERNET, 6443)
    assert "may reach any address on ports 443 and 6443" in (CHART / "README.md").read_text()


def covered(made: Release) -> bool:
    """Whether every pod of a release is denied by default."""
    deny = made.of_kind("NetworkPolicy")["acclimate-default-deny"]["spec"]
    wanted = deny["podSelector"].get("matchLabels", {})
    return deny["policyTypes"] == ["Ingress", "Egress"] and all(
        wanted.items() <= pod.labels.items() for pod in made.pods
    )


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_pod_is_denied_by_default(name: str) -> None:
    if values_of(name).get("networkPolicy", {}).get("enabled", True):
        assert covered(release(name))
