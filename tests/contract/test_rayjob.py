"""The RayJob client against a stand-in for the Kubernetes API that checks what is created."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from acclimate.adapters.kubernetes_api import KubernetesAccess, KubernetesApi
from acclimate.adapters.ray_image import ThisPod, placement_of, this_pod
from acclimate.adapters.rayjob import Patience, RayJobs
from acclimate.adapters.rayjob_object import Placement, RayJobSpec, rayjob
from acclimate.errors import AccessError, AcclimateError, ConfigError, InterruptedRun, UnavailableError
from tests.chart.pod_security import violations
from tests.kubernetes_stub import (
    FAILED,
    KUBERAYS,
    NAMESPACE,
    PENDING,
    RUNNING,
    SUCCEEDED,
    TOKEN,
    KubernetesStub,
    Refused,
    kubernetes_stub,
)

NAME = "finetune-0123456789abcdef01234567"
SPEC = RayJobSpec(
    name=NAME,
    record="s3://bucket/work/rayjobs/0123456789abcdef01234567",
    image="registry.example/acclimate@sha256:" + "a" * 64,
    workers=3,
    cpus=2,
    memory="8Gi",
    owner=("step-pod", "uid-1"),
)
FAST = Patience(poll=0.01, longest_poll=0.02, outage=0.5, image=0.1, deletion=0.4)

Serve = Callable[..., tuple[KubernetesStub, RayJobs]]
Events = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        stubs: list[KubernetesStub] = []

        def start(**state: Any) -> tuple[KubernetesStub, RayJobs]:
            stubs.append(stack.enter_context(kubernetes_stub(KubernetesStub(**state))))
            token = tmp_path / "token"
            token.write_text(TOKEN + "\n", encoding="utf-8")
            access = KubernetesAccess(stubs[-1].server, NAMESPACE, token)
            api = KubernetesApi(access, budget_seconds=3, timeout_seconds=2)
            stack.callback(api.close)
            return stubs[-1], RayJobs(api, FAST)

        yield start
        assert [line for stub in stubs for line in stub.violations] == []


@pytest.fixture
def events() -> Events:
    return []


@pytest.fixture
def progress(events: Events) -> Callable[..., None]:
    def tell(event: str, /, **fields: Any) -> None:
        events.append((event, fields))

    return tell


def pod(name: str, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"uid-{name}", "labels": {"ray.io/cluster": "cluster"}}, "status": status}


def failure(jobs: RayJobs, spec: RayJobSpec = SPEC) -> AcclimateError:
    with pytest.raises(AcclimateError) as caught:
        jobs.run(spec)
    return caught.value


def test_a_job_is_created_followed_and_deleted(serve: Serve, events: Events, progress: Callable[..., None]) -> None:
    stub, jobs = serve()
    order: list[str] = []
    jobs.run(SPEC, progress=progress, prepare=lambda: order.append("prepare"), looked=lambda: order.append("look"))
    assert [event[1]["state"] for event in events] == ["created", "Initializing", "RUNNING", "SUCCEEDED"]
    assert order[0] == "prepare"
    assert order.count("prepare") == 1
    assert "look" in order
    assert len(stub.created) == 1
    assert stub.deleted == [NAME]
    assert stub.jobs == {}


def test_a_live_job_is_followed_and_not_doubled(serve: Serve) -> None:
    stub, jobs = serve(script=[RUNNING, RUNNING, SUCCEEDED])
    jobs.api.create(f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs", rayjob(SPEC, NAMESPACE))
    prepared: list[int] = []
    jobs.run(SPEC, prepare=lambda: prepared.append(1))
    assert (len(stub.created), prepared) == (1, [])


@pytest.mark.parametrize("ended", [FAILED, SUCCEEDED], ids=["failed", "succeeded"])
def test_a_job_that_has_ended_is_made_again(serve: Serve, ended: dict[str, Any]) -> None:
    stub, jobs = serve(script=[ended], again=[RUNNING, SUCCEEDED])
    jobs.api.create(f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs", rayjob(SPEC, NAMESPACE))
    jobs.run(SPEC)
    assert len(stub.created) == 2
    assert stub.deleted == [NAME, NAME]


def test_a_job_that_does_not_go_away_is_named(serve: Serve) -> None:
    _, jobs = serve(script=[FAILED], frozen_deletion=True)
    jobs.api.create(f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs", rayjob(SPEC, NAMESPACE))
    assert failure(jobs).code == "E-RAY-014"


def test_a_failed_job_is_left_for_inspection(serve: Serve) -> None:
    stub, jobs = serve(script=[RUNNING, {**FAILED, "message": "job exited with 4"}])
    error = failure(jobs)
    assert (type(error), error.code) == (UnavailableError, "E-RAY-010")
    assert "exited with 4" in str(error)
    assert list(stub.jobs) == [NAME]


@pytest.mark.parametrize(
    ("status", "pods", "kind", "code"),
    [
        ({**FAILED, "reason": "DeadlineExceeded"}, {}, UnavailableError, "E-RAY-012"),
        ({**FAILED, "jobStatus": "STOPPED"}, {}, InterruptedRun, "E-RAY-018"),
        ({"jobDeploymentStatus": "ValidationFailed", "message": "no"}, {}, UnavailableError, "E-RAY-010"),
        (
            FAILED,
            {"w": pod("w", containerStatuses=[{"lastState": {"terminated": {"reason": "OOMKilled"}}}])},
            ConfigError,
            "E-RAY-011",
        ),
    ],
    ids=["deadline", "stopped", "invalid", "memory"],
)
def test_how_a_job_ends_becomes_a_coded_error(
    serve: Serve, status: dict[str, Any], pods: dict[str, Any], kind: type, code: str
) -> None:
    _, jobs = serve(script=[RUNNING, status], pods=pods)
    error = failure(jobs)
    assert (type(error), error.code) == (kind, code)


def test_without_the_operator_it_says_what_to_install(serve: Serve) -> None:
    _, jobs = serve(has_operator=False)
    error = failure(jobs)
    assert (type(error), error.code) == (UnavailableError, "E-RAY-002")
    assert "kuberay-operator" in error.hint


@pytest.mark.parametrize(
    ("refusal", "kind", "code", "says"),
    [
        (
            Refused(403, "Forbidden", 'rayjobs.ray.io is forbidden: User "x" cannot create resource', "rayjobs"),
            AccessError,
            "E-RAY-003",
            "create RayJobs",
        ),
        (
            Refused(
                403, "Forbidden", "exceeded quota: team, requested: cpu=8, used: cpu=9, limited: cpu=10", "rayjobs"
            ),
            UnavailableError,
            "E-RAY-005",
            "cpu=8",
        ),
        (Refused(422, "Invalid", "spec.nonsense: unknown field", "rayjobs"), ConfigError, "E-RAY-006", "nonsense"),
        (Refused(401, "Unauthorized", "Unauthorized"), AccessError, "E-RAY-004", "token"),
    ],
    ids=["forbidden", "quota", "invalid", "token"],
)
def test_a_refusal_becomes_a_coded_error(serve: Serve, refusal: Refused, kind: type, code: str, says: str) -> None:
    stub, jobs = serve(refuse=refusal)
    error = failure(jobs)
    assert (type(error), error.code) == (kind, code)
    assert says in str(error)
    assert TOKEN not in str(error.to_dict())
    assert len([method for method, _ in stub.asked if method == "POST"]) == 1, "a refusal is not repeated"


def test_a_flapping_api_is_absorbed(serve: Serve) -> None:
    stub, jobs = serve(script=[{}, PENDING, RUNNING, RUNNING, SUCCEEDED])
    stub.faults += [("GET", "503"), ("POST", "429"), ("GET", "reset"), ("GET", "500"), ("DELETE", "reset")]
    jobs.run(SPEC)
    assert stub.faults == []
    assert len(stub.created) == 1


def test_a_lost_answer_makes_one_job(serve: Serve) -> None:
    stub, jobs = serve()
    stub.faults += [("POST", "lost"), ("DELETE", "lost")]
    jobs.run(SPEC)
    assert len(stub.created) == 1
    assert stub.jobs == {}


def test_an_api_that_stays_away_is_named(serve: Serve) -> None:
    stub, jobs = serve(script=[RUNNING])
    quick = RayJobs(jobs.api, FAST)
    jobs.api.budget_seconds = 0.2
    timer = threading.Timer(0.3, lambda: stub.faults.extend([("", "503")] * 500))
    timer.start()
    error = failure(quick)
    timer.join()
    stub.faults.clear()
    assert (type(error), error.code) == (UnavailableError, "E-RAY-007")
    assert list(stub.jobs) == [NAME], "the training goes on without us"


def test_a_job_that_is_never_scheduled_is_given_up_with_its_pods_reasons(serve: Serve) -> None:
    waits = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "3 Insufficient gpu"}
    stub, jobs = serve(script=[PENDING], pods={"w": pod("w", conditions=[waits])})
    error = failure(jobs, replace(SPEC, start_seconds=1))
    assert (type(error), error.code) == (UnavailableError, "E-RAY-008")
    assert "Insufficient gpu" in str(error)
    assert stub.deleted == [NAME]


def test_an_image_that_cannot_be_pulled_is_given_up(serve: Serve) -> None:
    waits = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    stub, jobs = serve(script=[PENDING], pods={"h": pod("h", containerStatuses=[waits])})
    error = failure(jobs)
    assert (type(error), error.code) == (AccessError, "E-RAY-009")
    assert stub.deleted == [NAME]


def test_a_job_deleted_behind_our_back_is_named(serve: Serve) -> None:
    _, jobs = serve(script=[RUNNING, None, {}])
    error = failure(jobs)
    assert (type(error), error.code) == (UnavailableError, "E-RAY-013")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "SIGTERM"])
def test_on_cancel_the_job_is_deleted(serve: Serve, how: signal.Signals) -> None:
    stub, jobs = serve(script=[RUNNING])

    def stop(_signal: int, _frame: object) -> None:
        raise InterruptedRun("E-RUN-143", "stopped by SIGTERM")

    before = signal.signal(signal.SIGTERM, stop)
    # ignored in what a shell started in the background
    before_int = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), how))
    timer.start()
    try:
        error = failure(jobs)
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, before_int)
    assert (type(error), error.code) == (InterruptedRun, "E-RUN-143")
    assert stub.deleted == [NAME]


def test_a_job_that_cannot_be_deleted_does_not_hide_its_success(
    serve: Serve, events: Events, progress: Callable[..., None]
) -> None:
    stub, jobs = serve(script=[RUNNING, SUCCEEDED])
    jobs.api.budget_seconds = 0.2
    stub.faults += [("DELETE", "503")] * 50
    jobs.run(SPEC, progress=progress)
    assert events[-1][0] == "rayjob_left"


def test_every_pod_is_restricted_and_holds_no_secret() -> None:
    spec = replace(SPEC, gpus=2, placement=Placement({"pool": "gpu"}, [{"operator": "Exists"}], "high", ("pull",)))
    made = rayjob(spec, NAMESPACE)
    cluster = made["spec"]["rayClusterSpec"]
    head, workers = cluster["headGroupSpec"], cluster["workerGroupSpecs"][0]
    for group in (head, workers):
        assert violations(group["template"]["spec"]) == []
        assert group["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "ray"
        assert group["template"]["spec"]["imagePullSecrets"] == [{"name": "pull"}]
        values = [entry["value"] for entry in group["template"]["spec"]["containers"][0]["env"] if "value" in entry]
        assert not [value for value in values if "token" in value or "secret" in value]
    assert head["rayStartParams"]["num-cpus"] == "0", "no worker beside the entrypoint"
    limits = [group["template"]["spec"]["containers"][0]["resources"]["limits"] for group in (head, workers)]
    assert [limit.get("nvidia.com/gpu") for limit in limits] == [None, "2"]
    assert workers["replicas"] == 3
    assert made["metadata"]["ownerReferences"][0]["uid"] == "uid-1"
    assert cluster["authOptions"] == {"mode": "token"}
    named = {
        entry["valueFrom"][kind]["name"]
        for entry in workers["template"]["spec"]["containers"][0]["env"]
        for kind in entry.get("valueFrom", {})
    }
    assert named == {"acclimate-s3", "acclimate-services"}, "workers need no registry"


def test_the_address_of_the_task_is_one_word_of_the_command() -> None:
    made = rayjob(replace(SPEC, record="s3://b/a; rm -rf x/rayjobs/k"), NAMESPACE)
    assert made["spec"]["entrypoint"] == "python -m acclimate.rayjob_entry 's3://b/a; rm -rf x/rayjobs/k'"


def test_kuberays_own_schema_is_checked_where_it_is_there() -> None:
    if not KUBERAYS.is_file():
        pytest.skip(
            f"no {KUBERAYS.name}: set ACCLIMATE_SCHEMAS to the folder of the CustomResourceDefinitions' schemas"
        )
    with kubernetes_stub(KubernetesStub()) as stub:
        broken = rayjob(SPEC, NAMESPACE)
        broken["spec"]["rayClusterSpec"]["headGroupSpec"]["nonsense"] = 1
        with pytest.raises(Refused, match="nonsense"):
            stub.answer("POST", f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs", {}, broken)
        assert stub.violations


def test_the_pod_and_the_chart_say_what_the_job_takes_over(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "me")
    me = pod("me")
    containers = [{"name": "wait", "image": "argo"}, {"name": "main", "image": "acclimate@sha256:1"}]
    me["spec"] = {"containers": containers, "imagePullSecrets": [{"name": "registry"}]}
    overrides = "nodeSelector: {pool: gpu}\ntolerations: [{key: gpu, operator: Exists}]\npriorityClassName: high\n"
    _, jobs = serve(pods={"me": me}, maps={"acclimate-rayjob": {"rayjob-overrides.yaml": overrides}})
    found = this_pod(jobs.api)
    assert found == ThisPod("acclimate@sha256:1", ("me", "uid-me"), ("registry",))
    placement, image = placement_of(jobs.api, found)
    assert image == ""
    assert placement == Placement({"pool": "gpu"}, [{"key": "gpu", "operator": "Exists"}], "high", ("registry",))


@pytest.mark.parametrize("text", ["- a list", "hostNetwork: true", "image: [", "tolerations: {a: b}"])
def test_overrides_that_cannot_be_used_are_refused(serve: Serve, text: str) -> None:
    _, jobs = serve(maps={"acclimate-rayjob": {"rayjob-overrides.yaml": text}})
    with pytest.raises(ConfigError) as caught:
        placement_of(jobs.api, ThisPod("image"))
    assert caught.value.code == "E-RAY-022"


def test_a_pod_that_is_unknown_needs_an_image(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "nobody")
    monkeypatch.delenv("ACCLIMATE_IMAGE", raising=False)
    _, jobs = serve()
    assert this_pod(jobs.api, "mine") == ThisPod("mine")
    assert placement_of(jobs.api, ThisPod("mine")) == (Placement(), "")
    with pytest.raises(ConfigError) as caught:
        this_pod(jobs.api)
    assert caught.value.code == "E-RAY-021"


def test_outside_of_a_pod_there_is_no_api(tmp_path: Path) -> None:
    with pytest.raises(AccessError) as caught:
        KubernetesAccess.of_this_pod(tmp_path)
    assert caught.value.code == "E-RAY-001"
