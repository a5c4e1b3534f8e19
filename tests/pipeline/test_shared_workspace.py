"""The same run with its workspace on a real S3 server and its registry on a real MLflow server."""

from __future__ import annotations

import json

import pytest

from tests.servers import mlflow_server

SAME = ("run_key", "setting", "gap", "baseline", "decision", "result", "verdict")


@pytest.fixture(scope="module")
def registry(s3_endpoint, tmp_path_factory):
    with mlflow_server(tmp_path_factory.mktemp("mlflow"), "s3://mlflow-artifacts/test") as address:
        yield address


@pytest.fixture
def shared(bucket, registry, monkeypatch, tmp_path):
    """Overrides that put everything a run keeps on servers, and a machine of its own."""

    def on(machine: str) -> list[str]:
        monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / machine))
        return ["-s", f"workspace=s3://{bucket}/adaptations", "-s", f"tracking.uri={registry}"]

    return on


def scores(outcome):
    return [(arm["strategy"], arm["score"], arm["chosen"]) for arm in outcome.json["arms"]]


@pytest.mark.slow
def test_a_shared_workspace_gives_what_a_local_one_gives_and_serves_another_machine(finished, project, shared):
    project.write_rows()
    first = project.run(*shared("laptop"))
    assert first.code == finished[1].code, first.err[-3000:]
    assert {name: first.json[name] for name in SAME} == {name: finished[1].json[name] for name in SAME}
    assert scores(first) == scores(finished[1])
    again = project.run(*shared("another"))
    assert again.code == first.code, again.err[-3000:]
    assert [again.json[name] for name in (*SAME, "model_uri")] == [first.json[name] for name in (*SAME, "model_uri")]
    assert again.err.count('"reused": true') == 7


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["ingest", "gap", "baseline", "decide", "finetune", "evaluate", "register"])
def test_a_run_killed_at_any_stage_ends_the_same_when_it_is_started_again(finished, project, shared, stage):
    project.write_rows()
    overrides = shared("first")
    process = project.start("run", "adaptation.yaml", "--json", *overrides)
    for line in process.stderr:
        if '"event": "stage_started"' in line and f'"stage": "{stage}"' in line:
            break
    process.kill()
    process.communicate()
    outcome = project.run(*shared("second"))
    assert outcome.code == finished[1].code, outcome.err[-3000:]
    assert {name: outcome.json[name] for name in SAME} == {name: finished[1].json[name] for name in SAME}


def told(err, event):
    events = [json.loads(line) for line in err.splitlines() if f'"event": "{event}"' in line]
    return [(found["strategy"], found["epoch"], found["step"]) for found in events]


@pytest.mark.slow
def test_a_training_told_to_stop_amid_an_epoch_goes_on_there_on_another_machine(finished, project, shared):
    project.write_rows()
    process = project.start("run", "adaptation.yaml", "--json", *shared("first"))
    for line in process.stderr:
        if '"event": "epoch"' in line:
            break
    process.terminate()
    _, err = process.communicate()
    assert process.returncode == 143, err[-3000:]
    stopped = told(err, "checkpoint")
    assert len(stopped) == 1, err[-3000:]
    outcome = project.run(*shared("second"))
    assert told(outcome.err, "resumed") == stopped
    assert {name: outcome.json[name] for name in SAME} == {name: finished[1].json[name] for name in SAME}
