"""The retrain pipeline in KFP's local runner: train where there is a reason, else end at once."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from tests.pipeline.project import invented_word

PATIENT = ("-s", "retrain.cool_down_hours=0")


def retrain(project, *more):
    outcome = project.call("retrain", "adaptation.yaml", "--json", *PATIENT, *more)
    assert outcome.code in {0, 10}, outcome.err[-3000:]
    return outcome.json


def of_run(project, stage, run_key):
    folders = (project.workspace / "stages" / stage).iterdir()
    return [folder for folder in folders if json.loads((folder / "manifest.json").read_text())["run_key"] == run_key]


def fired(decision):
    return [trigger["name"] for trigger in decision["triggers"] if trigger["fired"]]


@pytest.mark.slow
def test_nothing_has_changed_so_nothing_is_done(finished, tmp_path):
    project = finished[0].copy(tmp_path / "copy")
    before = len(project.events())
    found = retrain(project)
    assert found["retrain"]["action"] == "nothing"
    assert set(found) == {"retrain"}, "no verdict, no model: it was not trained"
    stages = {event["stage"] for event in project.events()[before:] if event["event"] == "stage_started"}
    assert not stages & {"baseline", "finetune", "evaluate", "register"}


@pytest.mark.slow
def test_new_rows_train_again_and_are_compared_with_the_champion(finished, tmp_path):
    project = finished[0].copy(tmp_path / "copy")
    rng = np.random.default_rng(11)
    with (project.folder / "mail.csv").open("a", newline="") as file:
        rows = [
            (" ".join(invented_word(label, rng, 0.67) for _ in range(5)), label) for label in ("negative", "positive")
        ]
        csv.writer(file).writerows(rows)
    found = retrain(project, "-s", "finetune.arms=[frozen]")
    assert found["retrain"]["action"] == "retrain"
    assert fired(found["retrain"]) == ["data_version"]
    assert found["verdict"] in {"PROMOTE", "SHADOW", "HOLD", "REJECT"}
    assert len({event["stage"] for event in project.events() if event["event"] == "stage_done"}) >= 7


@pytest.mark.slow
def test_without_a_champion_there_is_a_reason(project):
    project.write_rows(400)
    outcome = project.call("retrain", "adaptation.yaml", "--json", "-s", "finetune.arms=[frozen]")
    assert outcome.code in {0, 10}, outcome.err[-3000:]
    assert outcome.json["retrain"]["action"] == "retrain"
    assert "champion" in outcome.json["retrain"]["reason"]


@pytest.mark.slow
def test_a_warm_start_trains_from_the_champion_and_says_so(finished, tmp_path):
    project = finished[0].copy(tmp_path / "copy")
    rng = np.random.default_rng(12)
    with (project.folder / "mail.csv").open("a", newline="") as file:
        for label in ("negative", "positive"):
            text = " ".join(invented_word(label, rng, 0.67) for _ in range(5))
            csv.writer(file).writerow([text, label])
    found = retrain(project, "-s", "finetune.arms=[frozen]", "-s", "retrain.warm_start=champion")
    assert found["retrain"]["source"] == "models:/toy-mail/1"
    if found["model_uri"] is not None:
        traced = project.call("lineage", found["model_uri"].removeprefix("models:/"), "--json")
        assert "toy-mail" in traced.out
    assert of_run(project, "evaluate", found["run_key"]), "the summary speaks of what was trained"
    (baseline,) = of_run(project, "baseline", found["run_key"])
    report = json.loads((baseline / "baseline_report.json").read_text())
    assert report["source_memory"]["known_rows"] >= report["train_rows"] - 2, "the champion was fitted on them itself"
    assert report["source_memory"]["scored_rows"] == 0
    (decided,) = of_run(project, "decide", found["run_key"])
    rules = {rule["rule"]: rule for rule in json.loads((decided / "decision.json").read_text())["rules"]}
    assert rules["R3"]["fired"] is False


@pytest.mark.slow
def test_rows_that_the_source_was_trained_on_are_no_test_of_what_is_made_from_it(finished, tmp_path):
    project = finished[0].copy(tmp_path / "copy")
    rng = np.random.default_rng(13)
    mail = project.folder / "mail.csv"
    with mail.open(newline="") as file:
        header, *rows = csv.reader(file)
    with mail.open("w", newline="") as file:
        splits = rng.choice(["train", "validation", "test"], size=len(rows), p=[0.6, 0.2, 0.2])
        csv.writer(file).writerows(
            [[*header, "part"], *([*row, split] for row, split in zip(rows, splits, strict=True))]
        )
    moved = ("-s", "target.split=part", "-s", "source.model=models:/toy-mail/1", "-s", "finetune.arms=[frozen]")
    outcome = project.run(*moved)
    assert outcome.json["verdict"] == "REJECT", outcome.err[-3000:]
    assert any("look like ones that the source model was trained on" in reason for reason in outcome.json["reasons"])
    assert outcome.json["model_uri"] is None
