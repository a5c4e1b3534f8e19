"""Every pod is `restricted`, every right is least, every name that is used is there."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tests.chart.pod_security import violations
from tests.chart.references import Reference, is_met, of_release
from tests.chart.rendering import CHART, VALUE_SETS, release, render, values_of

GOOD: dict[str, Any] = {
    "serviceAccountName": "worker",
    "automountServiceAccountToken": False,
    "securityContext": {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}},
    "volumes": [{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
    "containers": [
        {
            "name": "work",
            "image": "registry.example:5000/worker:1.0",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "resources": {
                kind: {"cpu": "1", "memory": "1Gi", "ephemeral-storage": "1Gi"} for kind in ("requests", "limits")
            },
        }
    ],
}
BAD: list[tuple[str, Any, str]] = [
    ("hostNetwork", True, "hostNetwork"),
    ("hostPID", True, "hostPID"),
    ("hostIPC", True, "hostIPC"),
    ("automountServiceAccountToken", True, "token"),
    ("serviceAccountName", None, "service account"),
    ("volumes", [{"name": "host", "hostPath": {"path": "/"}}], "hostPath"),
    ("volumes", [{"name": "tmp", "emptyDir": {}}], "size limit"),
    ("securityContext.runAsNonRoot", False, "runAsNonRoot"),
    ("securityContext.runAsUser", 0, "root is named"),
    ("securityContext.runAsUser", None, "root is named"),
    ("securityContext.seccompProfile", {"type": "Unconfined"}, "seccomp"),
    ("securityContext.sysctls", [{"name": "kernel.shm_rmid_forced", "value": "0"}], "sysctls"),
    ("containers.0.securityContext.runAsUser", 0, "root is named"),
    ("containers.0.securityContext.allowPrivilegeEscalation", True, "escalation"),
    ("containers.0.securityContext.allowPrivilegeEscalation", None, "escalation"),
    ("containers.0.securityContext.privileged", True, "privileged"),
    ("containers.0.securityContext.procMount", "Unmasked", "procMount"),
    ("containers.0.securityContext.capabilities", {"drop": ["NET_RAW"]}, "not dropped"),
    ("containers.0.securityContext.capabilities", {"drop": ["ALL"], "add": ["SYS_ADMIN"]}, "added"),
    ("containers.0.securityContext.readOnlyRootFilesystem", False, "root file system"),
    ("containers.0.resources.limits.memory", None, "limits of memory"),
    ("containers.0.resources.requests", None, "requests of cpu"),
    ("containers.0.ports", [{"containerPort": 80, "hostPort": 80}], "host port"),
    ("containers.0.image", "registry.example:5000/worker", "neither digest nor tag"),
    ("containers.0.image", "worker:latest", "neither digest nor tag"),
    ("initContainers", [{"name": "first", "image": "a:1"}], "first: "),
]


def changed(path: str, value: Any) -> dict[str, Any]:
    """The good pod with one thing changed, or taken away by None."""
    spec: Any = copy.deepcopy(GOOD)
    *parents, last = path.split(".")
    place = spec
    for name in parents:
        place = place[int(name)] if name.isdigit() else place[name]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return dict(spec)


def test_a_good_pod_breaks_no_rule() -> None:
    assert violations(GOOD) == []


@pytest.mark.parametrize(("path", "value", "line"), BAD, ids=[f"{path}={value}" for path, value, _ in BAD])
def test_each_rule_finds_what_breaks_it(path: str, value: Any, line: str) -> None:
    assert any(line in found for found in violations(changed(path, value)))


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_pod_is_restricted(name: str) -> None:
    found = {pod.owner: violations(pod.spec) for pod in release(name).pods}
    assert {owner: lines for owner, lines in found.items() if lines} == {}


@pytest.mark.parametrize("name", ["production", "private_registry"])
def test_every_image_is_named_by_digest_where_that_is_required(name: str) -> None:
    images = [container["image"] for pod in release(name).pods for container in pod.containers]
    assert images
    assert all("@sha256:" in image for image in images)


@pytest.mark.parametrize("name", VALUE_SETS)
def test_no_right_is_a_wildcard_and_none_reaches_beyond_the_namespace(name: str) -> None:
    made = release(name)
    assert not made.of_kind("ClusterRole")
    assert not made.of_kind("ClusterRoleBinding")
    for role in made.of_kind("Role").values():
        for rule in role["rules"]:
            assert not {"*"} & {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
            assert "secrets" not in rule["resources"]
            assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"])


def test_the_runner_may_do_what_a_training_needs_and_no_more() -> None:
    rules = release("trial").of_kind("Role")["acclimate-runner"]["rules"]
    granted = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    rayjobs = {("rayjobs", verb) for verb in ("create", "get", "list", "watch", "delete")}
    assert granted == {*rayjobs, ("pods", "get"), ("pods", "list"), ("pods/log", "get"), ("configmaps", "get")}


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ("trial", {("pipeline-runner", "ml")}),
        ("multi_user", {("default-editor", "ml"), ("robot", "automation")}),
        ("workload_identity", {("trainer", "ml")}),
    ],
)
def test_the_role_is_bound_to_the_accounts_of_the_values(name: str, bound: set[tuple[str, str]]) -> None:
    binding = release(name).of_kind("RoleBinding")["acclimate-runner"]
    assert {(subject["name"], subject["namespace"]) for subject in binding["subjects"]} == bound
    assert binding["roleRef"]["name"] in release(name).of_kind("Role")


def test_a_role_nobody_has_is_bound_to_nobody() -> None:
    assert not release("roles_only").of_kind("RoleBinding")
    assert "acclimate-runner" in release("roles_only").of_kind("Role")


@pytest.mark.parametrize("name", VALUE_SETS)
def test_runs_have_an_account_that_kfp_has_made_and_ours_hold_no_token(name: str) -> None:
    """KFP's launcher and Argo need rights that only KFP gives: an account of the chart's could never run a step."""
    accounts = release(name).of_kind("ServiceAccount")
    assert not [account for account in accounts.values() if account["automountServiceAccountToken"]]
    bindings = release(name).of_kind("RoleBinding").values()
    assert not {subject["name"] for binding in bindings for subject in binding["subjects"]} & set(accounts)


def test_whoever_needs_s3_can_have_a_cloud_identity() -> None:
    accounts = release("workload_identity").of_kind("ServiceAccount")
    roles = {name: found["metadata"]["annotations"]["eks.amazonaws.com/role-arn"] for name, found in accounts.items()}
    assert {name.removeprefix("acclimate-") for name in roles} == {"ray", "mlflow", "drift"}
    assert all(arn.endswith(f"role/{name.removeprefix('acclimate-')}") for name, arn in roles.items())


def declared(name: str) -> set[tuple[str, str]]:
    """What a set of values says that its user has made."""
    values = values_of(name)
    secrets, mlflow = values.get("secrets", {}), values.get("mlflow", {})
    found = {("ServiceAccount", "default")}
    found |= {("Secret", "acclimate-s3")} if secrets.get("s3") == "existing" else set()
    if secrets.get("mlflow") == "existing":
        found |= {("Secret", "acclimate-mlflow"), ("Secret", "acclimate-mlflow-admin")}
    found |= {("Secret", pull) for pull in values.get("global", {}).get("imagePullSecrets", ())}
    found.add(("Secret", mlflow.get("database", {}).get("existingSecret", "")))
    found.add(("PersistentVolumeClaim", mlflow.get("persistence", {}).get("existingClaim", "")))
    found.add(("ConfigMap", values.get("drift", {}).get("existingConfigMap", "")))
    return found


@pytest.mark.parametrize("name", VALUE_SETS)
def test_every_name_that_is_used_is_there_declared_or_optional(name: str) -> None:
    made, known = release(name), declared(name)
    missing = {
        reference
        for reference in of_release(made)
        if not reference.optional and not is_met(reference, made) and (reference.kind, reference.name) not in known
    }
    assert missing == set()


def test_a_name_that_is_nowhere_is_found() -> None:
    assert not is_met(Reference("Secret", "acclimate-s3", "NO_SUCH_KEY"), release("trial"))
    assert not is_met(Reference("ConfigMap", "nowhere"), release("trial"))


def test_what_a_user_must_make_stands_in_the_readme() -> None:
    readme = (CHART / "README.md").read_text()
    needed = {reference for name in VALUE_SETS for reference in of_release(release(name)) if reference.kind == "Secret"}
    for reference in needed:
        assert reference.key in readme, reference
        if reference.name.startswith("acclimate-"):
            assert f"`{reference.name}`" in readme


@pytest.mark.parametrize("name", VALUE_SETS)
def test_no_password_stands_outside_a_secret(name: str) -> None:
    made = render(values_of(name))
    generated = {
        value for secret in made.of_kind("Secret").values() for value in secret["data"].values() if len(value) > 12
    }
    rest = repr([found for found in made.objects if found["kind"] != "Secret"]) + made.notes
    assert not [value for value in generated if value in rest]


def test_the_server_is_started_safely() -> None:
    pod = next(pod for pod in release("production").pods if pod.owner == "Deployment/acclimate-mlflow")
    server = next(container for container in pod.containers if container["name"] == "mlflow")
    assert {"--app-name=basic-auth", "--serve-artifacts", "--artifacts-destination=s3://models/mlflow"} <= set(
        server["args"]
    )
    assert {"name": "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "value": "false"} in server["env"]
    hosts = next(arg for arg in server["args"] if arg.startswith("--allowed-hosts=")).split("=", 1)[1].split(",")
    assert {"acclimate-mlflow.ml.svc:5000", "mlflow.example"} <= set(hosts)
    assert not [host for host in hosts if "*" in host]
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= set(server)
    assert {server[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")} == {
        "/health"
    }


def test_the_schema_of_the_database_is_upgraded_before_the_server_starts() -> None:
    job = release("production").of_kind("Job")["acclimate-mlflow-migration"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    trial = next(pod for pod in release("trial").pods if pod.owner == "Deployment/acclimate-mlflow")
    assert [container["name"] for container in trial.spec["initContainers"]] == ["auth-config", "migrate"]
    assert release("trial").of_kind("Deployment")["acclimate-mlflow"]["spec"]["strategy"] == {"type": "Recreate"}
    assert not release("trial").of_kind("Job")
