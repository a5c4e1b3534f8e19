"""The quick way to read the embedded registry must say what MLflow says."""

import sqlite3

import pytest

from acclimate.adapters.mlflow_client import local_uri
from acclimate.adapters.mlflow_embedded import read_versions
from acclimate.adapters.mlflow_registry import open_registry


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("embedded")
    registry = open_registry(local_uri(folder), folder)
    assert registry.versions("mail") == []
    client = MlflowClient(local_uri(folder), local_uri(folder))
    for name in ("mail", "other"):
        client.create_registered_model(name)
        for number in range(3):
            tags = {"acclimate.run_key": f"{name}{number}", "acclimate.verdict": "HOLD", "empty": ""}
            client.create_model_version(name, source=str(folder), tags=tags)
    client.set_registered_model_alias("mail", "champion", "1")
    client.set_registered_model_alias("mail", "challenger", "3")
    client.set_registered_model_alias("mail", "approved", "1")
    client.delete_model_version("mail", "2")
    return folder


@pytest.mark.parametrize("name", ["mail", "other", "unknown"])
def test_it_says_what_mlflow_says(workspace, name):
    expected = open_registry(local_uri(workspace), workspace).versions(name)
    assert read_versions(workspace / "mlflow.db", name) == expected
    assert len(expected) == {"mail": 2, "other": 3, "unknown": 0}[name]


def test_a_registry_that_does_not_exist_is_not_created(tmp_path):
    assert read_versions(tmp_path / "mlflow.db", "mail") == []
    assert list(tmp_path.iterdir()) == []


def test_tables_of_another_kind_are_left_to_mlflow(tmp_path):
    with sqlite3.connect(tmp_path / "mlflow.db") as connection:
        connection.execute("CREATE TABLE model_versions (x)")
    assert read_versions(tmp_path / "mlflow.db", "mail") is None
