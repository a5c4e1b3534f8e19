"""A prediction from the command that submits it to the object it writes: only Kubeflow Pipelines is a stand-in."""

import csv
import io
from contextlib import closing
from urllib.parse import urlsplit

import boto3
import pytest

from acclimate.adapters.s3_store import S3Store
from acclimate.cluster.submitting import submit
from acclimate.single_stage import run_stage
from tests.kfp_stub import kfp_server
from tests.pipeline.pods import Pods

IMAGE = "registry.example.com/acclimate@sha256:" + "a" * 64
ROWS = 5


@pytest.fixture
def cluster(project, bucket, tmp_path, monkeypatch):
    """A workspace on S3 with a finished baseline, and the settings that name it."""
    monkeypatch.setenv("ACCLIMATE_HOME", str(tmp_path / "laptop"))
    monkeypatch.setenv("ACCLIMATE_IMAGE", IMAGE)
    for name in ("KFP_TOKEN", "KFP_TOKEN_FILE", "KFP_COOKIES", "KFP_SERVICE_ACCOUNT", "KUBERNETES_SERVICE_HOST"):
        monkeypatch.delenv(name, raising=False)
    project.write_rows(400)
    workspace = f"s3://{bucket}/team"
    # a shared workspace needs a registry's address, though a model of a run is in none
    settings = [f"workspace={workspace}", "tracking.uri=http://127.0.0.1:1"]
    run_stage("ingest", project.folder / "adaptation.yaml", settings)
    baseline = run_stage("baseline", project.folder / "adaptation.yaml", settings)
    with closing(S3Store(workspace)) as store:
        return workspace, settings, store.reference(baseline)


def test_a_submitted_prediction_writes_its_rows(cluster, project, tmp_path, monkeypatch):
    workspace, settings, model = cluster
    (project.folder / "new.csv").write_text("".join(["text\n", *(f"abcde fghij {i}\n" for i in range(ROWS))]))
    monkeypatch.chdir(project.folder)
    out = f"{workspace}/predicted/new.csv"
    pods = Pods(workspace, "", tmp_path)

    def step(event, **fields):
        """KFP's part: start the one step in a pod, with the parameters that it was sent."""
        if event == "submitted":
            run = stub.runs[fields["run_id"]]
            monkeypatch.setenv("KFP_RUN_ID", fields["run_id"])
            assert pods.call("run_predict", **run["runtime_config"]["parameters"]) == out
            run["state"] = "SUCCEEDED"

    given = {"model": model, "data": "new.csv", "out": out}
    with kfp_server() as stub:
        monkeypatch.setenv("KFP_ENDPOINT", stub.endpoint)
        found = submit(
            "adaptation.yaml", settings, pipeline="predict", **given, wait=True, progress=step, poll_seconds=0.01
        )
    assert (found.exit_code, found.summary) == (0, {"rows": ROWS, "path": out})
    place = urlsplit(out)
    body = boto3.client("s3").get_object(Bucket=place.netloc, Key=place.path.lstrip("/"))["Body"].read().decode()
    rows = list(csv.DictReader(io.StringIO(body)))
    assert [row["text"] for row in rows] == [f"abcde fghij {i}" for i in range(ROWS)]
    assert {row["predicted"] for row in rows} <= {"negative", "positive"}
