"""The pipeline's steps as pods: each a process with an empty disk, sharing nothing but S3 and MLflow."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest

from acclimate.local_run import load_request
from tests.pipeline.pods import PASSWORD, TOKEN, Pods
from tests.servers import SECRET_KEY, mlflow_server

SAME = ("run_key", "setting", "gap", "baseline", "decision", "result", "verdict", "model_uri")


@pytest.fixture(scope="module")
def pods(finished, s3_endpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pods")
    for bucket in ("pods-workspace", "pods-artifacts"):
        boto3.client("s3").create_bucket(Bucket=bucket)
    with mlflow_server(folder / "mlflow", "s3://pods-artifacts/all") as address:
        workspace = "s3://pods-workspace/team"
        settings = [f"workspace={workspace}", f"tracking.uri={address}"]
        request = load_request(finished[0].folder / "adaptation.yaml", settings).to_json()
        yield Pods(workspace, request, folder)


@pytest.fixture(scope="module")
def whole_run(pods):
    """Run ``first`` with another trigger while it trains; what each step returned."""
    data, follow = pods.call("run_ingest", pods.request, "first")
    gap = pods.step("first", "gap", data=data)
    baseline = pods.step("first", "baseline", data=data)
    decision, action = pods.call("run_decide", pods.request, "first", data=data, gap=gap, baseline=baseline)
    assert (follow, action) == ("", "finetune")
    with ThreadPoolExecutor() as pool:
        trigger = pool.submit(pods.call, "run_ingest", pods.request, "second")
        candidate = pods.step("first", "finetune", data=data, baseline=baseline, decision=decision)
        evaluation = pods.step("first", "evaluate", data=data, baseline=baseline, candidate=candidate)
        read = {"data": data, "gap": gap, "baseline": baseline, "decision": decision, "candidate": candidate}
        pods.step("first", "register", **read, evaluation=evaluation)
        later = trigger.result()
    return {**read, "evaluation": evaluation, "later": later, "page": pods.finish("first")}


@pytest.mark.slow
def test_pods_that_share_no_disk_end_as_one_machine_does(finished, pods, whole_run):
    found, local = pods.summary("first"), finished[1].json
    assert {name: found[name] for name in SAME} == {name: local[name] for name in SAME}
    assert set(found["seconds"]) == set(local["seconds"])


@pytest.mark.slow
def test_steps_hand_on_addresses_and_the_exit_step_the_report(pods, whole_run):
    assert whole_run["data"].startswith(f"{pods.workspace}/stages/ingest/")
    assert "<html" in whole_run["page"].read_text()[:500]


@pytest.mark.slow
def test_a_trigger_while_it_runs_follows_and_one_after_it_reuses_everything(pods, whole_run):
    assert whole_run["later"] == [whole_run["data"], "first"]
    data, follow = pods.call("run_ingest", pods.request, "third")
    assert (data, follow) == (whole_run["data"], "")
    again = pods.step("third", "finetune", **{name: whole_run[name] for name in ("data", "baseline", "decision")})
    assert again == whole_run["candidate"]
    pods.finish("third")


@pytest.mark.slow
def test_a_step_that_failed_for_good_is_tried_again_when_somebody_asks_and_the_exit_step_says_why(pods):
    """KFP repeats a failed step twice by itself; what comes after that was asked for, and the cause may be gone."""
    broken = json.loads(pods.request)
    broken["adaptation"]["target"]["label"] = "no such column"
    request = json.dumps(broken)
    codes = [pods.start("run_ingest", request, "broken") for _ in range(3)]
    assert [code for code, _ in codes] == [3, 3, 3]
    assert "E-DATA-018" in codes[0][1]
    assert ["not tried again" in said for _, said in codes] == [False, True, True]
    pods.call("finish", request, "broken", str(pods.folder / "broken.html"))
    assert pods.start("run_ingest", pods.request, "broken")[0] == 0
    # what it has claimed by that must not keep the other tests waiting
    pods.call("finish", pods.request, "broken", str(pods.folder / "mended.html"))


@pytest.mark.slow
def test_no_credential_is_written_anywhere(pods, whole_run):
    """Every byte of logs, local copies, the database, the artifacts and all objects on S3."""
    canaries = [SECRET_KEY.encode(), PASSWORD.encode(), TOKEN.encode()]
    s3 = boto3.client("s3")
    searched = 0
    for bucket in ("pods-workspace", "pods-artifacts"):
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            for found in page.get("Contents", ()):
                content = s3.get_object(Bucket=bucket, Key=found["Key"])["Body"].read()
                assert not any(canary in content for canary in canaries), found["Key"]
                searched += 1
    for path in pods.folder.rglob("*"):
        if path.is_file():
            assert not any(canary in path.read_bytes() for canary in canaries), path
            searched += 1
    assert not any(canary.decode() in pods.printed + pods.request for canary in canaries)
    assert searched > 100
