"""A run that is cancelled: its step's process is told to stop, as Kubernetes does, and deletes the RayJob it started.

The step is a whole one, in a process of its own that finds the cluster as a pod does: over TLS, with the token and the
certificate of its service account. Only Kubernetes and KFP are stand-ins.
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from acclimate.adapters.s3_lease import LeaseTimes
from acclimate.adapters.s3_store import S3Store
from acclimate.records import FinetuneReport
from tests.kfp_stub import KfpStub, kfp_server
from tests.kubernetes_stub import FAILED, NAMESPACE, RUNNING, SUCCEEDED, TOKEN, KubernetesStub, kubernetes_stub
from tests.pipeline.project import Project

IMAGE = "registry.example.com/acclimate@sha256:" + "a" * 64
POD = "the-step"
QUICK = 10
# Kubernetes kills what has not ended by then
GRACE = 30
CALL = """
import json, sys
from functools import partial
from pathlib import Path
from acclimate import steps
from acclimate.adapters.kubernetes_api import KubernetesAccess
account, request, run_id, references = sys.argv[1], *json.loads(sys.argv[2])
# a test can't write where Kubernetes mounts it
KubernetesAccess.of_this_pod = partial(KubernetesAccess.of_this_pod, Path(account))
print(steps.run_step("finetune", request, run_id, **references))
"""
BEFORE = """
import json, sys
from acclimate import steps
run = json.loads(sys.argv[1])
data = steps.run_step("ingest", *run)
gap = steps.run_step("gap", *run, data=data)
baseline = steps.run_step("baseline", *run, data=data)
decision, action = steps.run_decide(*run, data=data, gap=gap, baseline=baseline)
assert action == "finetune"
print(json.dumps({"data": data, "baseline": baseline, "decision": decision}))
"""


def write_certificate(folder: Path) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, and the certificate alone as ``ca.crt``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kubernetes")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.crt").write_bytes(public)
    (folder / "server.pem").write_bytes(public + private)
    return folder / "server.pem"


@dataclass
class Submitted:
    """A run as KFP holds it, and the addresses of what it has made before its training."""

    kfp: KfpStub
    project: Project
    workspace: str
    run_id: str
    parameters: dict[str, str]
    folder: Path
    references: dict[str, str]

    @property
    def account(self) -> Path:
        return self.folder / "account"

    def record(self, run_id: str) -> Path:
        """What the step has left in the workspace, as another machine sees it."""
        return S3Store(self.workspace, self.folder / "reader").pull(f"runs/{run_id}/steps/finetune")

    def error(self, run_id: str) -> dict:
        return json.loads((self.record(run_id) / "error.json").read_text())

    def events(self, run_id: str) -> list[dict]:
        return [json.loads(line) for line in (self.record(run_id) / "events.jsonl").read_text().splitlines()]


def environment_of_a_pod(home: Path, run_id: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if name not in {"RAY_ADDRESS", "ACCLIMATE_RUN_PID"}}
    return {**inherited, "ACCLIMATE_HOME": str(home), "KFP_RUN_ID": run_id}


class Step:
    """The step ``finetune`` of a run, as a process."""

    numbers = count(1)

    def __init__(self, submitted: Submitted, cluster: KubernetesStub, run_id: str, seed: int = 0) -> None:
        self.home = submitted.folder / f"pod-{next(self.numbers)}"
        self.home.mkdir()
        address = urlsplit(cluster.server)
        environment = {
            **environment_of_a_pod(self.home, run_id),
            "POD_NAME": POD,
            "KUBERNETES_SERVICE_HOST": str(address.hostname),
            "KUBERNETES_SERVICE_PORT": str(address.port),
        }
        request = json.loads(submitted.parameters["request"])
        request["adaptation"]["finetune"]["seed"] = seed
        call = json.dumps([json.dumps(request), submitted.parameters["run_id"], submitted.references])
        command = [sys.executable, "-c", CALL, str(submitted.account), call]
        with (self.home / "err").open("w") as err, (self.home / "out").open("w") as out:
            self.process = subprocess.Popen(command, env=environment, stdout=out, stderr=err)

    @property
    def err(self) -> str:
        return (self.home / "err").read_text()[-3000:]

    def wait_for(self, event: str, **fields: object) -> dict:
        """An event the step has told on its own disk."""
        ends = time.monotonic() + 200
        while time.monotonic() < ends:
            for path in self.home.glob("*/runs/*/steps/finetune/events.jsonl"):
                lines = path.read_text().splitlines(keepends=True)
                for found in (json.loads(line) for line in lines if line.endswith("\n")):
                    if found["event"] == event and fields.items() <= found.items():
                        return found
            assert self.process.poll() is None, self.err
            time.sleep(0.05)
        raise AssertionError(f"no {event} {fields}: {self.err}")

    def terminated(self) -> tuple[int, float]:
        """Stop it as Kubernetes does; the exit code and the seconds until then."""
        self.process.send_signal(signal.SIGTERM)
        return self.ended()

    def ended(self, seconds: float = 60) -> tuple[int, float]:
        started = time.monotonic()
        code = self.process.wait(timeout=seconds)
        return code, time.monotonic() - started


@pytest.fixture
def start(submitted):
    """Starts steps; whatever the test does, none is left."""
    with ExitStack() as stack:

        def one(cluster: KubernetesStub, run_id: str, **given: int) -> Step:
            step = Step(submitted, cluster, run_id, **given)
            stack.callback(step.process.wait)
            stack.callback(step.process.kill)
            return step

        yield one


@pytest.fixture
def serve(submitted):
    """Serves clusters that know the step's pod, and that may be asked for no more than a step may do."""
    served = []
    with ExitStack() as stack:

        def one(stub: KubernetesStub) -> KubernetesStub:
            container = {"name": "main", "image": IMAGE}
            stub.pods[POD] = {"metadata": {"name": POD, "uid": "a-uid"}, "spec": {"containers": [container]}}
            served.append(stack.enter_context(kubernetes_stub(stub, submitted.account / "server.pem")))
            return stub

        yield one
    assert [stub.violations for stub in served] == [[]] * len(served)


@pytest.fixture(scope="module")
def submitted(s3_endpoint, tiny_source, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cancel")
    boto3.client("s3").create_bucket(Bucket="cancel-workspace")
    workspace = "s3://cancel-workspace/team"
    account = folder / "account"
    account.mkdir()
    write_certificate(account)
    (account / "token").write_text(TOKEN)
    (account / "namespace").write_text(NAMESPACE)
    project = Project(folder / "project", tiny_source).write_rows()
    settings = [
        f"workspace={workspace}",
        # a shared workspace needs a registry's address, though nothing here registers
        "tracking.uri=http://127.0.0.1:1",
        "finetune.arms=[full]",
        "finetune.max_epochs={full: 6}",
        "compute.workers=2",
        "compute.cpus_per_worker=1",
    ]
    with kfp_server() as kfp, pytest.MonkeyPatch.context() as environment:
        environment.setenv("KFP_ENDPOINT", kfp.endpoint)
        environment.setenv("ACCLIMATE_HOME", str(folder / "laptop"))
        environment.setenv("ACCLIMATE_IMAGE", IMAGE)
        for name in ("KUBERNETES_SERVICE_HOST", "RAY_ADDRESS", "KFP_TOKEN", "KFP_NAMESPACE"):
            environment.delenv(name, raising=False)
        outcome = project.call(
            "submit", "adaptation.yaml", "--json", *(word for one in settings for word in ("-s", one))
        )
        assert outcome.code == 0, outcome.err
        ((run_id, run),) = kfp.runs.items()
        parameters = run["runtime_config"]["parameters"]
        done = subprocess.run(
            [sys.executable, "-c", BEFORE, json.dumps([parameters["request"], parameters["run_id"]])],
            env=environment_of_a_pod(folder / "before", run_id),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        references = json.loads(done.stdout.splitlines()[-1])
        yield Submitted(kfp, project, workspace, run_id, parameters, folder, references)


@pytest.mark.slow
def test_a_step_that_is_terminated_deletes_its_job_and_the_next_makes_a_new_one(submitted, serve, start):
    cluster = serve(KubernetesStub(script=[RUNNING]))
    for number, run_id in enumerate(("first", "second"), start=1):
        step = start(cluster, run_id)
        name = step.wait_for("rayjob", state="RUNNING")["name"]
        assert list(cluster.jobs) == [name]
        code, seconds = step.terminated()
        assert code == 143, step.err
        assert seconds < QUICK
        assert cluster.jobs == {}
        assert cluster.deleted == [name] * number
        error = submitted.error(run_id)
        assert (error["code"], error["stage"]) == ("E-RUN-143", "finetune")
        assert "stage_done" not in [event["event"] for event in submitted.events(run_id)]
    assert [job["metadata"]["name"] for job in cluster.created] == [name, name]
    assert cluster.created[0]["metadata"]["ownerReferences"][0]["name"] == POD


def failed(cluster: KubernetesStub, name: str) -> None:
    cluster.jobs[name]["script"][:] = [FAILED]


def deleted(cluster: KubernetesStub, name: str) -> None:
    del cluster.jobs[name]


@pytest.mark.slow
@pytest.mark.parametrize("happens", [failed, deleted])
def test_what_becomes_of_the_job_meanwhile_changes_nothing(submitted, serve, start, happens):
    cluster = serve(KubernetesStub(script=[RUNNING]))
    run_id = f"job-{happens.__name__}"
    step = start(cluster, run_id)
    name = step.wait_for("rayjob", state="RUNNING")["name"]
    # the step can't look at the job between the two
    with cluster.lock:
        happens(cluster, name)
        step.process.send_signal(signal.SIGTERM)
        time.sleep(1)
    assert step.ended()[0] == 143, step.err
    assert cluster.jobs == {}
    assert submitted.error(run_id)["code"] == "E-RUN-143"


@pytest.mark.slow
def test_a_job_that_is_just_being_made_is_deleted_too(submitted, serve, start):
    asked = threading.Event()

    def make(_body: dict) -> None:
        asked.set()
        # its answer comes after the step was told to stop
        time.sleep(2)

    cluster = serve(KubernetesStub(script=[RUNNING], on_create=make))
    step = start(cluster, "early")
    assert asked.wait(100), step.err
    code, seconds = step.terminated()
    assert code == 143, step.err
    assert seconds < QUICK
    assert len(cluster.created) == 1
    assert cluster.jobs == {}


@contextmanager
def overloaded(cluster: KubernetesStub) -> Iterator[None]:
    cluster.faults += [("DELETE", "503")] * 1000
    yield


@contextmanager
def silent(cluster: KubernetesStub) -> Iterator[None]:
    with cluster.lock:
        yield


@pytest.mark.slow
@pytest.mark.parametrize("state", [overloaded, silent])
def test_a_cluster_that_does_not_answer_is_given_up_before_the_step_is_killed(submitted, serve, start, state):
    cluster = serve(KubernetesStub(script=[RUNNING]))
    run_id = f"cluster-{state.__name__}"
    step = start(cluster, run_id)
    step.wait_for("rayjob", state="RUNNING")
    with state(cluster):
        code, seconds = step.terminated()
    assert code == 143, step.err
    assert seconds < GRACE - 5
    assert submitted.events(run_id)[-1]["event"] == "rayjob_left"
    assert submitted.error(run_id)["code"] == "E-RUN-143"


@pytest.mark.slow
def test_a_second_signal_does_not_break_off_the_tidying_up(submitted, serve, start):
    cluster = serve(KubernetesStub(script=[RUNNING]))
    step = start(cluster, "twice")
    name = step.wait_for("rayjob", state="RUNNING")["name"]
    cluster.faults += [("DELETE", "503")] * 3
    step.process.send_signal(signal.SIGTERM)
    while len(cluster.faults) == 3:
        assert step.process.poll() is None, step.err
        time.sleep(0.02)
    assert step.terminated()[0] == 143, step.err
    assert cluster.deleted == [name]
    assert submitted.error("twice")["code"] == "E-RUN-143"


@pytest.mark.slow
def test_a_step_that_was_told_to_stop_gives_the_runs_claim_back(submitted, serve, start):
    store = S3Store(submitted.workspace, submitted.folder / "looks", times=LeaseTimes(poll=0.1, claim=0.5))
    (record,) = (found for found in store.s3.list(store.root / "claims") if found.uri.name.startswith("run-"))

    def claim() -> tuple[str, bool]:
        found = json.loads(store.s3.get_bytes(record.uri)[0])["record"]
        return found["owner"], found["held"]

    # as if this run's ingest had claimed the adaptation
    assert store.claim(record.uri.name.removesuffix(".json"), "gives-back") == "gives-back"
    step = start(serve(KubernetesStub(script=[RUNNING])), "gives-back")
    step.wait_for("rayjob", state="RUNNING")
    assert claim() == ("gives-back", True)
    assert step.terminated()[0] == 143, step.err
    assert claim() == ("gives-back", False)


@pytest.mark.slow
def test_the_command_stops_the_run_its_step_and_the_rayjob(submitted, serve, start):
    cluster = serve(KubernetesStub(script=[RUNNING]))
    step = start(cluster, submitted.run_id)
    name = step.wait_for("rayjob", state="RUNNING")["name"]

    def controller() -> None:
        """Ends the pods of a run that was terminated, as Kubeflow's does."""
        while submitted.kfp.runs[submitted.run_id]["state"] != "CANCELED":
            time.sleep(0.05)
        step.process.send_signal(signal.SIGTERM)

    threading.Thread(target=controller, daemon=True).start()
    outcome = submitted.project.call("cancel", submitted.run_id, "--json")
    assert outcome.code == 0, outcome.err
    assert (outcome.json["cancelled"], outcome.json["state"]) == (True, "CANCELED")
    code, seconds = step.ended()
    assert code == 143, step.err
    assert seconds < QUICK
    assert cluster.deleted == [name]
    assert submitted.error(submitted.run_id)["code"] == "E-RUN-143"


class TrainingCluster(KubernetesStub):
    """A cluster that runs a job's entrypoint on a machine of its own, and stops it when the job is deleted."""

    def begin(self, folder: Path) -> None:
        self.folder = folder
        self.entrypoints: list[subprocess.Popen] = []
        self.script = [RUNNING]
        self.on_create = self._start

    def answer(self, method: str, path: str, query: dict, body: dict) -> tuple[int, dict]:
        found = super().answer(method, path, query, body)
        if method == "DELETE":
            self.entrypoints[-1].send_signal(signal.SIGTERM)
        return found

    def epochs(self, job: int) -> list[tuple[str, str, int]]:
        """Strategy, schedule and number of the epochs that the entrypoint of a job has finished, by its own log."""
        lines = [
            json.loads(line)
            for path in self.folder.glob(f"head-{job}/*/rayjobs/*/events.jsonl")
            for line in path.read_text().splitlines(keepends=True)
            if line.endswith("\n")
        ]
        return [(line["strategy"], line["schedule"], line["epoch"]) for line in lines if line["event"] == "epoch"]

    def _start(self, body: dict) -> None:
        home = self.folder / f"head-{len(self.created)}"
        # a Ray for the job alone, as KubeRay gives it
        environment = {**os.environ, "ACCLIMATE_HOME": str(home), "RAY_ADDRESS": "local"}
        command = [sys.executable, *body["spec"]["entrypoint"].split()[1:]]
        with home.with_suffix(".log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self.entrypoints.append(process)
        script = self.jobs[body["metadata"]["name"]]["script"]
        threading.Thread(target=self._follow, args=(process, script), daemon=True).start()

    def _follow(self, process: subprocess.Popen, script: list) -> None:
        code = process.wait()
        with self.lock:
            script[:] = [SUCCEEDED if code == 0 else FAILED]


@pytest.fixture
def cluster(submitted, serve):
    """A served cluster that trains."""
    found = TrainingCluster()
    found.begin(submitted.folder)
    yield serve(found)
    for process in found.entrypoints:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_run_submitted_after_a_cancelled_one_goes_on_with_its_training(submitted, cluster, start):
    # another training than the other tests': what it publishes must not be there for them
    step = start(cluster, "cancelled", seed=1)
    while not (cluster.entrypoints and cluster.epochs(1)):
        assert step.process.poll() is None, step.err
        time.sleep(0.05)
    code, seconds = step.terminated()
    assert code == 143, step.err
    assert seconds < QUICK
    assert cluster.entrypoints[0].wait(timeout=60) != 0, "it was still training"
    done = cluster.epochs(1)
    step = start(cluster, "again", seed=1)
    assert step.ended(300)[0] == 0, step.err
    assert cluster.epochs(2), "there was something left to train"
    assert not set(done) & set(cluster.epochs(2)), "it goes on after the last whole epoch"
    reference = (step.home / "out").read_text().splitlines()[-1]
    report = FinetuneReport.read(S3Store(submitted.workspace, submitted.folder / "reader").open(reference))
    assert report.workers == 2
    name = cluster.created[0]["metadata"]["name"]
    assert cluster.deleted == [name, name]
    assert cluster.jobs == {}
