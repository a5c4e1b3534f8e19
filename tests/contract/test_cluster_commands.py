"""submit, schedule, runs and cancel against the stub of KFP and a real S3 server."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import boto3
import pytest
import typer
import yaml
from typer.testing import CliRunner

from acclimate.adapters.kfp_access import KfpAccess
from acclimate.adapters.kfp_client import Kfp
from acclimate.adapters.s3_store import S3Store
from acclimate.cluster.compiling import write_pipeline
from acclimate.cluster.following import wait_for
from acclimate.cluster.preparing import compiled
from acclimate.cluster.runs import cancel, runs
from acclimate.cluster.scheduling import (
    create_schedule,
    delete_schedule,
    list_schedules,
    show_schedule,
    switch_schedule,
)
from acclimate.cluster.submitting import submit, submitted_text
from acclimate.cluster_cli import register
from acclimate.errors import AccessError, AcclimateError, ConfigError, DataError, InterruptedRun, UnavailableError
from acclimate.execution import Request
from acclimate.local_run import load_request
from tests.kfp_stub import KfpStub, kfp_server
from tests.servers import SECRET_KEY

IMAGE = "registry.example.com/acclimate@sha256:" + "a" * 64
TRAINING_IMAGE = "registry.example.com/acclimate-training@sha256:" + "b" * 64
KFP_VARIABLES = (
    "ENDPOINT",
    "NAMESPACE",
    "TOKEN",
    "TOKEN_FILE",
    "COOKIES",
    "CA_FILE",
    "CRON_TIMEZONE",
    "SERVICE_ACCOUNT",
)
CONFIG = """\
name: mail
source: s3://models/mini
target: {data: s3://mails/mail.csv, text: text, label: label}
workspace: s3://the-bucket/w
tracking: {uri: http://mlflow.example.com}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own Kubeflow; local copies of workspaces in the test's folder."""
    for name in KFP_VARIABLES:
        monkeypatch.delenv(f"KFP_{name}", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.delenv("ACCLIMATE_TRAINING_IMAGE", raising=False)
    monkeypatch.setenv("ACCLIMATE_IMAGE", IMAGE)
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "home"))


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[KfpStub]:
    """A single-user KFP that the environment points at."""
    with kfp_server() as server:
        monkeypatch.setenv("KFP_ENDPOINT", server.endpoint)
        yield server


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """An adaptation whose source and data lie on S3."""
    path = tmp_path / "adaptation.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def workspace(config: Path, bucket: str) -> str:
    """A workspace on the real S3 server, named in the configuration."""
    config.write_text(CONFIG.replace("the-bucket", bucket))
    return f"s3://{bucket}/w"


def store(workspace: str, name: str, file: str, text: str) -> None:
    """Put a file where a pipeline's step would have put it."""
    with closing(S3Store(workspace)) as found:
        folder = found.pull(name)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
        found.push(name)


class Watching:
    """Progress that acts once the run is known."""

    def __init__(self, act: Callable[[str], None] = lambda _: None) -> None:
        self.act = act
        self.events: list[tuple[str, Any]] = []

    def __call__(self, event: str, /, **fields: Any) -> None:
        self.events.append((event, fields.get("stage")))
        if event == "submitted":
            self.act(str(fields["run_id"]))


def images_of(pipeline: str) -> dict[str, str]:
    """The image of each executor of a compiled pipeline."""
    executors = next(yaml.safe_load_all(pipeline))["deploymentSpec"]["executors"]
    return {name: each["container"]["image"] for name, each in executors.items()}


def tasks(**states: str) -> dict[str, Any]:
    rows = [{"display_name": name.replace("_", "-"), "state": state} for name, state in states.items()]
    return {"run_details": {"task_details": rows}}


# --- submit ----------------------------------------------------------------------------------------------------------


def test_submit_starts_one_run_that_means_the_same_on_every_machine(config: Path, stub: KfpStub) -> None:
    result = submit(config, ["goal.at_least=0.8"])
    row = stub.runs[result.run_id]
    request = json.loads(row["runtime_config"]["parameters"]["request"])
    assert row["runtime_config"]["parameters"]["run_id"] == "", "a copy of the run must be a run of its own"
    assert "service_account" not in row
    assert (request["root"], request["workspace"]) == ("/", "s3://the-bucket/w")
    assert request["adaptation"]["goal"]["at_least"] == 0.8
    assert result.link == f"{stub.endpoint}/#/runs/details/{result.run_id}"
    assert str(config.parent) not in row["runtime_config"]["parameters"]["request"]


def test_a_workspace_on_this_machine_is_refused(config: Path, stub: KfpStub) -> None:
    with pytest.raises(ConfigError) as caught:
        submit(config, ["workspace=.acclimate"])
    assert caught.value.code == "E-KFP-017"
    assert stub.seen == []


def test_what_lies_on_this_machine_is_uploaded_once(
    tmp_path: Path, stub: KfpStub, bucket: str, tiny_source: Path
) -> None:
    config = tmp_path / "adaptation.yaml"
    (tmp_path / "mail.csv").write_text("text,label\nhello,a\nworld,b\n")
    config.write_text(
        CONFIG.replace("the-bucket", bucket).replace("s3://models/mini", str(tiny_source)).replace("s3://mails/", "")
    )
    found = [submit(config, allow_outside=True), submit(config, allow_outside=True)]
    first, second = (stub.runs[each.run_id]["runtime_config"]["parameters"]["request"] for each in found)
    assert first == second
    assert str(tmp_path) not in first
    assert str(tiny_source) not in first
    adaptation = json.loads(first)["adaptation"]
    assert adaptation["target"]["data"].startswith(f"s3://{bucket}/w/data/")
    assert adaptation["source"]["model"].startswith(f"s3://{bucket}/w/sources/")
    assert create_schedule("nightly", config, cron="@daily", allow_outside=True)["notes"]


@pytest.mark.parametrize(("image", "code"), [("", "E-KFP-019"), ("acclimate:latest", "E-KFP-102")])
def test_an_image_without_digest_is_refused(
    config: Path, stub: KfpStub, monkeypatch: pytest.MonkeyPatch, image: str, code: str
) -> None:
    monkeypatch.setenv("ACCLIMATE_IMAGE", image)
    with pytest.raises(ConfigError) as caught:
        submit(config)
    assert caught.value.code == code
    assert stub.runs == {}


def test_the_step_that_trains_may_have_an_image_of_its_own(
    config: Path, stub: KfpStub, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCLIMATE_TRAINING_IMAGE", TRAINING_IMAGE)
    images = images_of(compiled("adapt", load_request(config, []), IMAGE).decode())
    assert {name for name, image in images.items() if image == TRAINING_IMAGE} == {"exec-finetune"}
    assert set(images.values()) == {IMAGE, TRAINING_IMAGE}


@pytest.mark.parametrize("named", ["argument", "variable"])
def test_a_service_account_is_named_only_where_somebody_has_one(
    config: Path, stub: KfpStub, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Any other than KFP's default needs what its launcher and Argo need; a schedule with another is another one."""
    create_schedule("nightly", config, cron="@daily")
    assert "service_account" not in next(iter(stub.recurring.values()))
    given = {"service_account": "trainer"} if named == "argument" else {}
    if named == "variable":
        monkeypatch.setenv("KFP_SERVICE_ACCOUNT", "trainer")
    assert stub.runs[submit(config, **given).run_id]["service_account"] == "trainer"
    assert create_schedule("nightly", config, cron="@daily", **given)["change"] == "replaced"
    assert create_schedule("nightly", config, cron="@daily", **given)["change"] == "unchanged"
    assert [row["service_account"] for row in stub.recurring.values()] == ["trainer"]
    monkeypatch.delenv("KFP_SERVICE_ACCOUNT", raising=False)
    assert create_schedule("nightly", config, cron="@daily")["change"] == "replaced"


def test_what_is_no_service_account_is_refused_before_anything_is_sent(config: Path, stub: KfpStub) -> None:
    for attempt in (
        lambda: submit(config, service_account="Trainer of mine"),
        lambda: create_schedule("nightly", config, cron="@daily", service_account="a/b"),
    ):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert (caught.value.code, bool(caught.value.hint)) == ("E-KFP-025", True)
    assert stub.seen == []


def test_a_pool_is_uploaded_too(config: Path, stub: KfpStub, workspace: str) -> None:
    (config.parent / "pool.csv").write_text("body\nhello\nworld\n")
    result = submit(config, ["pool={data: pool.csv, text: body, licence: CC0-1.0}"])
    request = json.loads(stub.runs[result.run_id]["runtime_config"]["parameters"]["request"])
    pool = request["adaptation"]["pool"]
    assert pool["data"].startswith(f"{workspace}/data/")
    assert (pool["text"], pool["licence"]) == ("body", "CC0-1.0")


def test_fresh_rows_for_retraining_are_uploaded_too(config: Path, stub: KfpStub, workspace: str) -> None:
    (config.parent / "fresh.csv").write_text("text\nhello\nworld\n")
    result = submit(config, ["retrain.fresh={data: fresh.csv}"], pipeline="retrain")
    request = json.loads(stub.runs[result.run_id]["runtime_config"]["parameters"]["request"])
    assert request["adaptation"]["retrain"]["fresh"]["data"].startswith(f"{workspace}/data/")


def test_a_run_whose_summary_was_lost_is_no_success(config: Path, stub: KfpStub, workspace: str) -> None:
    def ended(run_id: str) -> None:
        stub.runs[run_id]["state"] = "SUCCEEDED"

    with pytest.raises(UnavailableError) as caught:
        submit(config, wait=True, progress=Watching(ended), poll_seconds=0.01)
    assert caught.value.code == "E-KFP-024"


def test_no_credential_is_sent_or_stored(
    tmp_path: Path, config: Path, stub: KfpStub, workspace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters, pipelines, schedules, compiled files and objects on S3 hold no secret of the environment."""
    canaries = [SECRET_KEY, "canary-of-kfp-31aa", "canary-of-mlflow-77bc"]
    monkeypatch.setenv("KFP_TOKEN", canaries[1])
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", canaries[2])
    stub.token = canaries[1]
    submit(config)
    create_schedule("weekly", config, cron="@weekly")
    write_pipeline("adapt", tmp_path / "adapt.yaml", image=IMAGE, kubernetes=True, namespace=None)
    s3 = boto3.client("s3")
    bucket = workspace.removeprefix("s3://").split("/")[0]
    objects = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
    bodies = [s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read().decode() for found in objects]
    state = [repr(each) for each in (stub.experiments, stub.pipelines, stub.versions, stub.runs, stub.recurring)]
    written = "".join([*state, *bodies, (tmp_path / "adapt.yaml").read_text(), config.read_text()])
    assert stub.runs
    assert stub.recurring
    assert [canary for canary in canaries if canary in written] == []


def test_twenty_submits_at_once_upload_one_pipeline(config: Path, stub: KfpStub) -> None:
    found: list[str] = []

    def one() -> None:
        found.append(submit(config).run_id)

    threads = [threading.Thread(target=one) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == set(stub.runs)
    assert (len(stub.runs), len(stub.experiments), len(stub.pipelines), len(stub.versions)) == (20, 1, 1, 1)


@pytest.mark.parametrize(("verdict", "code"), [("PROMOTE", 0), ("SHADOW", 0), ("HOLD", 10), ("REJECT", 10)])
def test_the_exit_code_of_a_waited_run_is_the_verdicts(
    config: Path, stub: KfpStub, workspace: str, verdict: str, code: int
) -> None:
    def done(run_id: str) -> None:
        store(workspace, f"runs/{run_id}/report", "summary.json", json.dumps({"run_id": run_id, "verdict": verdict}))
        stub.script = [
            {"state": "RUNNING", **tasks(ingest="RUNNING")},
            {
                "state": "RUNNING",
                **tasks(ingest="SUCCEEDED", gap="RUNNING", evaluate_2="RUNNING", condition_1="RUNNING"),
            },
            {"state": "SUCCEEDED", **tasks(ingest="SUCCEEDED", gap="SUCCEEDED", evaluate_2="SUCCEEDED")},
        ]

    watching = Watching(done)
    result = submit(config, follow=True, progress=watching, poll_seconds=0.01)
    assert (result.exit_code, result.state, result.summary["verdict"]) == (code, "SUCCEEDED", verdict)
    assert watching.events[1:] == [
        ("stage_started", "ingest"),
        ("stage_done", "ingest"),
        ("stage_started", "gap"),
        ("stage_started", "evaluate"),
        ("stage_done", "gap"),
        ("stage_done", "evaluate"),
    ]


def test_a_failed_run_raises_what_its_step_left(config: Path, stub: KfpStub, workspace: str) -> None:
    left = DataError("E-DATA-012", "a class of one row", where="mail.csv", hint="add rows")

    def failed(run_id: str) -> None:
        store(workspace, f"runs/{run_id}/steps/ingest", "error.json", json.dumps(left.to_dict()))
        stub.script = [{"state": "FAILED", **tasks(ingest="FAILED")}]

    with pytest.raises(DataError) as caught:
        submit(config, wait=True, progress=Watching(failed), poll_seconds=0.01)
    assert caught.value.to_dict() == left.to_dict()


def test_a_pod_that_died_without_a_word_is_named(config: Path, stub: KfpStub, workspace: str) -> None:
    def killed(_: str) -> None:
        stub.script = [{"state": "FAILED", "error": {"code": 2, "message": "OOMKilled"}}]

    with pytest.raises(UnavailableError, match="OOMKilled") as caught:
        submit(config, wait=True, progress=Watching(killed), poll_seconds=0.01)
    assert caught.value.code == "E-KFP-015"


def test_a_run_that_gave_way_is_green_and_names_the_other(config: Path, stub: KfpStub, workspace: str) -> None:
    def gave_way(run_id: str) -> None:
        event = json.dumps({"event": "follows", "run": "another-run"})
        store(workspace, f"runs/{run_id}/steps/ingest", "events.jsonl", event + "\n")
        stub.script = [{"state": "SUCCEEDED"}]

    result = submit(config, wait=True, progress=Watching(gave_way), poll_seconds=0.01)
    assert (result.exit_code, result.summary) == (0, {"follows": "another-run"})


def test_a_cancelled_run_is_told(config: Path, stub: KfpStub, workspace: str) -> None:
    def stopped(run_id: str) -> None:
        assert cancel(run_id)["cancelled"]

    with pytest.raises(InterruptedRun) as caught:
        submit(config, wait=True, progress=Watching(stopped), poll_seconds=0.01)
    assert caught.value.code == "E-KFP-018"


def test_waiting_ends_in_time_and_leaves_the_run_alone(config: Path, stub: KfpStub) -> None:
    with pytest.raises(UnavailableError) as caught:
        submit(config, wait=True, timeout_minutes=0.001, poll_seconds=0.05)
    assert caught.value.code == "E-KFP-016"
    assert [run["state"] for run in stub.runs.values()] == ["PENDING"]


def test_ctrl_c_stops_watching_and_leaves_the_run_alone(config: Path, stub: KfpStub) -> None:
    def interrupted(event: str, /, **_: Any) -> None:
        if event == "stage_started":
            raise KeyboardInterrupt

    stub.script = [{"state": "RUNNING", **tasks(ingest="RUNNING")}]
    result = submit(config, follow=True, progress=interrupted, poll_seconds=0.01)
    assert result.exit_code == 130
    assert [run["state"] for run in stub.runs.values()] == ["RUNNING"]


def test_an_outage_while_waiting_is_sat_out(config: Path, stub: KfpStub) -> None:
    run, watching = submit(config), Watching()
    stub.fail("503", "GET", "/runs/", times=6)
    stub.script = [{"state": "SUCCEEDED"}]
    with Kfp(KfpAccess.find(), budget_seconds=0.1) as kfp:
        ended = wait_for(kfp, run.run_id, progress=watching, poll_seconds=0.01)
    assert ended.state == "SUCCEEDED"
    assert ("waiting", None) in watching.events


# --- submit --pipeline predict ----------------------------------------------------------------------------------------

PREDICTION = {"model": "models:/mail@champion", "data": "s3://mails/new.csv", "out": "s3://mails/predicted.csv"}


def test_a_prediction_is_sent_with_what_it_needs_and_nothing_else(
    tmp_path: Path, stub: KfpStub, bucket: str, tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the source model nor the target's data go to the cluster; rows on this machine do, once."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mail.csv").write_text("text,label\nhello,a\nworld,b\n")
    (folder / "new.csv").write_text("text\nto be predicted\n")
    config = folder / "adaptation.yaml"
    config.write_text(
        CONFIG.replace("the-bucket", bucket).replace("s3://models/mini", str(tiny_source)).replace("s3://mails/", "")
        + "retrain: {fresh: {data: mail.csv}}\n"
    )
    monkeypatch.chdir(folder)
    given = {**PREDICTION, "data": "new.csv"}
    sent = [submit(config, pipeline="predict", **given), submit(config, pipeline="predict", **given)]
    first, second = (stub.runs[each.run_id]["runtime_config"]["parameters"] for each in sent)
    assert first == second
    assert (first["model"], first["out"], first["run_id"]) == (PREDICTION["model"], PREDICTION["out"], "")
    assert first["data"].startswith(f"s3://{bucket}/w/data/")
    request = Request.from_json(first["request"])
    assert (request.workspace, request.adaptation.target.text) == (f"s3://{bucket}/w", "text")
    assert request.adaptation.target.data == first["data"]
    assert str(tmp_path) not in first["request"]
    assert str(tiny_source) not in first["request"]
    keys = [found["Key"] for found in boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]]
    assert {key.split("/")[1] for key in keys} == {"data"}
    assert sorted(key.rpartition("/")[2] for key in keys) == ["_acclimate.json", "new.csv"]
    assert [each["display_name"] for each in stub.pipelines.values()] == ["acclimate-predict"]


@pytest.mark.parametrize("rows", [7, None])
def test_a_prediction_that_is_waited_for_tells_rows_and_place(
    config: Path, stub: KfpStub, workspace: str, command: Callable[..., Any], rows: int | None
) -> None:
    def done(run_id: str) -> None:
        if rows is not None:
            told = [{"event": "predicting", "rows": 3}, {"event": "predicting", "rows": rows}]  # it was repeated
            store(workspace, f"runs/{run_id}/steps/predict", "events.jsonl", "\n".join(map(json.dumps, told)))
        stub.script = [
            {"state": "RUNNING", **tasks(predict="RUNNING")},
            {"state": "SUCCEEDED", **tasks(predict="SUCCEEDED")},
        ]

    watching = Watching(done)
    result = submit(config, pipeline="predict", **PREDICTION, follow=True, progress=watching, poll_seconds=0.01)
    assert (result.exit_code, result.state) == (0, "SUCCEEDED")
    assert result.summary == {"rows": rows, "path": PREDICTION["out"]}
    assert watching.events[1:] == [("stage_started", "predict"), ("stage_done", "predict")]
    assert submitted_text(result).splitlines()[-1] == f"{'' if rows is None else '7 rows '}-> {PREDICTION['out']}"


def test_a_prediction_that_failed_raises_what_its_step_left(config: Path, stub: KfpStub, workspace: str) -> None:
    left = DataError("E-DATA-011", "there is no column text", where="new.csv", hint="name it")

    def failed(run_id: str) -> None:
        store(workspace, f"runs/{run_id}/steps/predict", "error.json", json.dumps(left.to_dict()))
        stub.script = [{"state": "FAILED", **tasks(predict="FAILED")}]

    with pytest.raises(DataError) as caught:
        submit(config, pipeline="predict", **PREDICTION, wait=True, progress=Watching(failed), poll_seconds=0.01)
    assert caught.value.to_dict() == left.to_dict()


@pytest.mark.parametrize(
    ("pipeline", "changed", "code"),
    [
        ("adapt", {"data": None, "out": None}, "E-KFP-027"),
        ("retrain", {"model": None}, "E-KFP-027"),
        ("predict", {"model": None}, "E-KFP-026"),
        ("predict", {"data": None, "out": None}, "E-KFP-026"),
        ("predict", {"out": "predicted.csv"}, "E-PREDICT-001"),
        ("predict", {"out": "s3://mails"}, "E-PREDICT-001"),
        ("predict", {"out": "s3://mails/folder/"}, "E-PREDICT-001"),
        ("predict", {"out": "s3://mails/../x.csv"}, "E-S3-020"),
        ("predict", {"data": "nothing.csv"}, "E-DATA-001"),
        ("predict", {"data": "http://mails/new.csv"}, "E-CONFIG-031"),
        ("predict", {"model": "mail"}, "E-KFP-028"),
        ("predict", {"model": "/models/mail"}, "E-KFP-028"),
        ("predict", {"model": "s3://another/stages/finetune/0123"}, "E-KFP-028"),
    ],
)
def test_what_makes_no_prediction_is_refused_before_anything_is_sent(
    config: Path, stub: KfpStub, monkeypatch: pytest.MonkeyPatch, pipeline: Any, changed: dict[str, Any], code: str
) -> None:
    monkeypatch.chdir(config.parent)
    with pytest.raises(AcclimateError) as caught:
        submit(config, pipeline=pipeline, **{**PREDICTION, **changed})
    assert (caught.value.code, bool(caught.value.hint)) == (code, True)
    assert stub.seen == []


def test_a_model_of_a_run_predicts_without_a_registry(config: Path, stub: KfpStub) -> None:
    stage = "s3://the-bucket/w/stages/finetune/0123456789abcdef01234567"
    result = submit(config, pipeline="predict", **{**PREDICTION, "model": stage})
    assert stub.runs[result.run_id]["runtime_config"]["parameters"]["model"] == stage


# --- schedule --------------------------------------------------------------------------------------------------------


def test_a_schedule_neither_overlaps_nor_catches_up(config: Path, stub: KfpStub) -> None:
    made = create_schedule("nightly", config, cron="0 3 * * 1", timezone="Asia/Tokyo")
    (row,) = stub.recurring.values()
    assert made["change"] == "created"
    assert (row["max_concurrency"], row["no_catchup"], row["status"]) == ("1", True, "ENABLED")
    assert row["trigger"]["cron_schedule"]["cron"] == "0 0 18 * * 0"
    assert row["runtime_config"]["parameters"]["run_id"] == ""
    assert (made["cron"], made["timezone"], len(made["next"])) == ("0 0 3 * * 1", "Asia/Tokyo", 5)
    assert all(time.endswith("03:00+09:00") for time in made["next"])
    assert [each["display_name"] for each in stub.pipelines.values()] == ["acclimate-retrain"]


def test_made_again_a_schedule_is_left_alone_or_replaced(config: Path, stub: KfpStub) -> None:
    first = create_schedule("nightly", config, cron="0 3 * * *")
    assert create_schedule("nightly", config, cron="0 0 3 * * *")["change"] == "unchanged"
    second = create_schedule("nightly", config, cron="0 4 * * *")
    third = create_schedule("nightly", config, ["goal.at_least=0.7"], cron="0 4 * * *")
    assert [second["change"], third["change"]] == ["replaced", "replaced"]
    assert len({first["id"], second["id"], third["id"]}) == 3
    assert [(key, row["status"]) for key, row in stub.recurring.items()] == [(third["id"], "ENABLED")]
    assert stub.most_enabled == 1


def test_a_schedule_that_was_switched_off_stays_off(config: Path, stub: KfpStub) -> None:
    create_schedule("nightly", config, cron="0 3 * * *")
    assert not switch_schedule("nightly", on=False)["enabled"]
    again = create_schedule("nightly", config, cron="0 3 * * *")
    assert (again["change"], again["enabled"], again["next"]) == ("unchanged", False, [])
    assert switch_schedule("nightly", on=True)["enabled"]


@pytest.mark.parametrize("kind", ["401", "403", "409", "html"])
@pytest.mark.parametrize("step", range(4))
def test_a_replacement_cut_short_anywhere_is_finished_by_the_next(
    config: Path, stub: KfpStub, step: int, kind: str
) -> None:
    create_schedule("nightly", config, cron="0 3 * * *")
    where = [("POST", "recurringruns"), ("POST", ":disable"), ("POST", ":enable"), ("DELETE", "recurringruns")][step]
    stub.fail(kind, *where)
    with pytest.raises((AccessError, ConfigError)) as caught:
        create_schedule("nightly", config, cron="0 4 * * *")
    assert caught.value.code in {"E-KFP-003", "E-KFP-004", "E-KFP-005", "E-KFP-007"}
    done = create_schedule("nightly", config, cron="0 4 * * *")
    assert [(key, row["status"]) for key, row in stub.recurring.items()] == [(done["id"], "ENABLED")]
    assert done["cron"] == "0 0 4 * * *"
    assert stub.most_enabled == 1


@pytest.mark.parametrize("kind", ["lost", "truncated", "503"])
def test_a_lost_reply_makes_no_second_schedule(config: Path, stub: KfpStub, kind: str) -> None:
    stub.fail(kind, "POST", "recurringruns")
    create_schedule("nightly", config, cron="0 3 * * *")
    assert [row["status"] for row in stub.recurring.values()] == ["ENABLED"]


def test_eight_that_make_the_same_schedule_at_once_make_one(config: Path, stub: KfpStub) -> None:
    refused: list[AcclimateError] = []

    def one() -> None:
        try:
            create_schedule("nightly", config, cron="0 3 * * *")
        except AcclimateError as error:
            refused.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    create_schedule("nightly", config, cron="0 3 * * *")
    assert [row["status"] for row in stub.recurring.values()] == ["ENABLED"]
    assert {error.code for error in refused} <= {"E-SCHEDULE-009"}
    assert stub.most_enabled == 1


def test_somebody_elses_schedule_is_never_touched(config: Path, stub: KfpStub) -> None:
    create_schedule("nightly", config, cron="0 3 * * *")
    (row,) = stub.recurring.values()
    row["description"] = "mine"
    before = dict(row)
    for attempt in (
        lambda: create_schedule("nightly", config, cron="0 4 * * *"),
        lambda: delete_schedule("nightly"),
        lambda: switch_schedule("nightly", on=False),
    ):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert caught.value.code == "E-SCHEDULE-010"
    assert list_schedules() == []
    assert list(stub.recurring.values()) == [before]


def test_schedules_are_listed_shown_and_deleted_by_name(config: Path, stub: KfpStub) -> None:
    create_schedule("nightly", config, cron="@daily")
    create_schedule("weekly", config, cron="@weekly", pipeline="adapt")
    assert [(each["name"], each["pipeline"]) for each in list_schedules()] == [
        ("nightly", "retrain"),
        ("weekly", "adapt"),
    ]
    assert show_schedule("weekly")["model"] == "mail"
    with pytest.raises(ConfigError) as caught:
        show_schedule("nigthly")
    assert (caught.value.code, caught.value.hint) == ("E-SCHEDULE-004", "did you mean nightly?")
    delete_schedule("nightly")
    assert [each["name"] for each in list_schedules()] == ["weekly"]


@pytest.mark.parametrize(
    ("name", "cron", "timezone", "code"),
    [
        ("n", "0 3 * *", None, "E-SCHEDULE-001"),
        ("n", "0 0 31 2 *", None, "E-SCHEDULE-002"),
        ("n", "* * * * * *", None, "E-SCHEDULE-003"),
        ("n", "0 3 * * *", "Europe/Berln", "E-SCHEDULE-005"),
        ("n", "0 3 1 * *", "Asia/Tokyo", "E-SCHEDULE-006"),
        ("n", "CRON_TZ=UTC 0 3 * * *", "Asia/Tokyo", "E-SCHEDULE-007"),
        ("a b; c", "0 3 * * *", None, "E-SCHEDULE-008"),
    ],
)
def test_a_wrong_schedule_is_refused_before_anything_is_sent(
    config: Path, stub: KfpStub, name: str, cron: str, timezone: str | None, code: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        create_schedule(name, config, cron=cron, timezone=timezone)
    assert caught.value.code == code
    assert stub.seen == []


def test_a_cluster_that_reads_another_zone_is_told_so_by_the_environment(
    config: Path, stub: KfpStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFP_CRON_TIMEZONE", "Europe/Berlin")
    made = create_schedule("nightly", config, cron="CRON_TZ=Europe/Berlin 0 3 * * *")
    assert (made["kfp_cron"], made["timezone"], made["notes"]) == ("0 0 3 * * *", "Europe/Berlin", [])


def test_with_summer_time_the_times_shown_are_those_it_will_run_at(config: Path, stub: KfpStub) -> None:
    made = create_schedule("weekly", config, cron="0 3 * * 1", timezone="Europe/Berlin")
    assert made["kfp_cron"] == "0 0 2 * * 1"
    assert {time[11:] for time in made["next"]} <= {"03:00+01:00", "04:00+02:00"}
    assert "CRON_SCHEDULE_TIMEZONE=Europe/Berlin" in made["notes"][0]
    assert create_schedule("weekly", config, cron="0 3 * * 1", timezone="Europe/Berlin")["change"] == "unchanged"


def test_a_scheduled_retraining_looks_for_itself_where_an_alias_points(config: Path, stub: KfpStub) -> None:
    moving, fixed = "source=models:/base@champion", "source=models:/base/3"
    for overrides, notes in (([moving], 0), ([fixed], 1)):
        made = create_schedule("nightly", config, overrides, cron="@daily")
        (row,) = stub.recurring.values()
        request = json.loads(row["runtime_config"]["parameters"]["request"])
        assert request["adaptation"]["source"]["model"] == overrides[0].removeprefix("source=")
        assert len([note for note in made["notes"] if "pinned" in note]) == notes


# --- runs and cancel -------------------------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_with_their_verdicts(config: Path, stub: KfpStub, workspace: str) -> None:
    first, second = submit(config), submit(config)
    stub.runs[first.run_id]["state"] = "SUCCEEDED"
    store(workspace, f"runs/{first.run_id}/report", "summary.json", '{"verdict": "SHADOW"}')
    found = runs(experiment="mail")
    assert [(row["run_id"], row["state"], row["verdict"]) for row in found] == [
        (second.run_id, "PENDING", None),
        (first.run_id, "SUCCEEDED", "SHADOW"),
    ]
    with pytest.raises(ConfigError) as caught:
        runs(experiment="other")
    assert caught.value.code == "E-KFP-021"


def test_a_run_is_cancelled_once_by_its_id_or_its_name(config: Path, stub: KfpStub) -> None:
    first, second = submit(config), submit(config)
    assert cancel(first.run_id)["cancelled"]
    assert cancel(second.name)["state"] == "CANCELED"
    assert not cancel(first.name)["cancelled"]
    assert "RayJob" in str(cancel(submit(config).run_id)["afterwards"])


@pytest.mark.parametrize("kind", ["503", "lost", "late", "malformed"])
def test_a_stop_whose_reply_is_lost_on_the_way_is_a_stop(config: Path, stub: KfpStub, kind: str) -> None:
    run = submit(config)
    stub.fail(kind, "POST", ":terminate")
    found = cancel(run.run_id)
    assert (found["cancelled"], found["state"]) == (True, "CANCELED")


@pytest.mark.parametrize("run", ["nothing", str(uuid.UUID(int=7))])
def test_a_run_that_is_not_there_can_not_be_cancelled(config: Path, stub: KfpStub, run: str) -> None:
    submit(config)
    with pytest.raises(ConfigError) as caught:
        cancel(run)
    assert caught.value.code == "E-KFP-006"


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def command() -> Callable[..., Any]:
    """Runs a command of the cluster."""
    app = typer.Typer()
    register(app)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_json_is_one_line_on_standard_output(config: Path, stub: KfpStub, command: Callable[..., Any]) -> None:
    submitted = command("submit", config, "--json", "-s", "goal.at_least=0.8")
    assert submitted.exit_code == 0, submitted.output
    assert json.loads(submitted.stdout)["run_id"] in stub.runs
    scheduled = command("schedule", "create", "nightly", config, "--cron", "@daily", "--json")
    assert json.loads(scheduled.stdout)["change"] == "created"
    assert json.loads(command("schedule", "disable", "nightly", "--json").stdout)["enabled"] is False
    assert json.loads(command("schedule", "list", "--json").stdout)[0]["name"] == "nightly"
    assert len(json.loads(command("runs", "--json").stdout)) == 1
    accounts = command("submit", config, "--service-account", "trainer", "--json")
    assert stub.runs[json.loads(accounts.stdout)["run_id"]]["service_account"] == "trainer"
    given = [word for name, value in PREDICTION.items() for word in (f"--{name}", value)]
    predicting = json.loads(command("submit", config, "--pipeline", "predict", *given, "--json").stdout)
    assert stub.runs[predicting["run_id"]]["runtime_config"]["parameters"]["out"] == PREDICTION["out"]
    wrong = command("cancel", "nothing", "--json")
    assert wrong.exit_code == 2
    assert json.loads(wrong.stdout)["error"]["code"] == "E-KFP-006"


def test_people_read_what_comes_next(config: Path, stub: KfpStub, command: Callable[..., Any]) -> None:
    assert "acclimate cancel" in command("submit", config).stdout
    shown = command("schedule", "create", "nightly", config, "--cron", "0 3 * * 1", "--timezone", "Asia/Tokyo").stdout
    assert shown.count("next ") == 5
    assert "the cluster's scheduler reads 0 0 18 * * 0" in shown
    assert "mail-" in command("runs").stdout
    assert "deleted" in command("schedule", "delete", "nightly").stdout


@pytest.mark.parametrize("name", ["adapt", "retrain", "predict"])
def test_compile_writes_a_pipeline_with_its_image(command: Callable[..., Any], tmp_path: Path, name: str) -> None:
    out = tmp_path / "pipeline.yaml"
    assert command("compile", name, "-o", out).exit_code == 0
    assert IMAGE in out.read_text()
    assert command("compile", name, "-o", out, "--kubernetes", "--namespace", "ml").exit_code == 0
    assert "kind: PipelineVersion" in out.read_text()


def test_compile_puts_training_image_and_gpus_into_the_step_that_trains(
    command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As submit does: who brings pipelines by GitOps can have RayJobs and GPUs too."""
    out = tmp_path / "pipeline.yaml"
    done = command("compile", "retrain", "-o", out, "--training-image", TRAINING_IMAGE, "--gpus", "2", "--json")
    found = json.loads(done.stdout)
    assert (found["training_image"], found["gpus"]) == (TRAINING_IMAGE, 2)
    executors = next(yaml.safe_load_all(out.read_text()))["deploymentSpec"]["executors"]
    given = {name: each["container"]["resources"].get("accelerator") for name, each in executors.items()}
    assert {name: each["count"] for name, each in given.items() if each} == {"exec-finetune": "2"}
    images = images_of(out.read_text())
    assert {name for name, image in images.items() if image == TRAINING_IMAGE} == {"exec-finetune"}
    monkeypatch.setenv("ACCLIMATE_TRAINING_IMAGE", TRAINING_IMAGE)
    for name, trained in (("adapt", {"exec-finetune"}), ("predict", set())):
        assert command("compile", name, "-o", out).exit_code == 0
        images = images_of(out.read_text())
        assert {each for each, image in images.items() if image == TRAINING_IMAGE} == trained
    assert "2 GPUs" in command("compile", "-o", out, "--gpus", "2").stdout


@pytest.mark.parametrize(
    ("words", "image", "code"),
    [
        (["predict", "--gpus", "1"], IMAGE, "E-KFP-029"),
        (["predict", "--training-image", TRAINING_IMAGE], IMAGE, "E-KFP-029"),
        (["adapt", "--gpus", "1"], "", "E-KFP-022"),
        (["adapt", "--training-image", TRAINING_IMAGE], "", "E-KFP-022"),
        (["adapt", "--training-image", "acclimate:latest"], IMAGE, "E-KFP-102"),
        (["adapt", "--kubernetes"], "", "E-KFP-022"),
        (["adapt", "--namespace", "ml"], IMAGE, "E-KFP-030"),
    ],
)
def test_compile_refuses_what_would_be_left_out(
    command: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    image: str,
    code: str,
) -> None:
    monkeypatch.setenv("ACCLIMATE_IMAGE", image)
    failed = command("compile", *words, "-o", tmp_path / "pipeline.yaml", "--json")
    assert failed.exit_code == 2, failed.output
    assert json.loads(failed.stdout)["error"]["code"] == code
    assert not (tmp_path / "pipeline.yaml").exists()


def test_compile_says_when_it_can_not_write(command: Callable[..., Any], tmp_path: Path) -> None:
    failed = command("compile", "-o", tmp_path, "--json")
    assert json.loads(failed.stdout)["error"]["code"] == "E-KFP-023"
