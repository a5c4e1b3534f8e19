"""The values: what is refused before anything reaches a cluster, what is documented, what is packaged."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from acclimate.version import __version__
from tests.chart.rendering import CHART, VALUE_SETS, helm, values_of

SCHEMA: dict[str, Any] = json.loads((CHART / "values.schema.json").read_text())
DIGEST = "sha256:" + "a" * 64
REFUSED: dict[str, dict[str, Any]] = {
    "unknown key": {"mlfow": {"enabled": True}},
    "unknown nested key": {"mlflow": {"persistence": {"sizes": "1Gi"}}},
    "wrong type": {"mlflow": {"replicas": "two"}},
    "no replicas": {"mlflow": {"replicas": 0}},
    "two servers on SQLite": {"mlflow": {"replicas": 2}},
    "several servers on one volume": {
        "mlflow": {"replicas": 2, "database": {"existingSecret": "db"}},
        "seaweedfs": {"enabled": False},
        "secrets": {"s3": "existing"},
    },
    "tag latest": {"image": {"tag": "latest"}},
    "digest too short": {"image": {"digest": "sha256:abc"}},
    "digests required": {"global": {"requireDigests": True}},
    "a digest missing where required": {"global": {"requireDigests": True}, "image": {"digest": DIGEST}},
    "generated keys for a foreign store": {"seaweedfs": {"enabled": False}},
    "own store without keys": {"secrets": {"s3": "none"}},
    "drift without configuration": {"drift": {"enabled": True}},
    "drift with two configurations": {"drift": {"enabled": True, "config": "name: x", "existingConfigMap": "y"}},
    "four cron fields": {"drift": {"schedule": "* * * *"}},
    "account of a foreign server": {"mlflow": {"enabled": False}},
    "two MLflow servers": {"services": {"mlflowTrackingUri": "https://mlflow.example"}},
    "password in an address": {"services": {"s3Endpoint": "https://key:secret@s3.example"}},
    "every host allowed": {"mlflow": {"allowedHosts": ["*"]}},
    "every origin allowed": {"mlflow": {"corsAllowedOrigins": ["*"]}},
    "network policy for everybody": {"networkPolicy": {"mlflowClients": [{}]}},
    "resources without limits": {"mlflow": {"resources": {"limits": None}}},
    "an account of the chart's own for runs": {"runner": {"annotations": {"role": "x"}}},
    "a role for nobody by name": {"runner": {"serviceAccounts": [{"namespace": "ml"}]}},
    "a whole namespace denied": {"networkPolicy": {"scope": "namespace"}},
    "password in the address of Ray": {"ray": {"address": "ray://me:secret@head:10001"}},
    "unknown way into Ray": {"ray": {"authMode": "basic"}},
    "a quota on limits that containers lack": {"quota": {"enabled": True, "hard": {"limits.cpu": "8"}}},
    "a quota on requests that containers lack": {"quota": {"enabled": True, "defaults": {"requests": {"cpu": None}}}},
    "no quantity by default": {"quota": {"defaults": {"requests": {"memory": "much"}}}},
    "upper case bucket": {"seaweedfs": {"bucket": "Models"}},
    "argument injected by an origin": {"mlflow": {"corsAllowedOrigins": ["https://a --host=x"]}},
}


@pytest.mark.parametrize("case", REFUSED)
def test_the_schema_refuses(case: str) -> None:
    with helm.Chart.load(CHART) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema(REFUSED[case])


@pytest.mark.parametrize("name", VALUE_SETS)
def test_strict_lint_finds_nothing(name: str) -> None:
    report = helm.lint(CHART, values_of(name), strict=True, namespace="ml")
    assert report["errors"] == []
    assert [message for message in report["messages"] if message["severity"] > 1] == []


def test_there_are_enough_value_sets_and_every_switch_is_turned() -> None:
    assert len(VALUE_SETS) >= 12
    turned = {path for name in VALUE_SETS for path in leaves(values_of(name))}
    switches = [
        path
        for path in leaves(YAML(typ="safe").load(CHART / "values.yaml"))
        if path.endswith(("enabled", "failOnDrift", "mlflowPlugin"))
    ]
    assert set(switches) <= turned


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """The dotted paths of a tree."""
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Every part of a schema that describes an object's own keys."""
    if isinstance(schema, dict):
        if schema.get("type") == "object":
            yield schema
        for key, value in schema.items():
            if key != "allOf":
                yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def test_the_schema_is_closed_everywhere() -> None:
    found = list(objects(SCHEMA))
    assert len(found) > 20
    assert all("additionalProperties" in schema and schema["additionalProperties"] is not True for schema in found)


def test_every_value_is_described() -> None:
    sys.path.insert(0, str(CHART.parent))
    try:
        from generate_readme import described
    finally:
        sys.path.remove(str(CHART.parent))
    text = (CHART / "values.yaml").read_text()
    documented = described(text)
    for path in leaves(YAML(typ="safe").load(text)):
        parents = [".".join(path.split(".")[:depth]) for depth in range(1, path.count(".") + 2)]
        assert any(parent in documented for parent in parents[1:] or parents), path


def test_the_readme_is_current() -> None:
    subprocess.run([sys.executable, str(CHART.parent / "generate_readme.py"), "--check"], check=True)


def test_the_chart_has_the_version_of_the_wheel() -> None:
    chart = YAML(typ="safe").load(CHART / "Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


def test_the_package_holds_what_an_installation_needs(tmp_path: Path) -> None:
    archive = helm.package(CHART, destination=tmp_path)
    with tarfile.open(archive) as packed:
        names = {name.removeprefix("acclimate/") for name in packed.getnames()}
    assert names >= {
        "Chart.yaml",
        "values.yaml",
        "values.schema.json",
        "README.md",
        "files/auth_config.py",
        "templates/NOTES.txt",
    }
    with helm.Chart.load_archive(Path(archive).read_bytes()) as chart:
        assert chart.render({}, name="demo", namespace="ml")
