"""Fixtures of tests on a real MLflow without a server: one database for a module, each test has a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from acclimate.adapters.mlflow_client import local_uri
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """No server that the environment names is asked."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The registry's workspace: making its database takes seconds."""
    return tmp_path_factory.mktemp("workspace")


@pytest.fixture(scope="module")
def registry(workspace: Path) -> MlflowRegistry:
    """The registry."""
    return open_registry(local_uri(workspace), workspace)
