"""checkov finds nothing but what the baseline gives a reason for."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.chart.rendering import VALUE_SETS, release

CHECKOV = "checkov==3.3.30"
BASELINE = YAML(typ="safe").load(Path(__file__).with_name("checkov_baseline.yaml"))


@pytest.fixture(scope="module")
def checkov(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tool: the one on the path, else one in an environment of its own, as its pins are not ours."""
    if found := shutil.which("checkov"):
        return found
    folder = tmp_path_factory.mktemp("checkov")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    made = subprocess.run(
        [str(folder / "bin" / "pip"), "install", "--quiet", CHECKOV], check=False, capture_output=True, text=True
    )
    if made.returncode:
        pytest.skip(
            f"checkov cannot be installed here; put it on the path: pipx install {CHECKOV} ({made.stderr[-200:]})"
        )
    return str(folder / "bin" / "checkov")


@pytest.fixture(scope="module")
def findings(checkov: str, tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """Check and name of each object that fails, over all renderings."""
    folder = tmp_path_factory.mktemp("rendered")
    yaml: Any = YAML(typ="safe", pure=True)
    for name in VALUE_SETS:
        yaml.dump_all(release(name).objects, folder / f"{name}.yaml")
    command = [checkov, "--directory", str(folder), "--framework", "kubernetes"]
    done = subprocess.run(
        [*command, "--skip-download", "--compact", "--output", "json"], check=False, capture_output=True, text=True
    )
    report = json.loads(done.stdout)
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 1000
    return {(found["check_id"], found["resource"].rsplit(".", 1)[-1]) for found in report["results"]["failed_checks"]}


@pytest.mark.slow
def test_every_finding_has_a_reason_and_every_reason_a_finding(findings: set[tuple[str, str]]) -> None:
    reasoned = {(entry["check"], name) for entry in BASELINE for name in entry["resources"]}
    assert findings == reasoned


def test_every_entry_gives_its_reason() -> None:
    assert all(len(entry["reason"]) > 30 for entry in BASELINE)
    assert len({entry["check"] for entry in BASELINE}) == len(BASELINE)
