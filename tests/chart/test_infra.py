"""Images, the overlay for Kubeflow Pipelines and the scripts fit the chart and the constraints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from acclimate.version import __version__
from tests.chart.imports import brought, imported, named, normal
from tests.chart.rendering import CHART, release

ROOT = CHART.parents[1]
INFRA = ROOT / "infra"
DOCKERFILE = (INFRA / "Dockerfile").read_text()
STEPS = re.sub(r"\\\n", " ", DOCKERFILE).splitlines()
SCRIPTS = sorted((INFRA / "kind").glob("*.sh"))


def pins(path: Path) -> dict[str, str]:
    """Name and version of each line of a requirements file."""
    lines = [line.split("#")[0].strip() for line in path.read_text().splitlines()]
    return {
        re.sub(r"[-_.]+", "-", name).lower(): version
        for name, _, version in (line.partition("==") for line in lines if line)
    }


def stages() -> dict[str, list[str]]:
    """The lines of each stage of the Dockerfile."""
    found: dict[str, list[str]] = {}
    for line in STEPS:
        if line.startswith("FROM "):
            found[line.rsplit(" AS ", 1)[1]] = [line]
        elif found and line and not line.startswith("#"):
            next(reversed(found.values())).append(line)
    return found


def test_every_base_is_the_argument() -> None:
    assert "ARG BASE_IMAGE=" in DOCKERFILE
    own = set(stages())
    for name, lines in stages().items():
        base = lines[0].split()[1]
        assert base == "${BASE_IMAGE}" or base in own, name


@pytest.mark.parametrize("target", ["server", "step", "training"])
def test_images_run_as_the_user_of_the_chart_and_hold_no_build_tools(target: str) -> None:
    lines = stages()[target]
    assert lines[0].split()[1] == "runtime"
    assert not [line for line in lines if line.startswith(("USER", "RUN"))]
    assert "USER 10001:10001" in stages()["runtime"]
    assert {pod.spec["securityContext"]["runAsUser"] for pod in release("trial").pods} == {10001}


def test_every_installation_is_constrained() -> None:
    installs = [line for line in STEPS if "pip install" in line]
    assert len(installs) == 3
    assert all("--constraint" in line and "--no-cache-dir" in line for line in installs)


def test_building_takes_nothing_but_the_base_image_and_the_index() -> None:
    assert not re.search(r"\b(curl|wget|apt-get|apk|git clone)\b|^ADD ", DOCKERFILE, re.MULTILINE)


def test_no_secret_is_an_argument() -> None:
    names = re.findall(r"^(?:ARG|ENV) (\w+)", DOCKERFILE, re.MULTILINE)
    assert not [name for name in names if re.search("SECRET|TOKEN|PASSWORD|KEY", name)]


def test_the_extras_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    used = re.search(r"STEP_EXTRAS=(\S+)", DOCKERFILE)
    assert used is not None
    assert {*used[1].split(","), "ray"} <= set(extras)


def test_the_step_image_holds_whatever_a_step_imports() -> None:
    """Ray alone is another image's: `training`."""
    have, owners = brought(named("") | named("step")), metadata.packages_distributions()
    missing = {name for name in imported() if not {normal(owner) for owner in owners.get(name, [name])} & have}
    assert missing == {"ray"}


def test_the_step_image_reads_data_by_every_route_that_the_docs_name() -> None:
    readme = (INFRA / "README.md").read_text()
    promised = {
        "torch": "torch",
        "transformers": "transformers",
        "peft": "peft",
        "MLflow": "mlflow",
        "boto3": "boto3",
        "DVC": "dvc",
        "S3 remotes": "dvc-s3",
        "KFP's executor": "kfp",
    }
    line = next(line for line in readme.splitlines() if line.startswith("`step` holds"))
    assert all(word in line for word in promised)
    assert set(promised.values()) <= named("step")


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("server", {"mlflow", "flask-wtf", "boto3", "psycopg-binary", "prometheus-flask-exporter"}),
        ("training", {"ray[default]", "aiohttp-cors", "opencensus", "grpcio"}),
    ],
)
def test_images_have_the_versions_of_the_rest(name: str, needed: set[str]) -> None:
    own, rest = pins(INFRA / f"{name}-requirements.txt"), pins(ROOT / "constraints" / "cpu.txt")
    assert all(own.values())
    assert {each: version for each, version in own.items() if rest.get(each.split("[")[0], version) != version} == {}
    assert needed <= set(own)


def test_the_context_leaves_out_what_is_not_needed() -> None:
    lines = (INFRA / "Dockerfile.dockerignore").read_text().split()
    assert lines[0] == "*"
    copied = {
        word.removeprefix("./")
        for line in STEPS
        if line.startswith("COPY ") and "--from" not in line
        for word in line.split()[1:-1]
    }
    assert copied <= {line.removeprefix("!") for line in lines}


def test_versions_agree() -> None:
    assert f"ARG VERSION={__version__}" in DOCKERFILE
    for path in (INFRA / "kfp" / "kustomization.yaml", INFRA / "kfp" / "cluster-scoped" / "kustomization.yaml"):
        assert YAML(typ="safe").load(path)["resources"][0].endswith("?ref=2.17.0")
    assert pins(ROOT / "constraints" / "cpu.txt")["kfp"] == "2.17.0"
    assert "KUBERAY_VERSION=1.7.0" in (INFRA / "kind" / "up.sh").read_text()


def overlay(name: str) -> Any:
    """A file of the overlay."""
    return list(YAML(typ="safe").load_all(INFRA / "kfp" / name))


def test_the_overlay_names_files_that_exist() -> None:
    (found,) = overlay("kustomization.yaml")
    local = [path for path in found["resources"] if not path.startswith("https://")]
    local += [patch["path"] for patch in found["patches"]] + found["configMapGenerator"][0]["files"]
    assert all((INFRA / "kfp" / path).is_file() for path in local)
    assert {*local, "kustomization.yaml"} == {path.name for path in (INFRA / "kfp").iterdir() if path.is_file()}


def test_the_plugin_asks_the_chart_s_server_with_the_chart_s_account() -> None:
    plugin = json.loads((INFRA / "kfp" / "config.json").read_text())["plugins"]["mlflow"]
    service = release("multi_user").of_kind("Service")["acclimate-mlflow"]
    assert (
        plugin["endpoint"] == f"http://{service['metadata']['name']}.kubeflow.svc:{service['spec']['ports'][0]['port']}"
    )
    keys = plugin["settings"]["credentialSecretRef"]
    secret = release("multi_user").of_kind("Secret")["kfp-mlflow-credentials"]["data"]
    assert set(keys.values()) == set(secret)
    (launcher,) = overlay("launcher-patch.yaml")
    assert json.loads(launcher["data"]["plugins.mlflow"])["settings"]["credentialSecretRef"] == keys


def test_the_overlay_gives_no_rights() -> None:
    """The chart does, where it makes what the rights are for; RayJobs need its account `acclimate-ray` anyway."""
    assert "acclimate-ray" in release("trial").of_kind("ServiceAccount")
    kinds = {found["kind"] for path in (INFRA / "kfp").rglob("*.yaml") for found in YAML(typ="safe").load_all(path)}
    assert kinds == {"Kustomization", "Deployment", "ConfigMap"}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_stop_at_the_first_failure(script: Path) -> None:
    assert "set -euo pipefail" in script.read_text()
    assert script.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", str(script)], check=True)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    tool = shutil.which("shellcheck")
    if tool is None:
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    done = subprocess.run([tool, str(script)], check=False, capture_output=True, text=True)
    assert done.stdout == ""


@pytest.mark.parametrize(
    "pipeline", sorted((ROOT / "src" / "acclimate" / "pipelines").glob("*.yaml")), ids=lambda path: path.stem
)
def test_pipelines_use_the_names_of_the_chart(pipeline: Path) -> None:
    text, made = pipeline.read_text(), release("multi_user")
    assert set(re.findall(r"configMapName: (\S+)", text)) <= {"acclimate-services"}
    assert set(re.findall(r"configMapKey: (\S+)", text)) <= set(made.of_kind("ConfigMap")["acclimate-services"]["data"])
    readme = (CHART / "README.md").read_text()
    assert all(f"`{name}`" in readme for name in re.findall(r"secretName: (\S+)", text))
    labels = dict(re.findall(r"(app\.kubernetes\.io/\S+): (\S+)", text))
    assert labels in ({}, {"app.kubernetes.io/component": "step", "app.kubernetes.io/part-of": "acclimate"})
