"""A run that Kubeflow's MLflow plugin has opened for a step is adopted; no second one is opened."""

from __future__ import annotations

import pytest

from acclimate.adapters.mlflow_registry import open_registry
from acclimate.errors import ConfigError
from tests.run_records import run_records


@pytest.fixture
def client(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    address = f"sqlite:///{tmp_path / 'server.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    return MlflowClient(address)


@pytest.fixture
def injected(client, monkeypatch):
    experiment = client.create_experiment("kubeflow")
    run_id = client.create_run(experiment).info.run_id
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", experiment)
    return run_id


def runs_of(client):
    runs = client.search_runs([one.experiment_id for one in client.search_experiments()])
    return [run for run in runs if "acclimate.run_key" in run.data.tags]


def test_an_injected_run_becomes_the_adaptations_run(client, injected, tmp_path):
    records = run_records()
    registry = open_registry(None, tmp_path)
    assert registry.record_run(records) == injected
    assert registry.record_run(records) == injected
    (run,) = runs_of(client)
    assert run.data.tags["acclimate.run_key"] == records.run_key
    assert run.data.metrics
    assert run.info.status == "RUNNING", "it is ended by who opened it"


def test_a_run_key_that_has_a_run_keeps_it(client, tmp_path, monkeypatch):
    records = run_records()
    first = open_registry(None, tmp_path).record_run(records)
    monkeypatch.setenv("MLFLOW_RUN_ID", client.create_run(client.create_experiment("kubeflow")).info.run_id)
    assert open_registry(None, tmp_path).record_run(records) == first


def test_an_injected_run_of_another_adaptation_is_left_alone(client, injected, tmp_path):
    registry = open_registry(None, tmp_path)
    registry.record_run(run_records(run_key="a" * 64))
    assert registry.record_run(run_records(run_key="b" * 64)) != injected


def test_an_adopted_run_is_found_again_without_the_injection(client, injected, tmp_path, monkeypatch):
    records = run_records()
    open_registry(None, tmp_path).record_run(records)
    monkeypatch.delenv("MLFLOW_RUN_ID")
    assert open_registry(None, tmp_path).record_run(records) == injected


def test_a_run_injected_for_another_server_is_not_touched(client, injected, tmp_path):
    registry = open_registry(f"sqlite:///{tmp_path / 'another.db'}", tmp_path)
    assert registry.record_run(run_records()) != injected


def test_an_injected_run_that_was_deleted_is_named(client, injected, tmp_path):
    client.delete_run(injected)
    with pytest.raises(ConfigError) as caught:
        open_registry(None, tmp_path).record_run(run_records())
    assert caught.value.code == "E-REGISTRY-011"


def test_an_injected_run_that_does_not_exist_is_named(client, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
    with pytest.raises(ConfigError) as caught:
        open_registry(None, tmp_path).record_run(run_records())
    assert caught.value.code == "E-REGISTRY-011"
