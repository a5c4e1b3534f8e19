"""The examples' own dvc.yaml, run by DVC itself on a toy example: what it makes, shows, and does not do twice."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.pipeline.project import CONFIG, Project

ROOT = Path(__file__).parents[2]
QUICK = "arms: [frozen]"


class Repository:
    """A Git repository with the examples' pipeline and one toy example in it."""

    def __init__(self, folder: Path, tiny_source: Path, at_least: float) -> None:
        self.folder = folder
        project = Project(folder / "examples", tiny_source).write_rows(400)
        (project.folder / "adaptation.yaml").rename(project.folder / "toy.yaml")
        config = CONFIG.replace("mail.csv", "data/mail.csv").replace("arms: [lora, full]", QUICK)
        (project.folder / "toy.yaml").write_text(config)
        # in the place of what downloads the examples' data
        (project.folder / "fetch.py").write_text(
            "from pathlib import Path\nhere = Path(__file__).parent\n(here / 'data').mkdir(exist_ok=True)\n"
            "(here / 'data' / 'mail.csv').write_bytes((here / 'mail.csv').read_bytes())\n"
        )
        for name in ("collect.py", "fetch_package.py"):
            shutil.copy(ROOT / "examples" / name, project.folder)
        shutil.copy(ROOT / "dvc.yaml", folder)
        (folder / "src" / "acclimate").mkdir(parents=True)
        (folder / "src" / "acclimate" / "code.py").write_text("")
        values = {"at_least": at_least, "train_minutes": 60.0, "seed": 0}
        with (folder / "params.yaml").open("w") as file:
            YAML().dump({"python": sys.executable, "examples": {"toy": values}}, file)
        subprocess.run(["git", "init", "--quiet"], cwd=folder, check=True)
        self.dvc("init", "--quiet")

    def dvc(self, *words: str) -> str:
        environment = {**os.environ, "DVC_NO_ANALYTICS": "1"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return done.stdout


@pytest.mark.slow
def test_dvc_makes_shows_and_does_not_do_it_again(tmp_path: Path, tiny_source: Path) -> None:
    repository = Repository(tmp_path / "repository", tiny_source, at_least=0.5)
    repository.dvc("repro")
    results = repository.folder / "examples" / "results" / "toy"
    run = json.loads((results / "run.json").read_text())
    shown = json.loads(repository.dvc("metrics", "show", "--json"))
    (metrics,) = [one["data"] for one in shown[""]["data"].values()]
    assert metrics["score"] == run["result"]["score"]
    assert metrics["verdict"] == run["verdict"]
    assert "<html" in (results / "report.html").read_text()[:500]
    repository.dvc("plots", "show", "--out", "shown")
    page = (repository.folder / "shown" / "index.html").read_text()
    assert "Validation score of each arm (toy)" in page
    assert "frozen" in page
    before = (results / "run.json").stat().st_mtime_ns
    assert "up to date" in repository.dvc("repro")
    assert (results / "run.json").stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_refusal_of_the_gate_is_a_result_that_dvc_shows(tmp_path: Path, tiny_source: Path) -> None:
    repository = Repository(tmp_path / "repository", tiny_source, at_least=0.999)
    repository.dvc("repro")
    shown = json.loads(repository.dvc("metrics", "show", "--json"))
    assert [one["data"]["verdict"] for one in shown[""]["data"].values()] == ["REJECT"]
