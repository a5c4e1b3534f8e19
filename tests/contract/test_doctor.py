"""doctor against real and absent services: each is tried, and what to do is said."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest

from acclimate.adapters.kubernetes_api import KubernetesAccess, KubernetesApi
from acclimate.adapters.mlflow_registry import open_registry
from acclimate.config_file import load_config
from acclimate.diagnosis import doctor, doctor_text, require_rayjobs
from acclimate.errors import AcclimateError
from tests.faulty_proxy import Answer, faulty_proxy
from tests.kfp_stub import kfp_server
from tests.pipeline.project import Project
from tests.run_records import run_records, verdict_of

NOBODY = "http://127.0.0.1:1"
CONFIG = """\
name: toy-mail
source: {{model: source, licence: Apache-2.0}}
target: {{data: {data}}}
workspace: {workspace}
tracking: {{uri: "{registry}"}}
"""


@pytest.fixture(autouse=True)
def no_service(monkeypatch, tmp_path):
    kfp = [f"KFP_{name}" for name in ("ENDPOINT", "NAMESPACE", "TOKEN", "TOKEN_FILE", "COOKIES", "CA_FILE")]
    ray = ["RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"]
    for name in (*kfp, *ray, "MLFLOW_TRACKING_URI", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # Ray looks for a token there
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "home"))


@pytest.fixture
def write(tmp_path, tiny_source):
    project = Project(tmp_path / "project", tiny_source)

    def with_(workspace=".acclimate", data="mail.csv", registry=None, more=""):
        project.write_rows(400)
        path = project.folder / "adaptation.yaml"
        # an S3 workspace needs a server's address; nothing listens on this one
        usual = NOBODY if "://" in workspace else f"sqlite:///{project.folder}/registry.db"
        path.write_text(CONFIG.format(workspace=workspace, data=data, registry=registry or usual) + more)
        return path

    return with_


def checks(path):
    """The checks by name; one that failed always says what to do."""
    found = {check["name"]: check for check in doctor(path)["checks"]}
    assert [check for check in found.values() if not check["ok"] and not check["hint"]] == []
    return found


def code_of(check):
    assert not check["ok"]
    return check["says"].split()[0]


@contextmanager
def answering(answer):
    """A server on loopback: ``answer(method, path, body)`` gives status and body of each answer."""

    class Handler(BaseHTTPRequestHandler):
        def serve(self):
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answer(self.command, urlsplit(self.path).path, json.loads(sent) if sent else None)
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(body if isinstance(body, bytes) else json.dumps(body).encode())

        do_GET = do_POST = serve  # noqa: N815

        def log_message(self, *_):
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_local_project_is_healthy(write):
    found = doctor(write())
    assert found["healthy"], doctor_text(found)
    assert {"workspace", "registry", "source model", "target data"} <= {check["name"] for check in found["checks"]}


def test_conditional_writes_are_tried_and_nothing_is_left(write, bucket):
    import boto3

    found = checks(write(workspace=f"s3://{bucket}/work"))
    assert found["s3"]["ok"], found["s3"]
    left = boto3.client("s3").list_objects_v2(Bucket=bucket).get("Contents", [])
    assert [one["Key"] for one in left if "doctor" in one["Key"]] == []


def test_an_absent_s3_server_is_named_with_what_to_do(write, bucket, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not the secret")
    check = checks(write(workspace=f"s3://{bucket}/work"))["s3"]
    assert (check["ok"], check["says"].split()[0]) == (False, "E-S3-003")
    assert check["hint"]


@pytest.mark.parametrize("ignored", ["If-None-Match", "If-Match"])
def test_a_store_that_ignores_conditions_is_told_apart(write, bucket, s3_endpoint, monkeypatch, ignored):
    """It does every write, so two runs that both create a manifest would both believe to be the first."""
    import boto3

    def written(handler, body):
        if handler.command != "PUT" or ignored not in handler.headers:
            handler.send(handler.forward(body))
            return
        place = urlsplit(handler.path).path.removeprefix(f"/{bucket}/")
        done = behind.put_object(Bucket=bucket, Key=place, Body=body)
        handler.send(Answer(200, {"ETag": done["ETag"]}, b""))

    behind = boto3.client("s3", endpoint_url=s3_endpoint)
    with faulty_proxy(s3_endpoint) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        proxy.spoil(written)
        check = checks(write(workspace=f"s3://{bucket}/work"))["s3"]
    behind.close()
    assert code_of(check) == "E-DOCTOR-001"
    assert "conditional writes" in check["hint"]


def test_a_registry_that_is_down_is_named(write):
    check = checks(write(registry=NOBODY))["registry"]
    assert code_of(check) == "E-REGISTRY-001"
    assert NOBODY in check["says"]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, b"You are not authenticated", "E-REGISTRY-002"),
        (401, {"error_code": "UNAUTHENTICATED", "message": "no"}, "E-REGISTRY-002"),
        (200, b"<!doctype html><title>Log in</title>", "E-REGISTRY-005"),
        (503, b"no healthy upstream", "E-REGISTRY-001"),
    ],
)
def test_a_registry_that_does_not_let_us_in_is_named(write, status, body, code):
    with answering(lambda *_: (status, body)) as address:
        check = checks(write(registry=address))["registry"]
    assert code_of(check) == code
    assert address in check["says"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ("dvc://mail.csv", "E-DVC-002"),
        ("dvc://mail.csv@main?repo=http://127.0.0.1:1/nothing.git", "E-DVC-007"),
    ],
)
def test_a_dvc_repository_that_is_not_there_is_named(write, data, code):
    assert code_of(checks(write(data=data, registry=NOBODY))["target data"]) == code


def test_kubeflow_is_asked_where_it_is_configured(monkeypatch):
    with kfp_server() as stub:
        monkeypatch.setenv("KFP_ENDPOINT", stub.endpoint)
        assert checks(None)["kfp"]["ok"]
        stub.token = "one-that-nobody-gave"
        check = checks(None)["kfp"]
        assert not check["ok"]
        assert "KFP_TOKEN" in check["hint"]


def test_in_a_pod_kubeflow_is_asked_where_submit_would_find_it(monkeypatch):
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KFP_NAMESPACE", "team-a")
    look_up, asked = socket.getaddrinfo, []

    def cluster_dns(host, port, *more, **named):
        """Knows one name more than this machine, as a cluster's DNS does."""
        asked.append((host, port))
        here = urlsplit(stub.endpoint)
        known = (here.hostname, here.port) if (host, port) == ("ml-pipeline.kubeflow.svc", 8888) else (host, port)
        return look_up(*known, *more, **named)

    with kfp_server(multi_user=True) as stub:
        monkeypatch.setattr(socket, "getaddrinfo", cluster_dns)
        check = checks(None)["kfp"]
        assert check["ok"], (check, asked)
        assert stub.asked("GET", "/runs") == 1


@pytest.mark.parametrize(("address", "code"), [("127.0.0.1:1", "E-DOCTOR-002"), ("host:port", "E-DOCTOR-003")])
def test_ray_that_is_not_there(monkeypatch, address, code):
    monkeypatch.setenv("RAY_ADDRESS", address)
    check = checks(None)["ray"]
    assert (check["ok"], check["says"].split()[0]) == (False, code)


@pytest.mark.parametrize(
    ("variables", "ok", "hint"),
    [
        ({}, True, ""),
        ({"RAY_AUTH_TOKEN": "t", "RAY_AUTH_MODE": "token"}, True, ""),
        ({"RAY_AUTH_TOKEN": "t"}, True, "RAY_AUTH_MODE is not set"),
        ({"RAY_AUTH_TOKEN": "t", "RAY_AUTH_MODE": "disabled"}, True, "RAY_AUTH_MODE is 'disabled'"),
        ({"RAY_AUTH_MODE": "token"}, False, "set RAY_AUTH_TOKEN"),
    ],
)
def test_a_token_that_ray_would_pass_over_or_lacks_is_told(monkeypatch, variables, ok, hint):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{listening.getsockname()[1]}")
        check = checks(None)["ray"]
    assert check["ok"] == ok
    assert hint in check["hint"] if hint else check["hint"] == ""
    assert ok or code_of(check) == "E-DOCTOR-005"


# --- RayJobs ---------------------------------------------------------------------------------------------------------

KINDS = {"kind": "APIResourceList", "resources": [{"name": "rayclusters"}, {"name": "rayjobs"}]}
NEEDED = {("ray.io", "rayjobs", "create"), ("ray.io", "rayjobs", "get"), ("ray.io", "rayjobs", "delete")}


def asked_of_kubernetes(kinds, denied=()):
    """Kubernetes' API: which kinds of ``ray.io`` it has, and what our account may not."""

    def answer(method, path, body):
        if (method, path) == ("GET", "/apis/ray.io/v1"):
            return (200, kinds) if kinds else (404, b"404 page not found")
        assert (method, path) == ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
        assert (body["apiVersion"], body["kind"]) == ("authorization.k8s.io/v1", "SelfSubjectAccessReview")
        wanted = body["spec"]["resourceAttributes"]
        assert set(wanted) == {"namespace", "group", "resource", "verb"}
        assert wanted["namespace"] == "team"
        asked = (wanted["group"], wanted["resource"], wanted["verb"])
        answer.asked.add(asked)
        return 201, {**body, "status": {"allowed": asked not in denied}}

    answer.asked = set()
    return answer


def required(server):
    return require_rayjobs(KubernetesApi(KubernetesAccess(server, "team"), budget_seconds=0.3))


def test_rayjobs_that_can_be_made_are_found_without_making_one():
    kubernetes = asked_of_kubernetes(KINDS)
    with answering(kubernetes) as server:
        assert required(server) == "RayJobs can be made in team"
    assert kubernetes.asked >= NEEDED


@pytest.mark.parametrize(
    ("kubernetes", "code", "says"),
    [
        (asked_of_kubernetes(None), "E-RAY-002", "operator"),
        (asked_of_kubernetes({"resources": [{"name": "rayclusters"}]}), "E-RAY-002", "operator"),
        (asked_of_kubernetes(KINDS, denied=[("ray.io", "rayjobs", "create")]), "E-DOCTOR-004", "create rayjobs"),
        (asked_of_kubernetes(KINDS, denied=NEEDED), "E-DOCTOR-004", "get rayjobs, delete rayjobs"),
        (lambda *_: (401, {"message": "Unauthorized"}), "E-RAY-004", "token"),
        (lambda *_: (503, b"no"), "E-RAY-007", "reached"),
    ],
)
def test_what_keeps_rayjobs_from_being_made_is_named(kubernetes, code, says):
    with answering(kubernetes) as server, pytest.raises(AcclimateError) as caught:
        required(server)
    assert caught.value.code == code
    assert says in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("workers", "variables", "is_checked"),
    [
        (2, {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}, True),
        (2, {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "RAY_ADDRESS": ""}, True),
        (2, {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "RAY_ADDRESS": "auto"}, False),
        ("[1, 2]", {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}, True),
        (1, {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}, False),
        ("[1, 1]", {"KUBERNETES_SERVICE_HOST": "127.0.0.1"}, False),
        (2, {}, False),
    ],
)
def test_rayjobs_are_looked_at_where_training_would_make_one(write, monkeypatch, workers, variables, is_checked):
    """This process has no service account, which is what it then finds."""
    for name, value in {**variables, "KFP_ENDPOINT": NOBODY}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("acclimate.diagnosis.BUDGET_SECONDS", 0.1)
    found = checks(write(registry=NOBODY, more=f"compute: {{workers: {workers}}}\n"))
    assert ("rayjobs" in found) == is_checked
    if is_checked:
        assert code_of(found["rayjobs"]) == "E-RAY-001"


# --- data ------------------------------------------------------------------------------------------------------------


def test_data_that_cannot_be_found_make_it_unhealthy(write, bucket):
    found = doctor(write(data=f"s3://{bucket}/nothing.csv"))
    check = next(check for check in found["checks"] if check["name"] == "target data")
    assert not found["healthy"]
    assert not check["ok"]
    assert json.dumps(found)


def test_fresh_rows_are_looked_for_too(write, bucket):
    """A schedule that can't read them would fail in its first step, night after night."""
    absent = checks(write(registry=NOBODY, more=f"retrain: {{fresh: {{data: 's3://{bucket}/nothing.csv'}}}}\n"))
    assert code_of(absent["fresh data"]) == "E-DATA-001"
    assert f"s3://{bucket}/nothing.csv" in absent["fresh data"]["says"]
    assert checks(write(registry=NOBODY, more="retrain: {fresh: {data: mail.csv}}\n"))["fresh data"]["ok"]


def test_a_champion_that_was_moved_by_hand_or_deleted_and_what_was_cut_off_are_told(write, tmp_path):
    path = write()
    uri = f"sqlite:///{path.parent}/registry.db"
    registry = open_registry(uri, path.parent / ".acclimate")
    name = load_config(path).config.name
    assert checks(path)["champion"]["says"] == f"{name} has no versions yet"
    for key, comparator in (("one", "baseline"), ("two", f"champion models:/{name}/1")):
        records = run_records(key, name=name, comparator=comparator)
        folder = tmp_path / key
        folder.mkdir()
        (folder / "config.json").write_text(key)
        run_id = registry.record_run(records)
        stored = registry.log_model(run_id, records, folder)
        registry.register(records, run_id, stored, verdict_of(records), auto_promote=key == "one")
    assert checks(path)["champion"]["says"].startswith("version 1, by ")
    client = registry._connection.client
    client.set_registered_model_alias(name, "champion", "2")
    found = checks(path)["champion"]
    assert code_of(found) == "E-PROMOTE-004"
    assert f"acclimate rollback {name} --to 1" in found["hint"]
    client.set_registered_model_alias(name, "champion", "1")
    head = client.get_registered_model(name).tags["acclimate.promotion_head"]
    registry.shadow(f"{name}/2", "ann", "beside it")
    # as an act leaves it that was cut off before the registry heard of it
    client.set_registered_model_tag(name, "acclimate.promotion_head", head)
    found = checks(path)["champion"]
    assert code_of(found) == "E-PROMOTE-011"
    assert "entry 2 (shadow 2)" in found["says"]
    client.delete_model_version(name, "1")
    client.delete_model_version(name, "2")
    found = checks(path)["champion"]
    assert code_of(found) == "E-PROMOTE-004"
    assert "version 1, the champion by the promotion log, was deleted" in found["says"]
    assert f"acclimate rollback {name} --to none" in found["hint"]


def test_a_challenger_that_neither_the_gate_nor_an_act_made_one_is_told(write, tmp_path):
    path = write()
    registry = open_registry(f"sqlite:///{path.parent}/registry.db", path.parent / ".acclimate")
    name = load_config(path).config.name
    assert checks(path)["challenger"]["says"] == f"{name} has no challenger"
    held = {"if_approved": "PROMOTE"}
    for key, verdict, more in (("one", "SHADOW", {}), ("two", "HOLD", held)):
        records = run_records(key, name=name)
        folder = tmp_path / key
        folder.mkdir()
        (folder / "config.json").write_text(key)
        run_id = registry.record_run(records)
        stored = registry.log_model(run_id, records, folder)
        judged = verdict_of(records, verdict).model_copy(update=more)
        registry.register(records, run_id, stored, judged, auto_promote=False)
    assert checks(path)["challenger"]["says"] == "version 1, which the gate lets run beside the champion"
    client = registry._connection.client
    client.set_registered_model_alias(name, "challenger", "2")
    found = checks(path)["challenger"]
    assert code_of(found) == "E-PROMOTE-014"
    assert "version 2" in found["says"]
    assert "its verdict is HOLD" in found["says"]
    registry.shadow(f"{name}/2", "ann", "beside it, until it is approved")
    assert checks(path)["challenger"]["says"] == "version 2, which the gate lets run beside the champion"
    registry.recall(f"{name}/2", "ann", "its data was poisoned")
    client.set_registered_model_alias(name, "challenger", "2")
    assert "version 2, which may not run beside the champion: it was recalled" in checks(path)["challenger"]["says"]
