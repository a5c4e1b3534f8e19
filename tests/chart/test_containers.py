"""The images are built, the chart's own pod runs in one and a step's imports in another: what no rendering can show."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from acclimate.version import __version__
from tests.chart.imports import imported, normal
from tests.chart.rendering import CHART, Release, render

BASE = os.environ.get("ACCLIMATE_TEST_BASE_IMAGE", "")
HOW = (
    "apt-get install podman runc catatonit, then ACCLIMATE_TEST_BASE_IMAGE=an image with Python 3.11 and venv "
    "(infra/README.md)"
)
PORT = 5000
# as a pod that is `restricted`
HELD = ["--rm", "--read-only", "--user=10001:10001", "--cap-drop=ALL", "--security-opt=no-new-privileges"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(2400),
    pytest.mark.skipif(shutil.which("podman") is None or not BASE, reason=f"no containers here: {HOW}"),
]


def podman(*words: str, **options: Any) -> str:
    """What a command of podman's prints; its errors are shown with the failure."""
    done = subprocess.run(["podman", *words], check=False, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def built(target: str) -> str:
    """An image; ACCLIMATE_TEST_BUILD_OPTIONS are further options of podman's, for a network with a proxy."""
    root, options = CHART.parents[1], os.environ.get("ACCLIMATE_TEST_BUILD_OPTIONS", "").split()
    build = ["build", *options, "--file", "infra/Dockerfile", "--ignorefile", "infra/Dockerfile.dockerignore"]
    name = f"localhost/acclimate-{target}:test"
    podman(*build, "--build-arg", f"BASE_IMAGE={BASE}", "--target", target, "--tag", name, ".", cwd=root)
    return name


@pytest.fixture(scope="module")
def image() -> str:
    """The server's image."""
    return built("server")


@pytest.fixture(scope="module")
def step() -> str:
    """The image of every step."""
    return built("step")


@pytest.fixture(scope="module")
def rendered(image: str) -> Release:
    """A trial whose artifacts lie on the server's volume."""
    name, _, tag = image.partition(":")
    stores = {"seaweedfs": {"enabled": False}, "secrets": {"s3": "none"}}
    return render({**stores, "mlflow": {"workers": 1, "image": {"repository": name, "tag": tag}}})


def told(variable: dict[str, Any], made: Release) -> dict[str, Any] | None:
    """An environment variable with the value that the kubelet would give it; None where an optional one is nowhere."""
    for kind, key in variable.get("valueFrom", {}).items():
        holder = made.of_kind("Secret" if kind == "secretKeyRef" else "ConfigMap").get(key["name"], {}).get("data", {})
        if key["key"] not in holder:
            assert key.get("optional"), variable
            return None
        value = holder[key["key"]]
        return {
            "name": variable["name"],
            "value": base64.b64decode(value).decode() if kind == "secretKeyRef" else value,
        }
    return variable


@pytest.fixture(scope="module")
def server(rendered: Release, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the server in the chart's own pod; the host's network, so ports and probes are left out."""
    spec = rendered.of_kind("Deployment")["acclimate-mlflow"]["spec"]["template"]["spec"]
    for container in [*spec["initContainers"], *spec["containers"]]:
        known = [told(variable, rendered) for variable in container.get("env", ())]
        container["env"] = [variable for variable in known if variable is not None]
        for name in ("ports", "startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(name, None)
    # podman has no fsGroup: the volume is given to the user; and some versions lose an init container that runs once.
    claim = rendered.of_kind("PersistentVolumeClaim")["acclimate-mlflow"]
    claim["metadata"]["annotations"] = {"volume.podman.io/uid": "10001", "volume.podman.io/gid": "10001"}
    annotations = {"io.podman.annotations.init.container.type": "always"}
    metadata = {"name": "acclimate-test", "annotations": annotations}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    file = tmp_path_factory.mktemp("play") / "pod.yaml"
    yaml: Any = YAML(typ="safe", pure=True)
    yaml.dump_all([claim, pod], file)
    try:
        podman("kube", "play", "--network", "host", str(file))
        await_health(f"http://127.0.0.1:{PORT}/health")
        yield f"http://127.0.0.1:{PORT}"
    finally:
        podman("kube", "down", str(file))
        podman("volume", "rm", "--force", "acclimate-mlflow")


def await_health(address: str, seconds: float = 90) -> None:
    """Wait until the server answers; fail with its log."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                assert answer.status == 200
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.5)
    pytest.fail(podman("logs", "acclimate-test-mlflow"))


def ask(rendered: Release, address: str) -> str:
    """What the pod of ``helm test`` says of a server."""
    pod = rendered.of_kind("Pod")["acclimate-test-mlflow"]["spec"]["containers"][0]
    env = [told(variable, rendered) for variable in pod["env"]]
    words = [f"--env={variable['name']}={variable['value']}" for variable in env if variable]
    words += [f"--env=MLFLOW_TRACKING_URI={address}", "--network=host"]
    return podman("run", *HELD, *words, pod["image"], *pod["command"], *pod["args"])


def test_the_server_starts_with_a_read_only_root_and_knows_its_account(rendered: Release, server: str) -> None:
    assert ask(rendered, server) == "with the account: 200, without: 401\n"


def test_the_server_runs_as_the_user_of_the_image_without_capabilities(server: str) -> None:
    status = podman("exec", "acclimate-test-mlflow", "cat", "/proc/1/status")
    fields = dict(line.split(":", 1) for line in status.splitlines())
    assert fields["Uid"].split() == ["10001"] * 4
    assert int(fields["CapEff"], 16) == 0
    assert fields["NoNewPrivs"].strip() == "1"


def test_a_foreign_host_header_is_refused(server: str) -> None:
    request = urllib.request.Request(f"{server}/api/2.0/mlflow/experiments/search", headers={"Host": "evil.example"})
    with pytest.raises(urllib.error.HTTPError) as refusal:
        urllib.request.urlopen(request, timeout=10)
    with refusal.value:
        assert refusal.value.code == 403


def test_the_migration_of_the_chart_makes_both_stores(image: str) -> None:
    job = render({"mlflow": {"database": {"existingSecret": "db"}}}).of_kind("Job")["acclimate-mlflow-migration"]
    spec = job["spec"]["template"]["spec"]
    uris = {"MLFLOW_BACKEND_STORE_URI": "sqlite:////tmp/runs.db", "AUTH_STORE_URI": "sqlite:////tmp/accounts.db"}
    for container in (spec["initContainers"][0], spec["containers"][0]):
        command = [uris.get(word.strip("$()"), word) for word in container["command"]]
        podman("run", *HELD, "--env=HOME=/tmp", image, *command)


def versions(image: str) -> dict[str, str]:
    """What is installed in an image."""
    listed = json.loads(podman("run", "--rm", image, "pip", "list", "--format=json", "--disable-pip-version-check"))
    return {normal(package["name"]): package["version"] for package in listed}


def pinned(path: Path) -> dict[str, str]:
    """The versions that a requirements file names."""
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines if line)}


def test_the_image_holds_the_pinned_versions(image: str) -> None:
    have, wanted = versions(image), pinned(CHART.parents[1] / "infra" / "server-requirements.txt")
    assert {name: have.get(name) for name in wanted} == wanted


def test_the_step_s_image_holds_the_pinned_versions(step: str) -> None:
    have, wanted = versions(step), pinned(CHART.parents[1] / "constraints" / "cpu.txt")
    # pip is the base image's own; a build for one kind of processor says so after a plus
    names = (have.keys() & wanted.keys()) - {"pip", "setuptools"}
    assert len(names) > 100
    assert {name for name in names if have[name].partition("+")[0] != wanted[name].partition("+")[0]} == set()
    assert have["acclimate"] == __version__
    assert "ray" not in have


def test_the_step_s_image_starts_acclimate_with_a_read_only_root(step: str) -> None:
    assert __version__ in podman("run", *HELD, "--network=none", step, "acclimate", "--version")


def test_the_step_s_image_imports_whatever_a_step_imports(step: str) -> None:
    names = [*sorted(imported() - {"ray"}), "acclimate.steps", "dvc.api", "dvc_s3", "kfp.dsl.executor_main"]
    code = "import importlib, os, sys; [importlib.import_module(name) for name in sys.argv[1:]]; print(os.getuid())"
    assert podman("run", *HELD, "--network=none", step, "python", "-c", code, *names).split()[-1] == "10001"
