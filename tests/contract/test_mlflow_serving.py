"""What is stored can be served by MLflow itself, from the embedded store and from a server."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import acclimate
from acclimate.adapters import mlflow_lock, mlflow_versions
from acclimate.adapters.mlflow_client import connect, local_uri
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.nn.causal.writer import Writer
from acclimate.nn.encoder import Encoder
from acclimate.nn.model import AdaptedModel
from tests.contract import registry_race
from tests.contract.registry_race import race
from tests.run_records import LABELS, SOURCE, run_records, verdict_of
from tests.servers import mlflow_server, model_server
from tests.tiny_lm import saved_writer
from tests.writing_records import writing_records

TEXTS = ["good great love", "bad awful broken", "the city by the sea"]


@pytest.fixture(scope="module")
def model_folder(tiny_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapted") / "model"
    encoder = Encoder.load(tiny_source, precision="fp32", max_length=32)
    rng = np.random.default_rng(0)
    head = rng.normal(size=(len(LABELS), encoder.dim)), rng.normal(size=len(LABELS))
    AdaptedModel.build(encoder, *head, LABELS, strategy="frozen", source=SOURCE, temperature=1.7).save(folder)
    return folder


def load_in_new_process(location: str, into: Path) -> dict[str, list[float | str]]:
    """What a process that knows MLflow only gets from the model."""
    code = (
        "import json, sys, pandas as pd, mlflow.pyfunc\n"
        "model = mlflow.pyfunc.load_model(sys.argv[1])\n"
        "frame = model.predict(pd.DataFrame({'text': json.loads(sys.argv[2])}))\n"
        "json.dump(frame.to_dict(orient='list'), open(sys.argv[3], 'w'))\n"
    )
    arguments = [sys.executable, "-c", code, location, json.dumps(TEXTS), str(into)]
    done = subprocess.run(arguments, check=False, capture_output=True, timeout=120, text=True)
    assert done.returncode == 0, done.stderr
    served: dict[str, list[float | str]] = json.loads(into.read_text())
    return served


def mlflow_signature(location: str) -> dict[str, str]:
    """What the MLmodel file says of inputs and outputs, as JSON each."""
    from mlflow.models import Model

    return Model.load(location).signature.to_dict()


def assert_serves(location: str, folder: Path, tmp_path: Path) -> None:
    served = load_in_new_process(location, tmp_path / "served.json")
    model = AdaptedModel.load(folder)
    assert served["label"] == model.predict(TEXTS)
    given = np.array([served[f"probability_{label}"] for label in model.labels]).T  # [n, C]
    np.testing.assert_allclose(given, model.predict_proba(TEXTS), atol=1e-12)


def test_mlflow_serves_what_was_stored_without_pickle(model_folder: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    registry = open_registry(local_uri(workspace), workspace)
    records = run_records()
    uri = registry.log_model(registry.record_run(records), records, model_folder)
    location = connect(local_uri(workspace), workspace).client.get_logged_model(uri.removeprefix("models:/"))
    assert_serves(location.artifact_location, model_folder, tmp_path)
    stored = [path.suffix for path in Path(location.artifact_location).rglob("*") if path.is_file()]
    assert not {".pkl", ".pickle", ".bin", ".pt"} & set(stored)


@pytest.mark.slow
def test_mlflow_serves_what_a_model_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    workspace, folder = tmp_path / "workspace", saved_writer(tmp_path / "adapted" / "model")
    registry, records = open_registry(local_uri(workspace), workspace), writing_records()
    run_id = registry.record_run(records)
    uri = registry.log_model(run_id, records, folder)
    location = connect(local_uri(workspace), workspace).client.get_logged_model(uri.removeprefix("models:/"))
    answers = Writer.load(folder).predict(TEXTS)
    assert load_in_new_process(location.artifact_location, tmp_path / "served.json") == {"answer": answers}
    signature = json.loads(mlflow_signature(location.artifact_location)["outputs"])
    assert [(column["name"], column["type"]) for column in signature] == [("answer", "string")]
    done = registry.register(records, run_id, uri, verdict_of(records), auto_promote=True)
    assert done.aliases == ["challenger", "champion"]
    assert acclimate.load(f"models:/{records.name}@champion", workspace).predict(TEXTS) == answers


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with mlflow_server(tmp_path / "server", str(tmp_path / "artifacts")) as address:
        yield address


@pytest.mark.slow
def test_the_whole_way_through_a_server(
    server: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = open_registry(server, tmp_path)
    records = run_records(model_digest=AdaptedModel.load(model_folder).digest)
    run_id = registry.record_run(records)
    assert registry.record_run(records) == run_id
    uri = registry.log_model(run_id, records, model_folder)
    assert registry.log_model(run_id, records, model_folder) == uri
    registered = registry.register(records, run_id, uri, verdict_of(records), auto_promote=True)
    assert (registered.created, registered.aliases) == (True, ["challenger", "champion"])
    answers_like_predict(f"models:/{records.name}@champion", server, model_folder, tmp_path)
    folder = registry.fetch(f"models:/{records.name}@champion", tmp_path / "fetched")
    assert AdaptedModel.load(folder).predict(TEXTS) == AdaptedModel.load(model_folder).predict(TEXTS)
    assert registry.lineage(records.name).made_from[-1].digest == SOURCE.digest
    assert registry.look(records.evaluation.test_digest, "another") == 2
    for number in range(3):
        race_one_run_key(registry, server, f"one-key-{number}", model_folder, tmp_path)
        race_for_the_championship(registry, server, f"championship-{number}", model_folder, tmp_path)
    outlive_a_dead_holder(registry, run_id, model_folder, tmp_path, monkeypatch)
    assert "acclimate--locks" not in registry.adapted()


def answers_like_predict(uri: str, server: str, folder: Path, tmp_path: Path) -> None:
    """MLflow's own server of the registered model gives what ``acclimate predict`` gives."""
    model = AdaptedModel.load(folder)
    with model_server(tmp_path / "serving", uri, server) as address:
        asked = json.dumps({"dataframe_split": {"columns": ["text"], "data": [[text] for text in TEXTS]}})
        request = urllib.request.Request(
            f"{address}/invocations", asked.encode(), {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=60) as reply:
            rows = json.load(reply)["predictions"]
    assert [row["label"] for row in rows] == model.predict(TEXTS)
    given = [[row[f"probability_{label}"] for label in model.labels] for row in rows]
    np.testing.assert_allclose(given, model.predict_proba(TEXTS), atol=1e-12)


def race_one_run_key(registry: MlflowRegistry, server: str, name: str, folder: Path, tmp_path: Path) -> None:
    records = run_records("key", name=name)
    run_id = registry.record_run(records)
    uri = registry.log_model(run_id, records, folder)
    said = race(registry_race.register, [[str(tmp_path), name, "key", uri, run_id, server]] * 6)
    (version,) = mlflow_versions.all_versions(registry._connection, name)
    assert said == [str(version.version)] * 6


def race_for_the_championship(registry: MlflowRegistry, server: str, name: str, folder: Path, tmp_path: Path) -> None:
    jobs = []
    for key in ("a", "b", "c"):
        records = run_records(key, name=name)
        run_id = registry.record_run(records)
        jobs.append([str(tmp_path), name, key, registry.log_model(run_id, records, folder), run_id, server])
    said = race(registry_race.register, jobs)
    champion = registry.champion(name)
    assert champion is not None
    assert sorted(said) == sorted([str(champion.version), *["E-REGISTRY-020"] * 2])


def outlive_a_dead_holder(
    registry: MlflowRegistry, run_id: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ticket whose holder was killed is taken away by the next in the queue."""
    client = registry._connection.client
    source = client.get_run(run_id).info.artifact_uri
    tags = {"acclimate.lock_for": "bereaved", "acclimate.lock_token": "dead"}
    client.create_model_version(mlflow_lock.LOCKS, source, run_id=run_id, tags=tags)
    monkeypatch.setattr(mlflow_lock, "STALE_SECONDS", 0.5)
    records = run_records(name="bereaved")
    own_run = registry.record_run(records)
    uri = registry.log_model(own_run, records, folder)
    done = registry.register(records, own_run, uri, verdict_of(records), auto_promote=True)
    assert done.aliases == ["challenger", "champion"]
    assert registry.versions(mlflow_lock.LOCKS) == []
