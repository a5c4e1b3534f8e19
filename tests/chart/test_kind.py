"""The scripts for a cluster on one machine, run with tools that only write down what they are asked."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.chart.rendering import CHART, Release, render, values_given

KIND = CHART.parents[1] / "infra" / "kind"
TOOL = """#!{python}
import hashlib, json, os, sys
words = [os.path.basename(sys.argv[0]), *sys.argv[1:]]
given = sys.stdin.read() if "-" in words or "--interactive" in words else ""
with open(os.environ["CALLS"], "a") as log:
    log.write(json.dumps([words, given]) + "\\n")
line, there = " ".join(words), os.environ.get("THERE")
if os.environ.get("BROKEN") and os.environ["BROKEN"] in line:
    sys.exit("it is broken")
if line.startswith("docker container inspect"):
    if "Running" in line:
        print("true") if there else sys.exit(1)
    else:
        print("{{}}" if there else "null")
elif line.startswith("docker image inspect"):
    name = words[-1].rpartition(":")[0]
    digest = hashlib.sha256(name.encode()).hexdigest()
    print("elsewhere.example/acclimate@sha256:" + 64 * "0")
    if not os.environ.get("UNPUSHED"):
        print(f"{{name}}@sha256:{{digest}}")
elif line.startswith("kind get clusters"):
    print("acclimate" if there else "other")
elif line.startswith("kind get nodes"):
    print("acclimate-control-plane")
"""


@dataclass(frozen=True)
class Played:
    """What a script asked of its tools, and what it printed."""

    code: int
    printed: str
    calls: list[tuple[list[str], str]]

    def where(self, *words: str) -> int:
        """Place of the one call that has all these words."""
        places = [place for place, (call, _) in enumerate(self.calls) if set(words) <= set(call)]
        assert len(places) == 1, (words, self.calls)
        return places[0]

    def given(self, *words: str) -> str:
        """What that call read from its standard input."""
        return self.calls[self.where(*words)][1]


def play(script: str, folder: Path, **environment: str) -> Played:
    """Run one of the scripts."""
    if shutil.which("bash") is None:
        pytest.skip("no bash here")
    tools, log = folder / "tools", folder / "calls"
    tools.mkdir()
    log.touch()
    for name in ("docker", "kind", "kubectl", "helm"):
        (tools / name).write_text(TOOL.format(python=sys.executable))
        (tools / name).chmod(0o755)
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "CALLS": str(log), "HOME": str(folder), **environment}
    done = subprocess.run([str(KIND / script)], env=env, check=False, capture_output=True, text=True, timeout=120)
    calls = [tuple(json.loads(line)) for line in log.read_text().splitlines()]
    return Played(done.returncode, done.stdout, calls)


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The first time, on a machine with nothing."""
    played = play("up.sh", tmp_path_factory.mktemp("up"))
    assert played.code == 0
    return played


def installed(up: Played) -> Release:
    """The release of what up.sh gives the chart."""
    call, _ = up.calls[up.where("helm", "upgrade", "acclimate")]
    return render(values_given(setting for word, setting in pairwise(call) if word == "--set"))


def ours(made: Release) -> set[str]:
    """The images of acclimate's own that a release starts."""
    return {each["image"] for pod in made.pods for each in pod.containers if "seaweedfs" not in each["image"]}


def test_every_image_of_ours_is_one_that_was_pushed_and_named_by_its_digest(up: Played) -> None:
    made = installed(up)
    overrides = YAML(typ="safe").load(made.of_kind("ConfigMap")["acclimate-rayjob"]["data"]["rayjob-overrides.yaml"])
    pushed = {call[-1].rpartition(":")[0] for call, _ in up.calls if call[:2] == ["docker", "push"]}
    assert len(pushed) == 3
    for image in {*ours(made), overrides["image"]}:
        assert image.partition("@sha256:")[0] in pushed
        assert len(image.partition("@sha256:")[2]) == 64


def test_what_it_prints_can_be_submitted(up: Played) -> None:
    from acclimate.kfp_ir import prepared

    told = dict(re.findall(r"^export (ACCLIMATE_\w+)=(\S+)$", up.printed, re.MULTILINE))
    assert prepared("adapt", image=told["ACCLIMATE_IMAGE"], training_image=told["ACCLIMATE_TRAINING_IMAGE"])
    assert f"--image {told['ACCLIMATE_IMAGE']} " in installed(up).notes
    assert "acclimate submit adaptation.yaml -s workspace=s3://acclimate/workspace" in up.printed
    assert "kubectl config use-context kind-acclimate" in up.printed


def test_the_plugin_s_secret_is_there_before_pipelines_are(up: Played) -> None:
    """Steps of a KFP whose plugin is on wait for that Secret."""
    root = KIND.parents[1]
    order = [
        up.where("docker", "run"),
        up.where("kind", "create"),
        up.where("docker", "network", "connect"),
        *(place for place, (call, _) in enumerate(up.calls) if call[:2] == ["docker", "push"]),
        up.where("kubectl", "--kustomize", f"{root}/infra/kfp/cluster-scoped"),
        up.where("helm", "upgrade", "acclimate"),
        up.where("kubectl", "--kustomize", f"{root}/infra/kfp"),
        up.where("helm", "test"),
    ]
    assert order == sorted(order)
    assert "kfp-mlflow-credentials" in installed(up).of_kind("Secret")


def test_the_node_finds_the_registry_under_the_name_that_docker_pushes_to(up: Played) -> None:
    run = up.calls[up.where("docker", "run")][0]
    name = run[run.index("--name") + 1]
    address, _, port = run[run.index("--publish") + 1].rpartition(":")
    (registry,) = {call[-1].partition("/")[0] for call, _ in up.calls if call[:2] == ["docker", "push"]}
    assert address == f"127.0.0.1:{registry.rpartition(':')[2]}"
    (patch,) = YAML(typ="safe").load(KIND / "cluster.yaml")["containerdConfigPatches"]
    folder = re.search(r'config_path = "(\S+)"', patch)
    assert folder is not None
    hosts = up.given("exec", "--interactive", "acclimate-control-plane", f"{folder[1]}/{registry}/hosts.toml")
    assert hosts == f'[host."http://{name}:{port}"]\n'
    assert up.calls[up.where("docker", "network", "connect")][0][-2:] == ["kind", name]
    told = YAML(typ="safe").load(up.given("kubectl", "--filename", "-"))
    assert (told["metadata"]["name"], told["metadata"]["namespace"]) == ("local-registry-hosting", "kube-public")
    assert YAML(typ="safe").load(told["data"]["localRegistryHosting.v1"])["host"] == registry


def test_no_other_cluster_is_touched(up: Played) -> None:
    for call, _ in up.calls:
        if call[0] in {"kubectl", "helm"}:
            assert "kind-acclimate" in call[:3], call


def test_a_second_time_it_makes_no_second_cluster_or_registry(tmp_path: Path) -> None:
    again = play("up.sh", tmp_path, THERE="yes")
    assert again.code == 0
    made = [
        call for call, _ in again.calls if call[:2] in (["docker", "run"], ["kind", "create"], ["docker", "network"])
    ]
    assert made == []
    assert again.where("helm", "upgrade", "acclimate")


@pytest.mark.parametrize(
    "trouble", [{"BROKEN": "docker push"}, {"BROKEN": "docker build"}, {"UNPUSHED": "yes"}], ids=str
)
def test_without_an_image_nothing_is_installed(trouble: dict[str, str], tmp_path: Path) -> None:
    played = play("up.sh", tmp_path, **trouble)
    assert played.code != 0
    assert not [call for call, _ in played.calls if call[0] == "helm"]


def test_down_takes_away_cluster_and_registry(up: Played, tmp_path: Path) -> None:
    down = play("down.sh", tmp_path, THERE="yes")
    assert down.code == 0
    assert down.where("kind", "delete", "acclimate") < down.where("docker", "rm")
    run = up.calls[up.where("docker", "run")][0]
    assert run[run.index("--name") + 1] in down.calls[down.where("docker", "rm")][0]
