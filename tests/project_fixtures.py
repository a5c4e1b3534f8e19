"""Fixtures of the pipeline and fault tests."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from filelock import FileLock

from tests.pipeline.project import Outcome, Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_source: Path, worker_id: str) -> tuple[Project, Outcome]:
    """A project whose run is finished and fine-tuned; one for all workers of a test run. Read only."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "finished"
    told = folder.with_suffix(".json")
    with FileLock(folder.with_suffix(".lock")):
        if not told.exists():
            outcome = Project(folder, tiny_source).write_rows().run()
            told.write_text(json.dumps(asdict(outcome)))
    return Project.at(folder), Outcome(**json.loads(told.read_text()))


@pytest.fixture
def project(tmp_path: Path, tiny_source: Path) -> Project:
    """A project of the test's own, without data yet."""
    return Project(tmp_path / "project", tiny_source)
