"""Every object of every rendering is one that Kubernetes would accept."""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import jsonschema
import pytest

from tests.chart.rendering import CHART, NAMESPACE, VALUE_SETS, Manifest, release, values_of

kubernetes_validate = pytest.importorskip(
    "kubernetes_validate", reason="needs kubernetes-validate: see constraints/dev.txt"
)

KUBERNETES = ("1.30", "1.34", "1.37")
OWN_SCHEMAS = {"ServiceMonitor": Path(__file__).parents[1] / "schemas" / "servicemonitor.json"}
CHART_LABELS = {"app.kubernetes.io/name": "acclimate", "app.kubernetes.io/instance": "demo"}


@cache
def check(manifest: str, version: str) -> None:
    """Validate once what many renderings share; an unknown kind is an error."""
    kubernetes_validate.validate(json.loads(manifest), version, strict=True)


def canonical(found: Manifest) -> str:
    """An object as text that is the same for equal objects; generated passwords are left out."""
    if found["kind"] == "Secret":
        found = {**found, "data": dict.fromkeys(found["data"], "Z2VuZXJhdGVk")}
    return json.dumps(found, sort_keys=True)


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_object_passes_the_strict_schema(name: str, version: str) -> None:
    for found in release(name).objects:
        if found["kind"] in OWN_SCHEMAS:
            jsonschema.validate(found, json.loads(OWN_SCHEMAS[found["kind"]].read_text()))
        else:
            check(canonical(found), version)


def test_a_field_that_kubernetes_does_not_know_is_found() -> None:
    service = {**release("trial").of_kind("Service")["acclimate-mlflow"], "spce": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        check(canonical(service), KUBERNETES[0])


def test_a_kind_that_is_not_listed_is_found() -> None:
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        check(json.dumps({"apiVersion": "example.com/v1", "kind": "Surprise", "metadata": {}}), KUBERNETES[0])


@pytest.mark.parametrize("name", VALUE_SETS)
def test_names_and_namespaces_are_unique_and_set(name: str) -> None:
    objects = release(name).objects
    seen = [(found["kind"], found["metadata"]["name"]) for found in objects]
    assert len(seen) == len(set(seen))
    assert {found["metadata"]["namespace"] for found in objects} == {NAMESPACE}


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_object_carries_the_chart_labels(name: str) -> None:
    for found in release(name).objects:
        labels = found["metadata"]["labels"]
        assert labels.items() >= CHART_LABELS.items(), found["metadata"]["name"]
        assert labels["app.kubernetes.io/part-of"] == "acclimate"


@pytest.mark.parametrize("name", VALUE_SETS)
def test_selectors_find_pods_and_hold_nothing_that_changes(name: str) -> None:
    made = release(name)
    labels = [pod.labels for pod in made.pods]
    selectors = [found["spec"]["selector"]["matchLabels"] for found in made.of_kind("Deployment").values()]
    selectors += [found["spec"]["selector"]["matchLabels"] for found in made.of_kind("PodDisruptionBudget").values()]
    selectors += [found["spec"]["selector"] for found in made.of_kind("Service").values()]
    for selector in selectors:
        assert sum(selector.items() <= pod.items() for pod in labels) == 1
        assert not {"app.kubernetes.io/version", "helm.sh/chart", "app.kubernetes.io/managed-by"} & set(selector)


def test_selectors_survive_an_upgrade() -> None:
    before, after = release("trial"), release("production")
    name = "acclimate-mlflow"
    assert (
        before.of_kind("Deployment")[name]["spec"]["selector"] == after.of_kind("Deployment")[name]["spec"]["selector"]
    )


@pytest.mark.parametrize("name", VALUE_SETS)
def test_ports_that_services_name_exist(name: str) -> None:
    made = release(name)
    for service in made.of_kind("Service").values():
        selector = service["spec"]["selector"]
        pod = next(pod for pod in made.pods if selector.items() <= pod.labels.items())
        named = {port["name"] for container in pod.containers for port in container.get("ports", ())}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= named


@pytest.mark.parametrize("name", VALUE_SETS)
def test_volumes_that_are_mounted_exist(name: str) -> None:
    for pod in release(name).pods:
        mounted = {mount["name"] for container in pod.containers for mount in container.get("volumeMounts", ())}
        assert mounted == {volume["name"] for volume in pod.spec.get("volumes", ())}, pod.owner


def test_passwords_differ_from_one_installation_to_the_next() -> None:
    from tests.chart.rendering import render

    first, second = (render(values_of("trial")).of_kind("Secret") for _ in range(2))
    assert set(first) == {"acclimate-s3", "acclimate-mlflow", "acclimate-mlflow-admin"}
    assert not {
        value for secret in first.values() for key, value in secret["data"].items() if "USERNAME" not in key.upper()
    } & {value for secret in second.values() for key, value in secret["data"].items() if "USERNAME" not in key.upper()}
    assert (
        first["acclimate-mlflow"]["data"]["MLFLOW_TRACKING_PASSWORD"]
        == first["acclimate-mlflow-admin"]["data"]["password"]
    )


@pytest.mark.parametrize("name", [name for name in VALUE_SETS if release(name).of_kind("ResourceQuota")])
def test_a_quota_comes_with_what_it_asks_of_containers_that_ask_for_nothing(name: str) -> None:
    """Such as Argo's `init` and `wait` in each step's pod, which a quota refuses without."""
    made = release(name)
    (limits,) = made.of_kind("LimitRange")["acclimate"]["spec"]["limits"]
    assert limits["type"] == "Container"
    given = {f"requests.{key}" for key in {**limits.get("default", {}), **limits["defaultRequest"]}}
    given |= {f"limits.{key}" for key in limits.get("default", {})}
    counted = made.of_kind("ResourceQuota")["acclimate"]["spec"]["hard"]
    assert {key for key in counted if key.endswith((".cpu", ".memory"))} <= given


def test_a_ray_cluster_of_yours_reaches_the_steps() -> None:
    told = release("multi_user").of_kind("ConfigMap")["acclimate-services"]["data"]
    assert (told["RAY_ADDRESS"], told["RAY_AUTH_MODE"]) == ("ray://head.shared-ray.svc:10001", "token")
    # an empty one would be taken for an address
    assert not [key for key in release("trial").of_kind("ConfigMap")["acclimate-services"]["data"] if "RAY" in key]


def test_text_in_a_configuration_is_not_a_template() -> None:
    text = release("drift_inline").of_kind("ConfigMap")["acclimate-drift"]["data"]["adaptation.yaml"]
    assert text.strip() == values_of("drift_inline")["drift"]["config"].strip()
    assert "{{ .Values" in text


def test_no_warning_is_raised_by_the_validators() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(canonical(release("trial").of_kind("Service")["acclimate-seaweedfs"]), KUBERNETES[-1])


def test_every_template_is_rendered_by_some_set() -> None:
    kinds = {found["kind"] for name in VALUE_SETS for found in release(name).objects}
    written = {
        line.split(":", 1)[1].strip()
        for path in (CHART / "templates").rglob("*.yaml")
        for line in path.read_text().splitlines()
        if line.startswith("kind:")
    }
    assert kinds == written
