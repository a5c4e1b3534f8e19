"""In-domain pretraining from a pool to a registered model, by the command line."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from acclimate.examples import read_examples
from acclimate.records import DataCard, FinetuneReport
from tests.pipeline.project import Project, invented_word

CONFIG = """\
name: toy-mail
source: {model: source, licence: Apache-2.0}
target: {data: mail.csv, text: text, label: label}
pool: {data: pool.csv, text: body, licence: CC0-1.0}
goal: {metric: accuracy, at_least: 0.99, min_gain: 0}
gap: {null_pairs: 50, draws: 5, permutations: 99}
baseline: {bootstraps: 200}
finetune:
  arms: [tapt]
  max_epochs: {tapt: 4, scratch: 1}
  tapt: {pretraining_epochs: 3, pretraining_learning_rate: 0.001}
evaluate: {bootstraps: 200}
gate: {auto_promote: true}
compute: {precision: fp32}
"""


def write(path: Path, header: list[str], rows: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.fixture
def project(tmp_path: Path, tiny_source: Path) -> Project:
    """Labelled mails, and a pool of 900 other texts in which 40 of the mails stand in capitals."""
    made = Project(tmp_path / "project", tiny_source).write_rows(800)
    (made.folder / "adaptation.yaml").write_text(CONFIG)
    rng = np.random.default_rng(11)
    kinds = [("negative", "positive")[i % 2] for i in range(900)]
    texts = [" ".join(invented_word(kind, rng, 0.67) for _ in range(5)) for kind in kinds]
    with (made.folder / "mail.csv").open(newline="") as file:
        mails = [row["text"] for row in csv.DictReader(file)]
    write(made.folder / "pool.csv", ["body"], [[text] for text in (*texts, *(mail.upper() for mail in mails[:40]))])
    return made


@pytest.mark.slow
def test_a_model_is_pretrained_on_the_pool_judged_and_registered(project: Project) -> None:
    outcome = project.run()
    assert outcome.code in {0, 10}, outcome.err[-3000:]
    found = outcome.json
    card = DataCard.read(project.stage_folder("ingest"))
    assert card.pool is not None
    assert (card.pool.rows_kept, card.pool.licence) == (900, "CC0-1.0")
    assert card.pool.held_out_rows_dropped + card.pool.train_copies_dropped == 40
    assert card.pool.held_out_rows_dropped > 5
    arms = {arm.strategy: arm for arm in FinetuneReport.read(project.stage_folder("finetune")).arms}
    done = arms["tapt"].pretraining
    assert done is not None
    train = read_examples(project.stage_folder("ingest"), "target", ["train"], None)
    assert (done.rows + done.held_out_rows, done.pool_rows) == (900 + len(train), 900)
    assert done.loss_after < done.loss_before
    timing = json.loads((project.stage_folder("finetune") / "timing.json").read_text())
    assert 0 < timing["tapt.pretraining"] < timing["tapt"]
    epochs = [event["schedule"] for event in project.events() if event["event"] == "epoch"]
    assert epochs[:3] == ["pretraining"] * 3
    assert set(epochs[3:]) == {"linear"}
    page = Path(found["report_path"]).read_text()
    assert "Pretrained on in-domain texts: tapt" in page
    verdict = json.loads((project.stage_folder("register") / "verdict.json").read_text())
    checks = {check["name"]: check for check in verdict["checks"]}
    assert checks["leakage"]["numbers"]["pool_overlap_rows"] == 0
    assert (checks["licence"]["required"], checks["licence"]["numbers"]["pool.licence"]) == (True, "CC0-1.0")
    traced = project.call("lineage", "toy-mail", "--json") if found["model_uri"] else None
    if traced is not None:
        assert card.pool.digest in json.dumps(traced.json)
    # the pool is a part of what makes an adaptation the same
    with (project.folder / "pool.csv").open("a", newline="") as file:
        csv.writer(file).writerow(["one more text of the domain"])
    assert project.call("plan", "adaptation.yaml", "--json").json["run_key"] != found["run_key"]
    made = {
        stage: len(list((project.workspace / "stages" / stage).iterdir())) for stage in ("ingest", "gap", "baseline")
    }
    assert made == {"ingest": 2, "gap": 1, "baseline": 1}, "what does not read the pool is not made again"
