"""doctor against real and absent services: each is tried, and what to do is said."""

from __future__ import annotations

import json

import pytest

from acclimate.diagnosis import doctor, doctor_text
from tests.kfp_stub import kfp_server
from tests.pipeline.project import Project

CONFIG = """\
name: toy-mail
source: {{model: source, licence: Apache-2.0}}
target: {{data: {data}}}
workspace: {workspace}
tracking: {{uri: "{registry}"}}
"""


@pytest.fixture(autouse=True)
def no_service(monkeypatch, tmp_path):
    for name in ("KFP_ENDPOINT", "RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "home"))


@pytest.fixture
def write(tmp_path, tiny_source):
    project = Project(tmp_path / "project", tiny_source)

    def with_(workspace=".acclimate", data="mail.csv"):
        project.write_rows(400)
        path = project.folder / "adaptation.yaml"
        # an S3 workspace needs a server's address; nothing listens on this one
        registry = "http://127.0.0.1:1" if "://" in workspace else f"sqlite:///{project.folder}/registry.db"
        path.write_text(CONFIG.format(workspace=workspace, data=data, registry=registry))
        return path

    return with_


def checks(path):
    return {check["name"]: check for check in doctor(path)["checks"]}


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


def test_kubeflow_is_asked_where_it_is_configured(monkeypatch):
    with kfp_server() as stub:
        monkeypatch.setenv("KFP_ENDPOINT", stub.endpoint)
        assert checks(None)["kfp"]["ok"]
        stub.token = "one-that-nobody-gave"
        check = checks(None)["kfp"]
        assert not check["ok"]
        assert "KFP_TOKEN" in check["hint"]


@pytest.mark.parametrize(("address", "code"), [("127.0.0.1:1", "E-DOCTOR-002"), ("host:port", "E-DOCTOR-003")])
def test_ray_that_is_not_there(monkeypatch, address, code):
    monkeypatch.setenv("RAY_ADDRESS", address)
    check = checks(None)["ray"]
    assert (check["ok"], check["says"].split()[0]) == (False, code)


def test_data_that_cannot_be_found_make_it_unhealthy(write, bucket):
    found = doctor(write(data=f"s3://{bucket}/nothing.csv"))
    check = next(check for check in found["checks"] if check["name"] == "target data")
    assert not found["healthy"]
    assert not check["ok"]
    assert json.dumps(found)
