"""Retraining and prediction as pods: each a process with an empty disk, sharing nothing but S3 and MLflow."""

from __future__ import annotations

import csv
import io
import json
import re
import string
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import boto3
import numpy as np
import pytest

import acclimate
from acclimate.adapters.mlflow_registry import open_registry
from acclimate.adapters.s3_store import S3Store
from acclimate.cluster.preparing import cluster_request
from acclimate.nn.encoder import Encoder
from acclimate.nn.model import AdaptedModel
from acclimate.records_retrain import RetrainDecision
from tests.pipeline.pods import Pods
from tests.pipeline.project import Project, invented_word
from tests.run_records import LABELS, SOURCE, run_records, verdict_of
from tests.servers import mlflow_server

# whichever test comes first waits for all runs before it
pytestmark = pytest.mark.timeout(900)

BUCKET, DATA = "retrain-data", "s3://retrain-data/mail.csv"
READY = "models:/ready-mail@champion"
# the second needs a second look at the same rows, so the first attempt must not cool it down
SETTINGS = (
    "workspace=s3://retrain-workspace/team",
    f"target.data={DATA}",
    "goal.at_least=0.7",
    "finetune.arms=[frozen]",
    "retrain.cool_down_hours=0",
    "retrain.warm_start=champion",
)
NEW_TEXTS = ["abc defg, hijk", 'nop "qrst"\nuvwxyz', "naïve ☃", "", "   ", "mmm nnn", "zzz yyy xxx", "aa bb cc dd"] * 6


@dataclass
class Retraining:
    """What came of one run of the retrain pipeline."""

    action: str
    decision: RetrainDecision
    settled: dict
    page: str
    summary: dict

    @property
    def fired(self):
        return [trigger.name for trigger in self.decision.triggers if trigger.fired]


@dataclass
class Cluster:
    """Pods, the project that is retrained on them, and the address of their registry."""

    pods: Pods
    project: Project
    address: str

    def upload(self):
        boto3.client("s3").upload_file(str(self.project.folder / "mail.csv"), BUCKET, "mail.csv")

    def check(self, run_id, request=None):
        """What the first step decides, and the request that the later ones are to work on."""
        reference, action, settled = self.pods.call("run_check", request or self.pods.request, run_id)
        decision = RetrainDecision.read(S3Store(self.pods.workspace, self.pods.folder / "reader").open(reference))
        return action, decision, settled

    def retrain(self, run_id):
        """The retrain pipeline, in the order of its DAG."""
        action, decision, settled = self.check(run_id)
        if action == "retrain":
            adapt(self.pods.given(settled), run_id)
        page = self.pods.finish(run_id).read_text()
        return Retraining(action, decision, json.loads(settled), page, self.pods.summary(run_id))

    def versions(self):
        return open_registry(self.address, self.pods.folder).versions("toy-mail")


def adapt(pods, run_id):
    data, follow = pods.call("run_ingest", pods.request, run_id)
    assert follow == ""
    with ThreadPoolExecutor() as pool:
        measured = {stage: pool.submit(pods.step, run_id, stage, data=data) for stage in ("gap", "baseline")}
    read = {"data": data, **{stage: future.result() for stage, future in measured.items()}}
    read["decision"], action = pods.call("run_decide", pods.request, run_id, **read)
    frozen = read["baseline"]
    if action == "finetune":
        trained = {name: read[name] for name in ("data", "baseline", "decision")}
        read["candidate"] = pods.step(run_id, "finetune", **trained)
    else:
        read["candidate"] = frozen
    evaluation = pods.step(run_id, "evaluate", data=data, baseline=frozen, candidate=read["candidate"])
    pods.step(run_id, "register", **read, evaluation=evaluation)


def teach_the_alphabet(folder):
    """Let a model tell the alphabet's halves, as pretraining would: then transfer pays without fine-tuning."""
    import torch
    from transformers import AutoTokenizer, BertModel

    model, pieces = BertModel.from_pretrained(folder), AutoTokenizer.from_pretrained(folder).get_vocab()
    direction = torch.randn(model.config.hidden_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for letter in string.ascii_lowercase:
            half = 1 if letter < "n" else -1
            for piece in (letter, f"##{letter}"):
                model.embeddings.word_embeddings.weight[pieces[piece]] += 0.3 * half * direction
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def cluster(tiny_source, s3_endpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("retraining")
    for bucket in ("retrain-workspace", "retrain-artifacts", BUCKET):
        boto3.client("s3").create_bucket(Bucket=bucket)
    project = Project(folder / "project", tiny_source).write_rows(400, purity=0.6)
    teach_the_alphabet(project.folder / "source")
    with mlflow_server(folder / "mlflow", "s3://retrain-artifacts/all") as address:
        found = Cluster(Pods("s3://retrain-workspace/team", "", folder), project, address)
        found.upload()
        settings = [*SETTINGS, f"tracking.uri={address}"]
        request = cluster_request(project.folder / "adaptation.yaml", settings, pipeline="retrain", allow_outside=False)
        found.pods.request = request.to_json()
        yield found


# --- retraining: each run needs what the one before it left ----------------------------------


@pytest.fixture(scope="module")
def first(cluster):
    """The run that finds no champion."""
    return cluster.retrain("first")


@pytest.fixture(scope="module")
def unchanged(cluster, first):
    """A run after it, with nothing changed."""
    return cluster.retrain("unchanged")


@pytest.fixture(scope="module")
def grown(cluster, unchanged):
    """A run after that, with rows added to the data where they lie."""
    rng = np.random.default_rng(11)
    with (cluster.project.folder / "mail.csv").open("a", newline="") as file:
        for label in ("negative", "positive") * 10:
            csv.writer(file).writerow([" ".join(invented_word(label, rng, 0.6) for _ in range(5)), label])
    cluster.upload()
    return cluster.retrain("grown")


@pytest.mark.slow
def test_without_a_champion_the_whole_adaptation_runs_and_makes_one(cluster, first):
    assert (first.action, first.fired) == ("retrain", ["champion"])
    assert first.summary["retrain"] == first.decision.model_dump(mode="json")
    stages = {"check", "ingest", "gap", "baseline", "decide", "evaluate", "register"}
    assert stages <= set(first.summary["seconds"])
    assert (first.summary["verdict"], first.summary["model_uri"]) == ("PROMOTE", "models:/toy-mail/1")
    assert cluster.versions()[0].aliases == ("challenger", "champion")
    assert "PROMOTE" in first.page


@pytest.mark.slow
def test_with_nothing_changed_it_ends_green_after_the_check(cluster, unchanged):
    assert (unchanged.action, unchanged.fired) == ("nothing", [])
    assert unchanged.decision.champion == "models:/toy-mail/1"
    assert unchanged.summary == {"retrain": unchanged.decision.model_dump(mode="json")}
    assert re.search(r"<h1>.*IDLE.*nothing to do.*</h1>", unchanged.page)
    done = [event for event in cluster.pods.events("unchanged", "check") if event["event"] == "stage_done"]
    assert {event["stage"]: event["reused"] for event in done} == {"ingest": True, "drift": False, "check": False}


@pytest.mark.slow
def test_rows_added_where_the_data_lie_train_again_from_the_champion_and_against_it(cluster, grown):
    assert grown.action == "retrain"
    assert grown.fired[0] == "data_version"
    assert grown.settled["adaptation"]["source"]["model"] == "models:/toy-mail/1"
    assert grown.summary["verdict"] in {"PROMOTE", "SHADOW", "HOLD", "REJECT"}
    assert grown.summary["gain"]["over"] == "champion toy-mail/1"
    assert grown.summary["error"] is None


@pytest.mark.slow
def test_pods_that_share_no_disk_know_when_training_was_last_asked_for(cluster, grown):
    patient = json.loads(cluster.pods.request)
    patient["adaptation"]["retrain"]["cool_down_hours"] = 24
    patient["adaptation"]["retrain"]["triggers"]["new_rows"] = 1
    cluster.project.write_rows(440, purity=0.6)
    cluster.upload()
    action, decision, _ = cluster.check("patient", json.dumps(patient))
    assert (action, decision.cooling) == ("nothing", True), decision.reason


# --- prediction -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ready(cluster, tiny_source):
    """The address of a registry that holds the champion :data:`READY`."""
    folder = cluster.pods.folder / "ready"
    encoder = Encoder.load(tiny_source, precision="fp32", max_length=32)
    rng = np.random.default_rng(0)
    head = rng.normal(size=(len(LABELS), encoder.dim)), np.zeros(len(LABELS))
    model = AdaptedModel.build(encoder, *head, LABELS, strategy="frozen", source=SOURCE, temperature=1.7)
    model.save(folder)
    registry = open_registry(cluster.address, cluster.pods.folder)
    records = run_records(name="ready-mail", model_digest=AdaptedModel.load(folder).digest)
    run_id = registry.record_run(records)
    uri = registry.log_model(run_id, records, folder)
    registry.register(records, run_id, uri, verdict_of(records), auto_promote=True)
    return cluster.address


@pytest.fixture
def new_mail(ready):
    """Address of a table without labels."""
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["id", "text"])
    writer.writerows(enumerate(NEW_TEXTS))
    boto3.client("s3").put_object(Bucket=BUCKET, Key="new.csv", Body=table.getvalue().encode())
    return f"s3://{BUCKET}/new.csv"


def keys():
    return {found["Key"] for found in boto3.client("s3").list_objects_v2(Bucket=BUCKET)["Contents"]}


@pytest.mark.slow
def test_a_pod_predicts_every_row_of_a_table_on_s3_as_the_loaded_model_does(
    cluster, ready, new_mail, monkeypatch, tmp_path
):
    out = f"s3://{BUCKET}/out/predicted.csv"
    assert cluster.pods.call("run_predict", cluster.pods.request, "p1", READY, new_mail, out) == out
    body = boto3.client("s3").get_object(Bucket=BUCKET, Key="out/predicted.csv")["Body"].read().decode()
    rows = list(csv.DictReader(io.StringIO(body, newline="")))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", ready)
    model = acclimate.load(READY, tmp_path)
    texts = [row["text"] for row in rows]
    assert texts == NEW_TEXTS
    assert [row["predicted"] for row in rows] == model.predict(texts)
    assert {row["predicted"] for row in rows} == set(LABELS)
    written = [[float(row[f"p_{label}"]) for label in model.labels] for row in rows]
    np.testing.assert_allclose(written, model.predict_proba(texts), atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("wrong", "exit_code", "code", "says"),
    [
        ({"model": "models:/redy-mail@champion"}, 4, "E-REGISTRY-003", "ready-mail"),
        ({"model": "models:/ready-mail@chanpion"}, 4, "E-REGISTRY-003", "champion"),
        ({"data": f"s3://{BUCKET}/no-such.csv"}, 3, "E-DATA-001", "no-such.csv"),
        ({"out": "predicted.csv"}, 2, "E-PREDICT-001", "s3://BUCKET/KEY"),
    ],
)
def test_what_cannot_be_predicted_is_told_by_its_code_and_nothing_is_written(
    cluster, new_mail, request, wrong, exit_code, code, says
):
    before = keys()
    given = {"model": READY, "data": new_mail, "out": f"s3://{BUCKET}/never.csv", **wrong}
    run_id = f"wrong-{code.lower()}-{len(given['model'])}"
    found, _ = cluster.pods.start("run_predict", cluster.pods.request, run_id, *given.values())
    error = cluster.pods.error(run_id, "predict")
    assert (found, error["code"], error["exit_code"]) == (exit_code, code, exit_code)
    assert says in error["where"] + error["hint"]
    assert keys() == before
