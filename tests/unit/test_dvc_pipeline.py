"""The examples' DVC pipeline: its commands fit the examples, and what it shows comes out of a run's JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from acclimate.config_file import load_config

ROOT = Path(__file__).parents[2]
RUN = {
    "verdict": "PROMOTE",
    "decision": {"strategy": "lora"},
    "gap": {"units": None},
    "baseline": {"score": 0.8},
    "result": {"score": 0.9, "score_low": 0.88, "score_high": 0.92},
    "gain": {"difference": 0.1, "low": 0.05, "high": 0.15},
    "arms": [{"strategy": "frozen", "score": 0.8}, {"strategy": "lora", "score": 0.9}],
}


def loaded(name: str) -> Any:
    return YAML(typ="safe").load((ROOT / name).read_text())


@pytest.mark.parametrize("example", ["reviews", "topics"])
@pytest.mark.parametrize("stage", ["plan", "run"])
def test_the_defaults_are_those_of_the_example(example: str, stage: str) -> None:
    params = loaded("params.yaml")["examples"][example]
    command = loaded("dvc.yaml")["stages"][stage]["do"]["cmd"][1]
    filled = re.sub(r"\$\{item\.(\w+)\}", lambda match: str(params[match[1]]), command)
    overrides = re.findall(r"-s (\S+)", filled)
    assert len(overrides) == len(params)
    path = ROOT / "examples" / f"{example}.yaml"
    assert load_config(path, overrides).config == load_config(path).config


def test_metrics_scores_and_report_are_taken_from_a_run(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.html").write_text("<!doctype html>")
    (tmp_path / "run.json").write_text(json.dumps({**RUN, "report_path": str(tmp_path / "elsewhere.html")}))
    subprocess.run([sys.executable, str(ROOT / "examples" / "collect.py"), str(tmp_path)], check=True)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["score"], metrics["gain_low"], metrics["verdict"]) == (0.9, 0.05, "PROMOTE")
    assert "gap_units" not in metrics
    assert json.loads((tmp_path / "arms.json").read_text()) == RUN["arms"]
    assert (tmp_path / "report.html").read_text() == "<!doctype html>"
