"""Many triggers of one adaptation at once: one of them trains and registers, the others follow it."""

from __future__ import annotations

import json
import multiprocessing
import os
import urllib.parse
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from pathlib import Path

import boto3
import pytest

from acclimate import steps
from acclimate.adapters.s3_lease import LeaseTimes
from acclimate.adapters.s3_store import S3Store
from acclimate.execution import Request
from acclimate.local_run import load_request
from tests.pipeline.pods import Pods
from tests.servers import mlflow_server

TRIGGERS = 20
RUNS = [f"run-{number}" for number in range(TRIGGERS)]
# as many pods as two processors bear
AT_ONCE = 4
STAGES = ["ingest", "gap", "baseline", "decide", "finetune", "evaluate", "register"]
SETTINGS = ("finetune.arms=[full]", "finetune.max_epochs={full: 6, scratch: 2}")
# a step beats every five seconds; here nobody shall wait for that
LIVELY = LeaseTimes(beat=0.1, poll=0.05, claim=120)
ROUNDS = 5


# --- processes that share nothing but S3 and begin at the same moment -------------------------


def claim_in_rounds(environment, uri, folder, owner, begin, told):
    """Take part in a race for each of some claims; a process of its own."""
    os.environ.update(environment)
    with closing(S3Store(uri, Path(folder) / owner, times=LIVELY)) as store:
        for number in range(ROUNDS):
            begin.wait(60)
            holder = store.claim(f"race-{number}", owner)
            told.put((number, owner, holder))
            if holder == owner:
                with store.beating(f"race-{number}", owner):
                    begin.wait(60)
            else:
                begin.wait(60)


def trigger(environment, request, folder, run_id, begin, answered, over, told):
    """Begin a run as its first pod does; the one that is to go on works until it is told that all is over."""
    os.environ.update(environment, ACCLIMATE_HOME=str(Path(folder) / run_id))
    os.environ.pop(steps.RUN_PID, None)
    begin.wait(60)
    data, follow = steps.run_ingest(request, run_id)
    told.put((run_id, data, follow))
    page = Path(folder) / f"{run_id}.html"
    if follow:
        steps.finish(request, run_id, str(page))
        answered.release()
        return
    context = steps.open_context(Request.from_json(request), run_id)
    with closing(S3Store(context.request.workspace, times=LIVELY)) as store:
        name = steps.claim_of(context, store.open(data))
        with store.beating(name, run_id):
            answered.release()
            over.wait(120)
    steps.finish(request, run_id, str(page))


class Processes:
    """Starts cheap processes: each is a copy of one that has imported what they need."""

    def __init__(self):
        self.made = multiprocessing.get_context("forkserver")
        self.made.set_forkserver_preload(["acclimate.stages.ingest", "acclimate.report.render", __name__])
        self.running = []

    def start(self, target, *given):
        self.running.append(self.made.Process(target=target, args=given))
        self.running[-1].start()

    def join(self):
        for process in self.running:
            process.join(120)
        assert [process.exitcode for process in self.running] == [0] * len(self.running)


@pytest.fixture
def processes():
    found = Processes()
    yield found
    for process in found.running:
        process.kill()
        process.join()


def test_of_twenty_that_want_a_claim_at_once_one_has_it_and_all_know_who(processes, bucket, tmp_path):
    begin, told = processes.made.Barrier(TRIGGERS), processes.made.Queue()
    for owner in RUNS:
        processes.start(claim_in_rounds, dict(os.environ), f"s3://{bucket}/team", str(tmp_path), owner, begin, told)
    answers = [told.get(timeout=100) for _ in range(TRIGGERS * ROUNDS)]
    processes.join()
    for number in range(ROUNDS):
        holders = {owner: holder for found, owner, holder in answers if found == number}
        (winner,) = set(holders.values())
        assert holders[winner] == winner
        assert set(holders) == set(RUNS)


def holder_of(store, name):
    """Who holds a claim by its record, without waiting for a sign of life."""
    record = store.records.read(f"claims/{name}.json").record
    return record["owner"] if record["held"] else None


def events_of(store, run_id, stage):
    """What a step of a run has left in the workspace; nothing where the run had no such step."""
    path = store.pull(steps.step_folder(run_id, stage)) / steps.EVENTS
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


@pytest.mark.slow
def test_of_twenty_triggers_at_once_one_goes_on_and_nineteen_follow_it(
    processes, project, bucket, tmp_path, monkeypatch
):
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "reader"))
    project.write_rows(400)
    workspace = f"s3://{bucket}/team"
    # a shared workspace needs a registry's address, though nothing here registers
    settings = [f"workspace={workspace}", "tracking.uri=http://127.0.0.1:1"]
    request = load_request(project.folder / "adaptation.yaml", settings)
    made = processes.made
    shared = {
        "begin": made.Barrier(TRIGGERS),
        "answered": made.Semaphore(0),
        "over": made.Event(),
        "told": made.Queue(),
    }
    for run_id in RUNS:
        processes.start(trigger, dict(os.environ), request.to_json(), str(tmp_path), run_id, *shared.values())
    answers = {run_id: (data, follow) for run_id, data, follow in (shared["told"].get(timeout=100) for _ in RUNS)}
    (winner,) = [run_id for run_id, (_, follow) in answers.items() if not follow]
    assert {follow for _, follow in answers.values()} == {"", winner}
    (data,) = {data for data, _ in answers.values()}
    for _ in RUNS:
        assert shared["answered"].acquire(timeout=100)
    with closing(S3Store(workspace)) as store:
        name = steps.claim_of(steps.open_context(request, "reader"), store.open(data))
        assert holder_of(store, name) == winner, "those who followed have ended, and released nothing"
        shared["over"].set()
        processes.join()
        assert holder_of(store, name) is None
        told_by = {run_id: events_of(store, run_id, "ingest") for run_id in RUNS}
        ingested = [e for found in told_by.values() for e in found if e["event"] == "stage_done" and not e["reused"]]
        assert len(ingested) == 1
        for run_id in RUNS:
            follows = [event["run"] for event in told_by[run_id] if event["event"] == "follows"]
            assert follows == ([] if run_id == winner else [winner])
            summary = json.loads((store.pull(f"runs/{run_id}/report") / "summary.json").read_text())
            assert (summary["run_id"], summary["verdict"], summary["error"]) == (run_id, None, None)


# --- whole runs -------------------------------------------------------------------------------


def versions_at(address, name):
    """Every version the registry knows, asked without our client."""
    query = urllib.parse.urlencode({"filter": f"name='{name}'"})
    with urllib.request.urlopen(f"{address}/api/2.0/mlflow/model-versions/search?{query}") as answer:
        return json.load(answer).get("model_versions", [])


def adapt(pods, run_id, data, train=Pods.step):
    """All steps after ingest, in the order of the DAG but for those that KFP would run at once."""
    read = {"data": data, **{stage: pods.step(run_id, stage, data=data) for stage in ("gap", "baseline")}}
    read["decision"], action = pods.call("run_decide", pods.request, run_id, **read)
    assert action == "finetune"
    trained = {name: read[name] for name in ("data", "baseline", "decision")}
    read["candidate"] = train(pods, run_id, "finetune", **trained)
    judged = {name: read[name] for name in ("data", "baseline", "candidate")}
    return pods.step(run_id, "register", **read, evaluation=pods.step(run_id, "evaluate", **judged))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_triggered_twenty_times_there_are_one_training_and_one_version(project, s3_endpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "reader"))
    project.write_rows()
    for bucket in ("triggers-workspace", "triggers-artifacts"):
        boto3.client("s3").create_bucket(Bucket=bucket)
    workspace = "s3://triggers-workspace/team"
    with (
        mlflow_server(tmp_path / "mlflow", "s3://triggers-artifacts/all") as address,
        closing(S3Store(workspace)) as store,
    ):
        request = load_request(
            project.folder / "adaptation.yaml", [f"workspace={workspace}", f"tracking.uri={address}", *SETTINGS]
        )
        pods = Pods(workspace, request.to_json(), tmp_path)

        asked = []

        def begin(run_id):
            data, follow = pods.call("run_ingest", pods.request, run_id)
            asked.append(run_id)
            if follow:
                pods.finish(run_id)
            return run_id, data, follow

        def train_while_others_ask(*step, **read):
            running.extend(pool.submit(begin, run_id) for run_id in RUNS[AT_ONCE:])
            before = len(asked)
            candidate = Pods.step(*step, **read)
            assert len(asked) > before
            return candidate

        with ThreadPoolExecutor(AT_ONCE) as pool:
            running = [pool.submit(begin, run_id) for run_id in RUNS[:AT_ONCE]]
            winner, data = next(
                (run_id, data) for run_id, data, follow in (one.result() for one in as_completed(running)) if not follow
            )
            adapt(pods, winner, data, train_while_others_ask)
            # some may still ask who works on it, and nobody does before the exit step: let a step be repeated
            while not all(one.done() for one in running):
                pods.step(winner, "gap", data=data)
        followed = [one.result()[2] for one in running]
        assert Counter(followed) == {"": 1, winner: TRIGGERS - 1}
        name = steps.claim_of(steps.open_context(request, "reader"), store.open(data))
        assert holder_of(store, name) == winner, "those who followed have ended, and released nothing"
        pods.finish(winner)
        assert holder_of(store, name) is None

        trained = {run_id: events_of(store, run_id, "finetune") for run_id in RUNS}
        assert [run_id for run_id, events in trained.items() if events] == [winner]
        epochs = [(e["strategy"], e["schedule"], e["epoch"]) for e in trained[winner] if e["event"] == "epoch"]
        assert ("full", "linear", 1) in epochs
        assert len(epochs) == len(set(epochs)), "no epoch was trained twice"
        made = Counter(
            event["stage"]
            for run_id in RUNS
            for stage in STAGES
            for event in events_of(store, run_id, stage)
            if event["event"] == "stage_done" and not event["reused"]
        )
        assert made == dict.fromkeys(STAGES, 1)
        (version,) = versions_at(address, "toy-mail")
        assert (version["version"], version["status"]) == ("1", "READY")
        assert pods.summary(winner)["model_uri"] == "models:/toy-mail/1"
        assert {pods.summary(run_id)["verdict"] for run_id in RUNS if run_id != winner} == {None}
        assert "Traceback" not in pods.printed

        later, follow = pods.call("run_ingest", pods.request, "later")
        assert (later, follow) == (data, "")
        adapt(pods, "later", data)
        pods.finish("later")
        done = [
            (stage, event["reused"])
            for stage in STAGES
            for event in events_of(store, "later", stage)
            if event["event"] == "stage_done"
        ]
        assert done == [(stage, True) for stage in STAGES]
        assert versions_at(address, "toy-mail") == [version]
        assert pods.summary("later")["model_uri"] == "models:/toy-mail/1"
