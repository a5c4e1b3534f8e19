"""What the notes and docs/cluster.md tell to type works with what is rendered."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chart.rendering import CHART, NAMESPACE, VALUE_SETS, Release, release, render, values_given, values_of

ROOT = CHART.parents[1]
GUIDE = (ROOT / "docs" / "cluster.md").read_text()
HEX = "a" * 64
FORWARD = re.compile(r"kubectl port-forward --namespace (\S+) svc/(\S+) (\d+):(\d+)")
EXPORT = re.compile(r"(\w+)=(\S+)")
WITH_DIGEST = [name for name in VALUE_SETS if values_of(name).get("image", {}).get("digest")]


def steps(text: str) -> dict[int, str]:
    """The numbered steps of a text."""
    parts = re.split(r"^(\d+)\. ", text, flags=re.MULTILINE)
    return {int(number): body for number, body in zip(parts[1::2], parts[2::2], strict=True)}


def image_told(text: str) -> str:
    """The image that a text submits with."""
    found = re.search(r"--image (\S+)", text)
    assert found is not None
    return found[1]


def forwards(text: str) -> dict[str, tuple[str, str, int]]:
    """Address on this machine, with namespace, Service and port, of each forward."""
    return {
        f"http://127.0.0.1:{here}": (namespace, name, int(port))
        for namespace, name, here, port in FORWARD.findall(text)
    }


def exported(text: str) -> dict[str, str]:
    """Environment variables that a text sets, those read from Secrets left out."""
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("export ")]
    return {name: value for line in lines for name, value in EXPORT.findall(line) if not value.startswith("$(")}


def keys_read(text: str) -> Iterator[tuple[str, str, str]]:
    """Variable, Secret and key of each ``export`` that reads a Secret."""
    yield from re.findall(r"(\w+)=\$\(kubectl get secret (\S+) .*?\{\.data\.(\w+)\}' \| base64 -d\)", text)
    yield from re.findall(r"(\w+)=\$\(key (\S+) (\w+)\)", text)


def test_the_notes_name_three_commands_and_the_prerequisites() -> None:
    notes = release("trial").notes
    for name in VALUE_SETS:
        assert list(steps(release(name).notes)) == [1, 2, 3], name
    for word in (
        "helm test demo",
        "kubectl port-forward",
        "acclimate submit",
        "Pipelines 2.17",
        "KubeRay operator 1.7",
        "trial",
    ):
        assert word in notes
    assert "trial installation" not in release("production").notes


@pytest.mark.parametrize("name", VALUE_SETS)
def test_a_test_is_told_of_where_there_is_one(name: str) -> None:
    made = release(name)
    hooks = [found["metadata"].get("annotations", {}).get("helm.sh/hook") for found in made.objects]
    assert ("helm test" in made.notes) == ("test" in hooks)


def test_the_image_by_digest_is_one_that_submit_takes() -> None:
    from acclimate.kfp_ir import prepared

    assert len(WITH_DIGEST) >= 2
    for name in WITH_DIGEST:
        assert prepared("adapt", image=image_told(release(name).notes))


@pytest.mark.parametrize("name", [name for name in VALUE_SETS if name not in WITH_DIGEST])
def test_without_a_digest_the_notes_say_how_to_get_it(name: str) -> None:
    from acclimate.kfp_ir import prepared

    notes = steps(release(name).notes)[3]
    assert prepared("adapt", image=image_told(notes).replace("sha256:...", f"sha256:{HEX}"))
    assert "docker buildx imagetools inspect" in notes
    assert "docker inspect --format '{{index .RepoDigests 0}}'" in notes


def check_reachable(text: str, made: Release) -> None:
    """Forwards go to Services that are there, and what is exported goes by a forward."""
    opened, told = forwards(text), exported(text)
    for namespace, name, port in opened.values():
        if name == "ml-pipeline":
            continue
        service = made.of_kind("Service")[name]
        assert service["metadata"]["namespace"] == namespace
        assert port in {entry["port"] for entry in service["spec"]["ports"]}
    assert {value for value in told.values() if "127.0.0.1" in value} == set(opened)
    assert opened[told["KFP_ENDPOINT"]][1] == "ml-pipeline"


@pytest.mark.parametrize("name", VALUE_SETS)
def test_the_notes_open_what_submit_needs(name: str) -> None:
    made = release(name)
    text, told = steps(made.notes)[2], exported(made.notes)
    check_reachable(text, made)
    assert {"KFP_ENDPOINT", "MLFLOW_TRACKING_URI", "AWS_REGION"} <= set(told)
    services = made.of_kind("ConfigMap")["acclimate-services"]["data"]
    assert told["AWS_REGION"] == services["AWS_REGION"]
    assert ("AWS_ENDPOINT_URL" in told) == ("AWS_ENDPOINT_URL" in services)
    for variable, address in services.items():
        # an address outside is the same from everywhere, one of the cluster's own is not
        if address.startswith("http"):
            assert told[variable].startswith("http://127.0.0.1:") if ".svc" in address else told[variable] == address


@pytest.mark.parametrize("name", VALUE_SETS)
def test_the_keys_that_the_notes_read_are_there(name: str) -> None:
    made, values = release(name), values_of(name)
    read = list(keys_read(made.notes))
    for variable, secret, key in read:
        assert variable == key
        known = made.of_kind("Secret").get(secret, {}).get("data")
        assert key in known if known else "existing" in values["secrets"].values()
    wanted = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"} if values.get("secrets", {}).get("s3") != "none" else set()
    if values.get("mlflow", {}).get("enabled", True):
        wanted |= {"MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"}
    assert {variable for variable, _, _ in read} == wanted


def test_the_server_takes_the_host_that_the_notes_name() -> None:
    pod = next(pod for pod in release("trial").pods if pod.owner == "Deployment/acclimate-mlflow")
    (hosts,) = (
        arg.partition("=")[2] for arg in pod.spec["containers"][0]["args"] if arg.startswith("--allowed-hosts=")
    )
    assert exported(release("trial").notes)["MLFLOW_TRACKING_URI"].removeprefix("http://") in hosts.split(",")


def test_what_the_notes_export_stays_on_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The request goes to pods, for which this machine's addresses mean nothing."""
    local_run = pytest.importorskip("acclimate.local_run")
    from acclimate.errors import ConfigError

    (tmp_path / "mail.csv").write_text("text,label\na,x\nb,y\n")
    config = tmp_path / "adaptation.yaml"
    config.write_text("name: mail\nsource: package://model\ntarget: {data: mail.csv, text: text, label: label}\n")
    overrides = re.findall(r"-s (\S+)", release("trial").notes)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(ConfigError) as refusal:
        local_run.load_request(config, overrides)
    assert refusal.value.code == "E-CONFIG-038"
    for name, value in exported(release("trial").notes).items():
        monkeypatch.setenv(name, value)
    request = local_run.load_request(config, overrides)
    assert request.workspace == "s3://acclimate/workspace"
    assert "127.0.0.1" not in request.to_json()


def test_the_guide_has_ten_steps_and_installs_in_an_order_that_works() -> None:
    assert list(steps(GUIDE)) == list(range(1, 11))
    places = [GUIDE.index(f"{command}\n") for command in ORDER]
    assert places == sorted(places)
    for repository in re.findall(r"helm install \S+ (\w+)/(?!acclimate)\S+", GUIDE):
        assert 0 < GUIDE.index(f"helm repo add {repository} https://") < GUIDE.index(f" {repository}/")


ORDER = [
    "kubectl apply --kustomize infra/kfp/cluster-scoped",
    "crd/workflows.argoproj.io",
    "helm install acclimate charts/acclimate --namespace kubeflow --set kfp.mlflowPlugin=true \\",
    "kubectl apply --kustomize infra/kfp",
]


def guided() -> Release:
    """The release of the guide's own command, digests put in."""
    (command,) = re.findall(r"helm install acclimate (.*?[^\\])\n", GUIDE, re.DOTALL)
    command = command.replace("sha256:...", f"sha256:{HEX}").replace("REGISTRY", "registry.example")
    return render(values_given(re.findall(r"--set (\S+)", command)))


def test_the_guide_makes_the_secret_that_the_overlay_s_plugin_gives_every_step() -> None:
    assert '"mlflow"' in (ROOT / "infra" / "kfp" / "config.json").read_text()
    assert "kfp-mlflow-credentials" in guided().of_kind("Secret")


def test_the_guide_opens_what_its_release_has() -> None:
    made = guided()
    assert "@sha256:" in image_told(made.notes)
    (namespace,) = {namespace for namespace, name, _ in forwards(GUIDE).values() if name.startswith("acclimate-")}
    check_reachable(steps(GUIDE)[7].replace(f"--namespace {namespace} svc/a", f"--namespace {NAMESPACE} svc/a"), made)
    read = list(keys_read(GUIDE))
    assert {variable for variable, _, _ in read} == {variable for variable, _, _ in keys_read(made.notes)}
    for _, secret, key in read:
        assert key in made.of_kind("Secret")[secret]["data"]


def test_the_guide_tells_when_a_job_that_nobody_follows_ends() -> None:
    lease = pytest.importorskip("acclimate.adapters.s3_lease")
    job = pytest.importorskip("acclimate.adapters.rayjob_object")
    assert lease.LeaseTimes().claim == 15 * 60
    assert "for 15 minutes; its own deadline of 20 hours" in GUIDE.replace("\n", " ")
    assert job.RayJobSpec.deadline_seconds == 20 * 3600
