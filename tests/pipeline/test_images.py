"""The whole pipeline on images: from a folder of images to a registered model that predicts a folder."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from acclimate.examples import read_examples
from acclimate.records import Evaluation, FinetuneReport
from tests.pipeline.project import Outcome, Project
from tests.toy_images import toy_image, write_image_source

CONFIG = """\
name: stripes
task: image-classification
source: {model: source, licence: Apache-2.0, reference: {data: reference}}
target: {data: target}
goal: {metric: accuracy, at_least: 0.99, at_least_by: point}
gap: {null_pairs: 50, draws: 5, permutations: 99}
baseline: {bootstraps: 200}
finetune:
  arms: [lora, full]
  max_epochs: 2
  lora: {learning_rate: 0.005}
  full: {learning_rate: 0.001}
evaluate: {bootstraps: 200}
gate: {auto_promote: true}
compute: {precision: fp32}
"""
KINDS = ("across", "along", "both")


def write_folder(folder: Path, rows: int, seed: int, **look: int) -> None:
    rng = np.random.default_rng(seed)
    for i in range(rows):
        file = folder / KINDS[i % 3] / f"{i:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(toy_image(i % 3, rng, **look))


@pytest.fixture(scope="module")
def stripes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Outcome]:
    base = tmp_path_factory.mktemp("stripes")
    project = Project(base / "project", write_image_source(base / "source", "resnet"))
    write_folder(project.folder / "target", 1500, 1, contrast=15)
    write_folder(project.folder / "reference", 300, 2, contrast=50, light=10)
    (project.folder / "adaptation.yaml").write_text(CONFIG)
    return project, project.run()


@pytest.mark.slow
def test_images_are_trained_on_evaluated_and_registered(stripes: tuple[Project, Outcome]) -> None:
    project, outcome = stripes
    found = outcome.json
    assert outcome.code == (0 if found["verdict"] in {"PROMOTE", "SHADOW"} else 10), outcome.err[-3000:]
    assert found["decision"]["rule"] == "R5"
    report = FinetuneReport.read(project.stage_folder("finetune"))
    assert {arm.strategy for arm in report.arms} >= {"frozen", "lora", "full"}
    assert report.source_score is not None
    evaluation = Evaluation.read(project.stage_folder("evaluate"))
    assert {"pixels", "histogram", "majority"} <= {row.other for row in evaluation.comparisons}
    assert evaluation.retention is not None
    assert evaluation.errors
    assert all(row.image.startswith("data:image/png;base64,") for row in evaluation.errors)
    page = (project.folder / found["report_path"]).read_text()
    assert "The images themselves" in page
    assert page.count("data:image/png;base64,") >= 20
    assert "word counts" not in page


@pytest.mark.slow
def test_a_second_run_reuses_everything(stripes: tuple[Project, Outcome], tmp_path: Path) -> None:
    project = stripes[0].copy(tmp_path / "copy")
    again = project.run()
    assert again.code == stripes[1].code
    assert again.err.count('"reused": true') == 7
    assert again.json["run_key"] == stripes[1].json["run_key"]
    # one more image is other data
    write_folder(project.folder / "target", 1501, 1, contrast=15)
    planned = project.call("plan", "adaptation.yaml", "--json")
    assert planned.json["run_key"] != stripes[1].json["run_key"]


@pytest.mark.slow
def test_predictions_of_a_folder_are_those_that_were_evaluated(
    stripes: tuple[Project, Outcome], tmp_path: Path
) -> None:
    import pyarrow.parquet

    project, outcome = stripes
    stored = pyarrow.parquet.read_table(project.stage_folder("evaluate") / "predictions.parquet").to_pylist()
    rows = read_examples(project.stage_folder("ingest"), "target", ["test"], None)
    for i, image in enumerate(rows.inputs):
        (tmp_path / f"{i:04}.png").write_bytes(image)
    model = outcome.json["model_uri"] or str(project.stage_folder("finetune") / "arms" / "full" / "model")
    done = project.call("predict", model, str(tmp_path))
    assert done.code == 0, done.err
    found = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["file"].rsplit("/", 1)[-1] for row in found] == [f"{i:04}.png" for i in range(len(stored))]
    assert [row["predicted"] for row in found] == [row["predicted:candidate"] for row in stored]
    alone = project.call("predict", model, str(tmp_path / "0003.png"), "--json")
    assert json.loads(alone.out)["rows"][0]["label"] == stored[3]["predicted:candidate"]
    refused = project.call("predict", model, str(tmp_path), "--text", "x")
    assert (refused.code, "E-PREDICT-002" in refused.err) == (2, True)
