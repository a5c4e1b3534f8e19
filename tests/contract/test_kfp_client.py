"""The KFP client against a stub that reads each request into kfp-server-api's models: coded errors, and one effect."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import kfp_server_api
import pytest

from acclimate.adapters import kfp_http
from acclimate.adapters.kfp_access import KfpAccess
from acclimate.adapters.kfp_client import Kfp
from acclimate.adapters.kfp_records import KfpRun
from acclimate.errors import AccessError, AcclimateError, ConfigError, UnavailableError
from tests.kfp_stub import KfpStub, kfp_server

COMPILED = b"pipelineInfo:\n  name: acclimate-adapt\n---\nplatforms: {}\n"
VARIABLES = ("ENDPOINT", "NAMESPACE", "TOKEN", "TOKEN_FILE", "COOKIES", "CA_FILE")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own Kubeflow."""
    for name in VARIABLES:
        monkeypatch.delenv(f"KFP_{name}", raising=False)
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


@pytest.fixture
def stub() -> Iterator[KfpStub]:
    """A single-user KFP."""
    with kfp_server() as server:
        yield server


@pytest.fixture
def kfp(stub: KfpStub) -> Iterator[Kfp]:
    """A client of it with a short budget."""
    with Kfp(KfpAccess.find(stub.endpoint), budget_seconds=1.5, timeout_seconds=0.4) as client:
        yield client


def start(kfp: Kfp, name: str = "mail-1") -> KfpRun:
    version = kfp.pipeline_version("acclimate-adapt", COMPILED)
    return kfp.start_run(name, kfp.experiment("mail"), version, {"request": "{}", "run_id": "1"})


def test_a_run_is_started_with_its_experiment_pipeline_version_and_parameters(kfp: Kfp, stub: KfpStub) -> None:
    run = start(kfp)
    row = stub.runs[run.id]
    assert run.state == "PENDING"
    assert row["runtime_config"]["parameters"] == {"request": "{}", "run_id": "1"}
    assert "service_account" not in row, "KFP's own default has what its launcher and Argo need"
    assert [each["display_name"] for each in stub.experiments.values()] == ["mail"]
    assert next(iter(stub.versions.values()))["name"].startswith("sha256-")


def test_an_answer_too_large_to_read_leaves_no_connection_half_read(
    kfp: Kfp, stub: KfpStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = start(kfp)
    with monkeypatch.context() as patched:
        patched.setattr(kfp_http, "_LARGEST_ANSWER", 10)
        with pytest.raises(UnavailableError):
            kfp.run(run.id)
    stub.seen.clear()
    assert kfp.run(run.id).id == run.id
    assert len(stub.seen) == 1


def test_kfps_own_client_reads_what_was_made(kfp: Kfp, stub: KfpStub) -> None:
    run = start(kfp)
    with kfp_server_api.ApiClient(kfp_server_api.Configuration(host=stub.endpoint)) as theirs:
        seen = kfp_server_api.RunServiceApi(theirs).run_service_get_run(run.id)
        version = seen.pipeline_version_reference
        pipelines = kfp_server_api.PipelineServiceApi(theirs)
        uploaded = pipelines.pipeline_service_get_pipeline_version(version.pipeline_id, version.pipeline_version_id)
        theirs.rest_client.pool_manager.clear()
    assert (seen.display_name, seen.state, seen.runtime_config.parameters["run_id"]) == ("mail-1", "PENDING", "1")
    assert uploaded.name.startswith("sha256-")


def test_the_same_pipeline_and_experiment_are_made_once(kfp: Kfp, stub: KfpStub) -> None:
    start(kfp, "mail-1")
    start(kfp, "mail-2")
    assert (len(stub.experiments), len(stub.pipelines), len(stub.versions), len(stub.runs)) == (1, 1, 1, 2)
    kfp.pipeline_version("acclimate-adapt", COMPILED + b"# changed\n")
    assert (len(stub.pipelines), len(stub.versions)) == (1, 2)


def test_two_that_make_the_same_things_at_once_share_them(stub: KfpStub) -> None:
    failures: list[Exception] = []

    def one(number: int) -> None:
        try:
            with Kfp(KfpAccess.find(stub.endpoint)) as client:
                start(client, f"mail-{number}")
        except AcclimateError as error:
            failures.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert (len(stub.experiments), len(stub.pipelines), len(stub.versions), len(stub.runs)) == (1, 1, 1, 8)


def test_a_service_account_is_named_only_where_it_is_given(kfp: Kfp, stub: KfpStub) -> None:
    experiment, version = kfp.experiment("mail"), kfp.pipeline_version("acclimate-adapt", COMPILED)
    when = {"cron": "0 0 3 * * *", "description": "mine"}
    for account in (None, "trainer"):
        run = stub.runs[kfp.start_run(f"run-{account}", experiment, version, {}, account).id]
        schedule = stub.recurring[kfp.create_schedule(f"one-{account}", experiment, version, {}, account, **when).id]
        assert [row.get("service_account", "absent") for row in (run, schedule)] == [account or "absent"] * 2


@pytest.mark.parametrize("kind", ["429", "500"])
def test_a_passing_fault_is_absorbed_and_leaves_one_run(kfp: Kfp, stub: KfpStub, kind: str) -> None:
    stub.fail(kind, "POST", "runs", times=2)
    run = start(kfp)
    assert list(stub.runs) == [run.id]


def test_a_request_that_came_through_late_is_stopped_beside_its_repetition(kfp: Kfp, stub: KfpStub) -> None:
    """Found only after the repetition: the first stays, the second is terminated."""
    first = start(kfp, "mail-1")
    hidden = stub.runs.pop(first.id)
    stub.fail("503", "POST", "runs")
    answer = stub.answer

    def reappears(method: str, path: str, query: dict[str, str], body: object) -> dict[str, object]:
        found = answer(method, path, query, body)
        if method == "POST" and path.endswith("/runs"):
            stub.runs[first.id] = hidden
        return found

    stub.answer = reappears  # type: ignore[method-assign]
    second = start(kfp, "mail-1")
    assert second.id == first.id
    assert sorted(run["state"] for run in stub.runs.values()) == ["CANCELED", "PENDING"]
    assert stub.runs[first.id]["state"] == "PENDING"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("503", "E-KFP-008"),
        ("429", "E-KFP-008"),
        ("dropped", "E-KFP-001"),
        ("malformed", "E-KFP-010"),
        ("list", "E-KFP-010"),
    ],
)
def test_a_storm_is_given_up_within_the_budget(kfp: Kfp, stub: KfpStub, kind: str, code: str) -> None:
    stub.fail(kind, times=999)
    with pytest.raises(UnavailableError) as caught:
        kfp.run("x")
    assert caught.value.code == code
    assert 2 <= len(stub.seen) < 20


def test_nobody_there_is_an_unreachable_service() -> None:
    with kfp_server() as gone:
        endpoint = gone.endpoint
    with Kfp(KfpAccess.find(endpoint), budget_seconds=0.2) as client, pytest.raises(UnavailableError) as caught:
        client.run("x")
    assert caught.value.code == "E-KFP-001"


def test_plain_http_behind_https_is_a_tls_error_and_not_repeated(stub: KfpStub) -> None:
    access = KfpAccess.find(stub.endpoint.replace("http:", "https:"))
    with Kfp(access, budget_seconds=20) as client, pytest.raises(ConfigError) as caught:
        client.run("x")
    assert caught.value.code == "E-KFP-011"


def test_a_certificate_authority_that_is_no_file_is_a_tls_error(stub: KfpStub, tmp_path: Path) -> None:
    access = KfpAccess(stub.endpoint.replace("http:", "https:"), ca_file=tmp_path / "absent.pem")
    with Kfp(access, budget_seconds=20) as client, pytest.raises(ConfigError) as caught:
        client.run("x")
    assert caught.value.code == "E-KFP-011"


def test_the_token_goes_with_each_request_and_into_no_error(
    kfp: Kfp, stub: KfpStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KFP_TOKEN", "canary-token")
    stub.token = "canary-token"
    start(kfp)
    assert {headers.get("Authorization") for _, _, headers in stub.seen} == {"Bearer canary-token"}
    stub.token = "another"
    with pytest.raises(AccessError) as caught:
        kfp.run("x")
    assert "canary" not in str(caught.value.to_dict())


def test_a_token_file_renewed_in_place_is_read_again(kfp: Kfp, stub: KfpStub, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old\n")
    stub.token = "old"
    with Kfp(KfpAccess(stub.endpoint, token_file=file)) as client:
        client.experiment("mail")
        stub.token = "new"
        file.write_text("new\n")
        client.experiment("post")
    assert len(stub.experiments) == 2


def test_a_token_that_expires_on_the_way_is_read_again_once(stub: KfpStub, tmp_path: Path) -> None:
    class Renewed(KfpAccess):
        def headers(self) -> dict[str, str]:
            found = super().headers()
            file.write_text("new")  # the kubelet renews it just after we have read it
            return found

    file = tmp_path / "token"
    file.write_text("old")
    stub.token = "new"
    with Kfp(Renewed(stub.endpoint, token_file=file)) as client:
        client.experiment("mail")
    assert stub.asked("GET", "healthz") == 2


def test_an_unreadable_token_file_is_named(stub: KfpStub, tmp_path: Path) -> None:
    with Kfp(KfpAccess(stub.endpoint, token_file=tmp_path / "absent")) as client, pytest.raises(AccessError) as caught:
        client.experiment("mail")
    assert caught.value.code == "E-KFP-014"


def test_cookies_go_with_each_request(kfp: Kfp, stub: KfpStub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KFP_COOKIES", "authservice_session=abc")
    kfp.experiment("mail")
    assert {headers.get("Cookie") for _, _, headers in stub.seen} == {"authservice_session=abc"}


def test_a_kfp_for_several_users_is_told_the_namespace() -> None:
    with kfp_server(multi_user=True) as stub:
        with Kfp(KfpAccess.find(stub.endpoint, "team-a")) as client:
            start(client)
            client.runs()
            client.schedules()
        assert {row["namespace"] for row in stub.experiments.values()} == {"team-a"}
        with Kfp(KfpAccess.find(stub.endpoint)) as client, pytest.raises(ConfigError) as caught:
            client.experiment("mail")
        assert caught.value.code == "E-KFP-013"


def test_a_kfp_for_one_user_is_told_none(stub: KfpStub) -> None:
    with Kfp(KfpAccess.find(stub.endpoint, "team-a")) as client:
        start(client)
    assert len(stub.runs) == 1


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "kfp.example.com",
        "ftp://x",
        "http://",
        "http://user:secret@kfp",
        "http://169.254.169.254",
        "http://a b",
        "http://x?y",
    ],
)
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KfpAccess.find(endpoint)
    assert caught.value.code == "E-KFP-012"
    assert "secret" not in str(caught.value.to_dict())


def test_in_a_pod_the_service_in_the_cluster_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one, whatever the namespace of the user: with Kubeflow for several users that is a profile's."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert KfpAccess.find() == KfpAccess("http://ml-pipeline.kubeflow.svc:8888")
    monkeypatch.setenv("KFP_NAMESPACE", "team-a")
    assert KfpAccess.find() == KfpAccess("http://ml-pipeline.kubeflow.svc:8888", "team-a")
    assert KfpAccess.find(namespace="team-b") == KfpAccess("http://ml-pipeline.kubeflow.svc:8888", "team-b")
    monkeypatch.setenv("KFP_ENDPOINT", "https://kfp.example.com/pipeline/")
    assert KfpAccess.find().endpoint == "https://kfp.example.com/pipeline"


def test_all_pages_of_a_list_are_read(kfp: Kfp, stub: KfpStub) -> None:
    for number in range(45):
        start(kfp, f"mail-{number}")
    assert [run.name for run in kfp.runs()] == [f"mail-{number}" for number in reversed(range(45))]
    assert [run.name for run in kfp.runs(limit=3)] == ["mail-44", "mail-43", "mail-42"]


def test_names_that_differ_in_case_only_are_told_apart(kfp: Kfp, stub: KfpStub) -> None:
    assert kfp.experiment("Mail") != kfp.experiment("mail")


def test_a_run_is_stopped_once(kfp: Kfp, stub: KfpStub) -> None:
    run = start(kfp)
    assert kfp.terminate(run.id)
    assert stub.runs[run.id]["state"] == "CANCELED"
    other = start(kfp, "mail-2")
    stub.runs[other.id]["state"] = "SUCCEEDED"
    assert not kfp.terminate(other.id)


def test_a_lost_reply_to_a_stop_is_a_stop(kfp: Kfp, stub: KfpStub) -> None:
    run = start(kfp)
    stub.fail("lost", "POST", ":terminate")
    assert kfp.terminate(run.id)
