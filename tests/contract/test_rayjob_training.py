"""Finetune by a RayJob: a stand-in for Kubernetes, a real S3 server, and in place of the job a function."""

from __future__ import annotations

import json
import pickle
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate import rayjob_entry
from acclimate.adapters.kubernetes_api import KubernetesAccess, KubernetesApi
from acclimate.adapters.local_store import signed_files
from acclimate.adapters.ray_files import Exchange
from acclimate.adapters.rayjob import Patience, RayJobs
from acclimate.adapters.s3_lease import LeaseTimes
from acclimate.adapters.s3_store import S3Store
from acclimate.config import Adaptation
from acclimate.errors import AcclimateError, ConfigError, ModelError, UnavailableError
from acclimate.execution import Context, Request, Work
from acclimate.nn.job import LabelledRows, TrainJob
from acclimate.nn.source_card import folder_digest
from acclimate.rayjob_training import (
    ERROR,
    EVENTS,
    FOLDER,
    FOLLOWERS,
    Task,
    end_when_nobody_follows,
    finetune_on_cluster,
    followers_of,
    is_for_a_rayjob,
)
from acclimate.records import Manifest
from tests.kubernetes_stub import FAILED, NAMESPACE, RUNNING, SUCCEEDED, TOKEN, KubernetesStub, kubernetes_stub

WORK = Work("finetune", "acclimate.errors", {"decision": "abc"}, lambda folder: {})
REFERENCES = {"data": "s3://b/stages/ingest/1", "baseline": "s3://b/stages/baseline/2"}
QUICK = Patience(poll=0.01, longest_poll=0.02, outage=1, image=0.1, deletion=1)
CONFIG: dict[str, Any] = {
    "name": "toy",
    "source": {"model": "package://somewhere"},
    "target": {"data": "s3://b/data.csv"},
    "compute": {"workers": 2, "memory_per_worker": "3Gi"},
}
Events = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture
def context(bucket: str, tmp_path: Path, events: Events) -> Context:
    workspace = f"s3://{bucket}/team"
    request = Request(Adaptation.model_validate(CONFIG), tmp_path, workspace)
    store = S3Store(workspace, tmp_path / "step")
    return Context(request, "run-1", store, lambda event, /, **fields: events.append((event, fields)))


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[..., tuple[KubernetesStub, RayJobs]]]:
    with ExitStack() as stack:

        def start(**state: Any) -> tuple[KubernetesStub, RayJobs]:
            stub = stack.enter_context(kubernetes_stub(KubernetesStub(**state)))
            (tmp_path / "token").write_text(TOKEN, encoding="utf-8")
            api = KubernetesApi(KubernetesAccess(stub.server, NAMESPACE, tmp_path / "token"), budget_seconds=2)
            stack.callback(api.close)
            return stub, RayJobs(api, QUICK)

        yield start


class Job:
    """What the pods of a job do, on a machine of their own."""

    def __init__(self, workspace: str, home: Path, *, error: AcclimateError | None = None) -> None:
        self.store = S3Store(workspace, home)
        self.error = error
        self.task: Task | None = None

    def __call__(self, body: dict[str, Any]) -> None:
        name = body["spec"]["entrypoint"].split(f"/{FOLDER}/")[1]
        folder = self.store.pull(f"{FOLDER}/{name}")
        self.task = Task.read(folder)
        report = rayjob_entry.ReportedEvents(self.store, f"{FOLDER}/{name}")
        report("stage_started", stage="finetune")
        report("epoch", epoch=1)
        if self.error is not None:
            (folder / ERROR).write_text(json.dumps(self.error.to_dict()), encoding="utf-8")
        else:
            self._publish()
        self.store.push(f"{FOLDER}/{name}")

    def _publish(self) -> None:
        out = self.store.home / "tmp" / "out"
        out.mkdir(parents=True)
        (out / "model.txt").write_text("weights", encoding="utf-8")
        manifest = Manifest(
            stage=WORK.stage, key=WORK.key, run_key=None, inputs=WORK.inputs, values={}, files=signed_files(out)
        )
        self.store.publish(WORK.stage, WORK.key, out, manifest)


def test_workers_that_come_and_go_get_a_pod_each_up_to_the_most(context: Context, cluster: Any, tmp_path: Path) -> None:
    elastic = {**CONFIG, "compute": {"workers": [2, 5]}}
    request = Request(Adaptation.model_validate(elastic), tmp_path, context.request.workspace)
    context = Context(request, "run-1", context.store, context.progress)
    job = Job(context.request.workspace, tmp_path / "head")
    stub, jobs = cluster(on_create=job, script=[RUNNING, SUCCEEDED])
    finetune_on_cluster(context, WORK, REFERENCES, jobs=jobs, image="acclimate:1")
    (group,) = stub.created[0]["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert (group["replicas"], group["minReplicas"], group["maxReplicas"]) == (5, 5, 5)
    assert job.task is not None
    compute = Request.from_json(job.task.request).adaptation.compute
    assert (compute.fewest_workers, compute.most_workers) == (2, 5)


def test_a_job_is_given_its_task_and_its_output_is_handed_on(
    context: Context, cluster: Any, events: Events, tmp_path: Path
) -> None:
    job = Job(context.request.workspace, tmp_path / "head")
    stub, jobs = cluster(on_create=job, script=[RUNNING, SUCCEEDED])
    folder = finetune_on_cluster(context, WORK, REFERENCES, jobs=jobs, image="acclimate:1")
    assert (folder / "model.txt").read_text(encoding="utf-8") == "weights"
    assert job.task == Task(context.request.to_json(), "run-1", REFERENCES, WORK.key)
    names = [name for name, _ in events]
    assert names[0] == "stage_started"
    assert names[-1] == "stage_done"
    assert names.count("stage_started") == 1
    assert ("epoch", {"epoch": 1}) in events
    spec = stub.created[0]["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]
    assert spec["replicas"] == 2
    assert spec["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] == "3Gi"
    assert (
        list(S3Store(context.request.workspace, tmp_path / "other").pull(f"{FOLDER}/{WORK.key[:24]}").iterdir()) == []
    )
    # what is there needs no cluster
    assert finetune_on_cluster(context, WORK, REFERENCES, jobs=jobs, image="acclimate:1") == folder
    assert len(stub.created) == 1


def test_the_cause_is_the_one_the_job_left(context: Context, cluster: Any, tmp_path: Path) -> None:
    cause = ModelError("E-TRAIN-003", "it diverged", hint="a lower rate")
    _, jobs = cluster(
        on_create=Job(context.request.workspace, tmp_path / "head", error=cause), script=[RUNNING, FAILED]
    )
    with pytest.raises(ModelError) as caught:
        finetune_on_cluster(context, WORK, REFERENCES, jobs=jobs, image="acclimate:1")
    assert caught.value.to_dict() == cause.to_dict()


def test_a_former_job_s_error_is_not_taken_for_this_one_s(context: Context, cluster: Any, tmp_path: Path) -> None:
    folder = context.store.pull(f"{FOLDER}/{WORK.key[:24]}")
    (folder / ERROR).write_text(json.dumps(ModelError("E-TRAIN-003", "before").to_dict()), encoding="utf-8")
    (folder / EVENTS).write_text('{"event": "epoch", "epoch": 99}\n', encoding="utf-8")
    context.store.push(f"{FOLDER}/{WORK.key[:24]}")
    _, jobs = cluster(script=[RUNNING, FAILED])
    with pytest.raises(UnavailableError) as caught:
        finetune_on_cluster(context, WORK, REFERENCES, jobs=jobs, image="acclimate:1")
    assert caught.value.code == "E-RAY-010"


def test_a_job_that_another_step_deleted_after_its_success_is_a_success(
    context: Context, cluster: Any, tmp_path: Path
) -> None:
    _, jobs = cluster(on_create=Job(context.request.workspace, tmp_path / "head"), script=[RUNNING, None, {}])
    folder = finetune_on_cluster(context, WORK, REFERENCES, jobs=jobs, image="acclimate:1")
    assert (folder / "model.txt").is_file()


def test_a_job_that_publishes_nothing_is_named(context: Context, cluster: Any) -> None:
    _, jobs = cluster(script=[RUNNING, SUCCEEDED])
    with pytest.raises(UnavailableError) as caught:
        finetune_on_cluster(context, WORK, REFERENCES, jobs=jobs, image="acclimate:1")
    assert caught.value.code == "E-RAY-016"


def test_a_folder_is_no_workspace_for_a_cluster(context: Context, cluster: Any, tmp_path: Path) -> None:
    _, jobs = cluster()
    local = replace(context, request=replace(context.request, workspace=str(tmp_path)))
    with pytest.raises(ConfigError) as caught:
        finetune_on_cluster(local, WORK, REFERENCES, jobs=jobs, image="acclimate:1")
    assert caught.value.code == "E-RAY-020"


def test_it_is_for_a_rayjob_in_a_pod_without_ray(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert not is_for_a_rayjob(context)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert is_for_a_rayjob(context)
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    assert not is_for_a_rayjob(context)


def test_a_job_ends_itself_once_nobody_follows_it_and_can_be_followed_again(context: Context, tmp_path: Path) -> None:
    times = LeaseTimes(beat=0.1, poll=0.05, claim=1.5)
    step, head = (S3Store(context.request.workspace, tmp_path / name, times=times) for name in ("pod", "head"))
    ended = threading.Event()
    watch = threading.Thread(
        target=end_when_nobody_follows, args=(head, WORK.key, ended.set), kwargs={"pause_seconds": 0.1}
    )
    with step.beating(followers_of(WORK.key), FOLLOWERS):
        watch.start()
        assert not ended.wait(4.0), "a job that is followed goes on"
    assert ended.wait(5.0), "a step that is killed gives nothing back"
    watch.join()
    with step.beating(followers_of(WORK.key), FOLLOWERS):
        assert head.claim(followers_of(WORK.key), "nobody") == FOLLOWERS


def test_a_job_is_followed_as_long_as_it_runs(context: Context, cluster: Any, tmp_path: Path) -> None:
    other = S3Store(context.request.workspace, tmp_path / "other")
    seen: list[str] = []

    def work(body: dict[str, Any]) -> None:
        seen.append(other.claim(followers_of(WORK.key), "nobody"))
        Job(context.request.workspace, tmp_path / "head")(body)

    _, jobs = cluster(on_create=work, script=[RUNNING, SUCCEEDED])
    finetune_on_cluster(context, WORK, REFERENCES, jobs=jobs, image="acclimate:1")
    assert seen == [FOLLOWERS]


def test_an_entrypoint_without_a_task_leaves_its_error(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "head"))
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    with pytest.raises(UnavailableError) as caught:
        rayjob_entry.run(f"{context.request.workspace}/{FOLDER}/k1")
    assert caught.value.code == "E-RAY-019"
    left = json.loads((context.store.pull(f"{FOLDER}/k1") / ERROR).read_text(encoding="utf-8"))
    assert left["code"] == "E-RAY-019"


@pytest.mark.parametrize("address", ["", "s3://bucket", "s3://bucket/rayjobs/", "s3://bucket/rayjobs/a/b"])
def test_an_entrypoint_refuses_what_is_no_task(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        rayjob_entry.run(address)
    assert caught.value.code == "E-RAY-023"


def test_checkpoints_and_the_source_travel_between_machines(bucket: str, tmp_path: Path, tiny_source: Path) -> None:
    workspace = f"s3://{bucket}/team"
    driver, worker = (S3Store(workspace, tmp_path / name) for name in ("driver", "worker"))
    rows = LabelledRows(("a",), np.zeros(1, dtype=np.int64))
    fields: dict[str, Any] = dict.fromkeys(TrainJob.__dataclass_fields__)
    fields |= {"source": tiny_source, "source_digest": "d" * 64, "train": rows, "validation": rows}
    job = TrainJob(**fields | {"folder": driver.pull("checkpoints/k") / "full-linear-2"})
    exchange = Exchange.opened(job, driver)
    assert pickle.loads(pickle.dumps(exchange)).local(job) == job, "on the driver's machine nothing is moved"
    far = replace(exchange, shared=worker)
    there = far.local(job)
    assert folder_digest(there.source) == folder_digest(tiny_source)
    assert there.folder == worker.home / "checkpoints" / "k" / "full-linear-2"
    there.folder.mkdir(parents=True)
    (there.folder / "checkpoint.json").write_text("{}", encoding="utf-8")
    far.keep()
    # what the driver stores meanwhile does not undo it
    driver.push("checkpoints/k")
    assert not job.folder.exists()
    exchange.collect()
    assert (job.folder / "checkpoint.json").is_file()
    exchange.close()
    assert not exchange.folder.exists()
