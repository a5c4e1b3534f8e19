"""Fixtures of the pipeline and fault tests."""

from pathlib import Path

import pytest

from tests.pipeline.project import Outcome, Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, tiny_source: Path) -> tuple[Project, Outcome]:
    """A project whose run is finished and fine-tuned. Read only."""
    project = Project(tmp_path_factory.mktemp("finished") / "project", tiny_source).write_rows()
    return project, project.run()


@pytest.fixture
def project(tmp_path: Path, tiny_source: Path) -> Project:
    """A project of the test's own, without data yet."""
    return Project(tmp_path / "project", tiny_source)
