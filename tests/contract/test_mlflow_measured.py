"""What was measured of a model is tied to it and to its data in MLflow, in the embedded store and through a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters import mlflow_artifacts
from acclimate.adapters.mlflow_client import local_uri
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.records import Retention
from acclimate.registry import FinishedStage, RunRecords
from tests.run_records import digest, interval, run_records
from tests.servers import mlflow_server

_NAMES = count()
COST = {"latency_p50_ms": 4.5, "latency_p95_ms": 12.25, "peak_memory_bytes": 512_000_000}
RETENTION = Retention(rows=300, score=0.41, source_score=0.44, change=interval(-0.03), low_one_sided=-0.05)

pytestmark = pytest.mark.usefixtures("no_server")


@pytest.fixture(scope="module", params=["embedded", "server"])
def anywhere(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowRegistry]:
    """A registry in a workspace, and one on a server."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "embedded":
        yield open_registry(local_uri(folder), folder)
        return
    with mlflow_server(folder / "server", str(folder / "artifacts")) as address:
        yield open_registry(address, folder)


@pytest.fixture
def records() -> RunRecords:
    """A run that measured all there is to measure."""
    plain = run_records(name=f"measured-{next(_NAMES)}")
    calibration = plain.evaluation.calibration
    assert calibration is not None
    bounded = calibration.model_copy(update={"intervals": {"ece": interval(0.02, 0.01)}})
    evaluation = plain.evaluation.model_copy(update={"calibration": bounded, "retention": RETENTION})
    stages = {"evaluate": FinishedStage(digest("evaluated"), 2.0, 1.7e9, cost=COST)}
    return replace(plain, evaluation=evaluation, stages=stages)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "model"
    made.mkdir()
    (made / "config.json").write_text('{"model_type": "bert"}')
    return made


def stored(registry: MlflowRegistry, records: RunRecords, folder: Path) -> Any:
    """The model as MLflow has it, stored with its run."""
    uri = registry.log_model(registry.record_run(records), records, folder)
    return registry._connection.client.get_logged_model(uri.removeprefix("models:/"))


def inputs_of(registry: MlflowRegistry, run_id: str) -> dict[str, Any]:
    """The data sets of a run by what they were for."""
    inputs = registry._connection.client.get_run(run_id).inputs.dataset_inputs
    return {one.tags[0].value: one.dataset for one in inputs}


def test_each_number_of_a_model_names_the_data_that_its_run_has_as_input(
    anywhere: MlflowRegistry, records: RunRecords, folder: Path
) -> None:
    model = stored(anywhere, records, folder)
    found = {one.key: one for one in model.metrics}
    assert len(found) == len(model.metrics)
    data = inputs_of(anywhere, model.source_run_id)
    assert data["test"].digest == records.evaluation.test_digest[:36]
    assert json.loads(data["test"].profile) == {"rows": records.evaluation.rows}
    expected = {
        "test.macro_f1": (0.9, data["test"]),
        "test.macro_f1.low": (0.88, data["test"]),
        "test.minus.baseline": (0.1, data["test"]),
        "test.minus.baseline.high": (0.13, data["test"]),
        "test.calibration.ece": (0.02, data["test"]),
        "test.calibration.ece.high": (0.03, data["test"]),
        "retention.change": (-0.03, data["reference"]),
        "retention.change.low_one_sided": (-0.05, data["reference"]),
    }
    for name, (value, tied_to) in expected.items():
        metric = found[name]
        assert metric.value == pytest.approx(value)
        assert (metric.dataset_name, metric.dataset_digest) == (tied_to.name, tied_to.digest)
        assert (metric.model_id, metric.run_id) == (model.model_id, model.source_run_id)
    serving = {name: one for name, one in found.items() if name.startswith("serving.")}
    assert {name.partition(".")[2]: one.value for name, one in serving.items()} == {**COST, "size_bytes": 1000}
    assert {one.dataset_name for one in serving.values()} == {None}


def test_a_model_is_found_by_its_score_on_the_data(anywhere: MlflowRegistry, records: RunRecords, folder: Path) -> None:
    model = stored(anywhere, records, folder)
    asked = {"dataset_name": f"{records.name}-test", "dataset_digest": records.evaluation.test_digest[:36]}
    search = anywhere._connection.client.search_logged_models
    better, same = "metrics.`test.macro_f1` > 0.95", "metrics.`test.macro_f1` > 0.85"
    assert [one.model_id for one in search([model.experiment_id], same, [asked])] == [model.model_id]
    assert list(search([model.experiment_id], better, [asked])) == []
    assert list(search([model.experiment_id], same, [{**asked, "dataset_digest": "other"}])) == []


def test_a_model_says_what_it_is_and_how_it_was_trained(
    anywhere: MlflowRegistry, records: RunRecords, folder: Path
) -> None:
    assert stored(anywhere, records, folder).params == {
        "run_key": records.run_key,
        "task": "text-classification",
        "metric": "macro_f1",
        "strategy": "full",
        "decision_rule": "R5",
        "source.name": records.source.name,
        "source.revision": records.source.revision,
        "source.digest": records.source.digest,
        "settings.learning_rate": "0.001",
    }


def test_what_is_stored_again_or_sent_twice_is_there_once(
    anywhere: MlflowRegistry, records: RunRecords, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, sent = anywhere._connection.client, []
    send = client.log_batch

    def twice(*arguments: Any, **options: Any) -> None:
        sent.append(options)
        send(*arguments, **options)
        send(*arguments, **options)

    monkeypatch.setattr(client, "log_batch", twice)
    first = stored(anywhere, records, folder)
    before = len(sent)
    again = stored(anywhere, records, folder)
    assert again.model_id == first.model_id
    assert sorted(one.key for one in again.metrics) == sorted({one.key for one in first.metrics})
    assert [options for options in sent[before:] if "metrics" in options] == []
    for name in ("test.macro_f1", "retention.change", "serving.latency_p95_ms"):
        assert len(client.get_metric_history(first.source_run_id, name)) == 1


def test_what_a_killed_registration_left_out_is_made_up_for(
    anywhere: MlflowRegistry, records: RunRecords, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(mlflow_artifacts, "tie_to_model", killed)
        with pytest.raises(KeyboardInterrupt):
            stored(anywhere, records, folder)
    model = stored(anywhere, records, folder)
    client = anywhere._connection.client
    assert [one.model_id for one in client.search_logged_models([model.experiment_id])] == [model.model_id]
    assert "test.macro_f1" in {one.key for one in model.metrics}
    made = client.get_run(model.source_run_id).outputs.model_outputs
    assert [one.model_id for one in made] == [model.model_id]


def test_a_model_that_is_evaluated_again_gets_what_has_changed(
    anywhere: MlflowRegistry, records: RunRecords, folder: Path
) -> None:
    stored(anywhere, records, folder)
    compared = records.evaluation.comparisons[0].model_copy(update={"difference": interval(0.07)})
    evaluation = records.evaluation.model_copy(update={"comparisons": [compared]})
    model = stored(anywhere, replace(records, evaluation=evaluation), folder)
    newest = sorted(model.metrics, key=lambda one: one.timestamp)
    difference = [one.value for one in newest if one.key == "test.minus.baseline"]
    assert difference == pytest.approx([0.1, 0.07])
    assert [one.value for one in newest if one.key == "test.macro_f1"] == pytest.approx([0.9])


def test_two_models_of_one_run_key_have_their_own_numbers(
    anywhere: MlflowRegistry, records: RunRecords, folder: Path
) -> None:
    ours = anywhere.record_run(records)
    evaluation = records.evaluation.model_copy(update={"model_digest": digest("other"), "score": interval(0.5)})
    other = replace(records, evaluation=evaluation)
    anywhere.record_run(other)
    # recorded before the other's, stored after it
    uri = anywhere.log_model(ours, records, folder)
    (folder / "config.json").write_text('{"model_type": "roberta"}')
    theirs = stored(anywhere, other, folder)
    own = anywhere._connection.client.get_logged_model(uri.removeprefix("models:/"))
    scores = [[one.value for one in model.metrics if one.key == "test.macro_f1"] for model in (own, theirs)]
    assert scores == [[pytest.approx(0.9)], [pytest.approx(0.5)]]


def test_an_earlier_release_s_run_gets_its_test_rows(
    anywhere: MlflowRegistry, records: RunRecords, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = anywhere._connection.client
    log_inputs = client.log_inputs

    def without_test(run_id: str, models: Any = None, datasets: Any = ()) -> None:
        log_inputs(run_id, models=models, datasets=[one for one in datasets if one.tags[0].value != "test"])

    with monkeypatch.context() as patched:
        patched.setattr(client, "log_inputs", without_test)
        run_id = anywhere.record_run(records)
    assert set(inputs_of(anywhere, run_id)) == {"target", "reference"}
    anywhere.record_run(records)
    anywhere.record_run(records)
    inputs = client.get_run(run_id).inputs.dataset_inputs
    assert sorted(one.tags[0].value for one in inputs) == ["reference", "target", "test"]
