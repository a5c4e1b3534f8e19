"""The whole pipeline on a tiny random model, through the command line and KFP's local runner."""

import csv
import json
from pathlib import Path

import pytest

from acclimate.records import Evaluation, FinetuneReport, Manifest, Registration

STAGES = ("ingest", "gap", "baseline", "decide", "finetune", "evaluate", "register")


def test_a_run_ends_with_a_registered_model_and_a_report(finished):
    project, outcome = finished
    assert outcome.code == 0, outcome.err[-3000:]
    found = outcome.json
    assert found["decision"]["rule"] == "R5"
    assert {arm["strategy"] for arm in found["arms"]} >= {"frozen", "lora", "full"}
    assert [arm["chosen"] for arm in found["arms"]].count(True) == 1
    assert found["model_uri"] == "models:/toy-mail/1"
    assert found["gap"]["verdict"] == "NO_REFERENCE"
    assert set(found["seconds"]) == set(STAGES)
    assert project.folder.joinpath(found["report_path"]).is_file()


def test_every_number_of_the_summary_is_a_record_s(finished):
    project, outcome = finished
    evaluation = Evaluation.read(project.stage_folder("evaluate"))
    report = FinetuneReport.read(project.stage_folder("finetune"))
    result = outcome.json["result"]
    assert (result["score"], result["score_low"], result["score_high"]) == (
        evaluation.score.point,
        evaluation.score.low,
        evaluation.score.high,
    )
    assert {arm["strategy"]: arm["score"] for arm in outcome.json["arms"]} == {
        arm.strategy: arm.score.point for arm in report.arms
    }


def test_every_stage_has_one_folder_with_a_manifest_of_this_run_key(finished):
    project, outcome = finished
    for stage in STAGES:
        manifest = Manifest.read(project.stage_folder(stage))
        assert manifest.stage == stage
        assert manifest.run_key == (None if stage == "ingest" else outcome.json["run_key"])


def test_nothing_is_left_in_the_temporary_folder(finished):
    project, _ = finished
    assert list((project.workspace / "tmp").iterdir()) == []


def test_the_registry_knows_the_model_and_the_way_back_to_its_source(finished):
    project, outcome = finished
    listing = project.call("models", "toy-mail", "--json").json
    assert [(v["version"], v["run_key"], sorted(v["aliases"])) for v in listing["versions"]] == [
        (1, outcome.json["run_key"], ["challenger", "champion"])
    ]
    traced = project.call("lineage", "toy-mail@champion", "--json")
    assert traced.code == 0, traced.err
    assert "source--source" in json.dumps(traced.json)
    assert outcome.json["run_key"] in json.dumps(traced.json)


def test_mlflows_own_pages_show_the_stages_the_figures_and_the_report(finished):
    from mlflow import MlflowClient

    project, outcome = finished
    client = MlflowClient(f"sqlite:///{project.workspace / 'mlflow.db'}")
    run = client.get_run(Registration.read(project.stage_folder("register")).mlflow_run_id)
    below = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    assert {one.info.run_name for one in below} == {*STAGES, "gate"} - {"register"}
    assert all(one.info.status == "FINISHED" for one in below)
    assert all(one.info.end_time > one.info.start_time for one in below if one.info.run_name != "gate")
    took = sum(value for stage, value in outcome.json["seconds"].items() if stage != "register")
    assert (run.info.end_time - run.info.start_time) / 1000 == pytest.approx(took, abs=30)
    assert {"report.html", "figures", "records", "tables"} <= {
        one.path for one in client.list_artifacts(run.info.run_id)
    }
    assert {"figures/arms.svg", "figures/comparisons.svg"} <= {
        one.path for one in client.list_artifacts(run.info.run_id, "figures")
    }


def test_the_gate_explains_its_verdict_from_the_registry(finished):
    project, outcome = finished
    sealed = json.loads((project.stage_folder("register") / "verdict.json").read_text())
    found = project.call("gate", "explain", "toy-mail@champion", "--json").json
    assert found["model_uri"] == outcome.json["model_uri"]
    assert {name: found[name] for name in ("verdict", "policy", "checks", "reasons")} == {
        name: sealed[name] for name in ("verdict", "policy", "checks", "reasons")
    }
    text = project.call("gate", "explain", "toy-mail").out
    assert text.startswith("models:/toy-mail/1 (challenger, champion): PROMOTE by policy standard")
    for check in sealed["checks"]:
        (line,) = [line for line in text.splitlines() if f" {check['name']} " in line and check["says"] in line]
        assert ("required" if check["required"] else "reported") in line


@pytest.mark.slow
def test_the_verdict_can_be_computed_again_from_the_registry(finished):
    project, outcome = finished
    found = project.call("gate", "replay", "toy-mail@champion", "--json")
    assert found.code == 0, found.err
    sealed = json.loads((project.stage_folder("register") / "verdict.json").read_text())
    assert (found.json["verdict"], found.json["agrees"]) == (sealed["verdict"], True)
    assert found.json["score"] == outcome.json["result"]["score"]
    assert found.json["checks"] == {check["name"]: check["outcome"] for check in sealed["checks"]}
    text = project.call("gate", "replay", "toy-mail").out
    assert text.startswith("models:/toy-mail/1: PROMOTE, computed again and the same")


def test_predict_gives_the_labels_that_were_evaluated(finished, tmp_path):
    import pyarrow.parquet

    project, _ = finished
    stored = pyarrow.parquet.read_table(project.stage_folder("evaluate") / "predictions.parquet").to_pylist()
    from acclimate.examples import read_examples

    test = read_examples(project.stage_folder("ingest"), "target", ["test"], None)
    with (tmp_path / "texts.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["text"], *([text] for text in test.texts)])
    out = tmp_path / "out.csv"
    done = project.call("predict", "models:/toy-mail@champion", str(tmp_path / "texts.csv"), "-o", str(out))
    assert done.code == 0, done.err
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted"] for row in rows] == [row["predicted:candidate"] for row in stored]


@pytest.mark.slow
def test_the_champion_is_exported_for_other_programs(finished, tmp_path):
    project, _ = finished
    done = project.call("export", "models:/toy-mail@champion", str(tmp_path / "out"), "--json")
    assert done.code == 0, done.err
    assert done.err == ""
    assert done.json["largest_difference"] < 1e-4
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json"} <= done.json["files"].keys()
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# How to use this folder" in card
    assert card.startswith("---"), "the model's own card comes first"
    again = project.call("export", "models:/toy-mail@champion", str(tmp_path / "out"))
    assert (again.code, "E-EXPORT-001" in again.err) == (2, True)


def test_a_rerun_reuses_every_stage_and_registers_nothing(finished, tmp_path):
    project = finished[0].copy(tmp_path / "copy")
    before = len(project.events())
    again = project.run()
    assert again.code == 0, again.err[-2000:]
    done = [event for event in project.events()[before:] if event["event"] == "stage_done"]
    assert sorted((event["stage"], event["reused"]) for event in done) == [(stage, True) for stage in sorted(STAGES)]
    assert len(project.call("models", "toy-mail", "--json").json["versions"]) == 1
    assert again.json["model_uri"] == "models:/toy-mail/1"


@pytest.mark.slow
def test_another_policy_reruns_from_register_on(finished, tmp_path):
    project = finished[0].copy(tmp_path / "copy")
    before = len(project.events())
    again = project.run("-s", "gate.margin=0.02")
    done = [event for event in project.events()[before:] if event["event"] == "stage_done"]
    assert [event["stage"] for event in done if not event["reused"]] == ["register"], again.err[-2000:]
    assert len(project.call("models", "toy-mail", "--json").json["versions"]) == 1


@pytest.mark.slow
def test_a_licence_that_is_stated_later_is_judged_and_nothing_is_trained_again(finished, tmp_path):
    project = finished[0].copy(tmp_path / "copy")
    before = len(project.events())
    policy = {"name": "free", "checks": {"licence": {"at_most": "copyleft"}}}
    (project.folder / "free.yaml").write_text(json.dumps(policy))
    again = project.run("-s", "target.licence=CC-BY-NC-4.0", "-s", "gate.policy=free.yaml")
    done = [event for event in project.events()[before:] if event["event"] == "stage_done"]
    assert [event["stage"] for event in done if not event["reused"]] == ["ingest", "decide", "register"]
    assert (again.code, again.json["verdict"]) == (10, "REJECT"), again.err[-2000:]
    assert "version 1 of this run key holds these weights and is still the champion" in again.json["next_step"].lower()


@pytest.mark.slow
def test_a_baseline_that_is_good_enough_is_never_trained_further(project):
    project.write_rows(purity=0.85)
    outcome = project.run("-s", "goal.at_least=0.6")
    assert outcome.code == 0, outcome.err[-2000:]
    assert outcome.json["decision"] == {"strategy": "frozen", "rule": "R3"}
    assert [arm["strategy"] for arm in outcome.json["arms"]] == ["frozen"]
    assert "finetune" not in {event.get("stage") for event in project.events()}
    assert not (project.workspace / "stages" / "finetune").exists()


@pytest.mark.slow
def test_shuffled_labels_register_nothing_and_say_why(project):
    project.write_rows(shuffled=True)
    outcome = project.run("-s", "goal.at_least=0.9", "-s", "finetune.max_epochs=2")
    assert outcome.code == 10, outcome.err[-2000:]
    assert outcome.json["verdict"] == "REJECT"
    assert outcome.json["model_uri"] is None
    assert outcome.json["next_step"]
    assert project.call("models", "toy-mail", "--json").json["versions"] == []


def test_bad_data_end_with_their_own_code_and_no_traceback(project):
    (project.folder / "mail.csv").write_text("text,label\nonly one row,positive\n")
    outcome = project.run()
    assert outcome.code == 3
    error = outcome.json["error"]
    assert error["code"].startswith("E-DATA-")
    assert error["where"]
    assert error["hint"]
    assert "Traceback" not in outcome.err


@pytest.mark.slow
def test_the_plan_trains_nothing(project):
    project.write_rows()
    outcome = project.call("plan", "adaptation.yaml", "--json")
    assert outcome.code == 0, outcome.err[-2000:]
    assert outcome.json["decision"]["rule"] == "R5"
    assert outcome.json["verdict"] is None
    assert not (project.workspace / "stages" / "finetune").exists()


@pytest.mark.slow
def test_stages_run_alone_one_after_the_other(project):
    project.write_rows()
    early = project.call("stage", "gap", "adaptation.yaml", "--json")
    assert early.code == 2
    assert "acclimate stage ingest" in early.json["error"]["hint"]
    for stage in ("ingest", "gap"):
        outcome = project.call("stage", stage, "adaptation.yaml", "--json")
        assert outcome.code == 0, outcome.err[-2000:]
    assert outcome.json["folder"] == str(project.stage_folder("gap"))


@pytest.mark.slow
def test_a_champion_is_withdrawn_approved_and_promoted_from_the_command_line(finished, tmp_path):
    project = finished[0].copy(tmp_path / "copy")
    first = project.call("history", "toy-mail", "--json").json
    assert [(act["act"], act["version"], act["reason"]) for act in first["acts"]] == [
        ("promote", 1, "gate.auto_promote: the verdict is PROMOTE")
    ]
    nothing_before = project.call("rollback", "toy-mail", "--reason", "why not")
    assert (nothing_before.code, "E-PROMOTE-005" in nothing_before.err) == (2, True)
    gone = project.call("rollback", "toy-mail", "--to", "none", "--reason", "withdrawn", "--by", "ann", "--json")
    assert gone.json == {"name": "toy-mail", "champion_before": 1, "champion": None, "predecessor": None}

    policy = {"name": "signed", "checks": {"approval": {"required": True, "by": ["Dr. A"]}}}
    (project.folder / "signed.yaml").write_text(json.dumps(policy))
    held = project.run("-s", "gate.policy=signed.yaml", "-s", "gate.auto_promote=false")
    assert (held.code, held.json["verdict"]) == (10, "HOLD"), held.err[-2000:]
    assert "acclimate approve toy-mail/1 --by NAME --reason WHY" in held.json["next_step"]
    assert any("approval" in reason for reason in held.json["reasons"])
    waiting = project.call("gate", "explain", "toy-mail").out
    assert "It is the champion no more; there is none now." in waiting
    assert "acclimate rollback toy-mail --to 1 --reason WHY" in waiting
    refused = project.call("promote", "toy-mail", "--reason", "in a hurry")
    assert (refused.code, "E-PROMOTE-001" in refused.err) == (10, True)
    assert project.call("approve", "toy-mail/1", "--by", "me", "--reason", "I made it").code == 10
    assert project.call("approve", "toy-mail", "--by", "Dr. A", "--reason", "which one?").code == 2
    assert project.call("approve", "toy-mail/1", "--by", "Dr. A", "--reason", "read 50 answers").code == 0
    promoted = project.call("promote", "toy-mail", "--reason", "approved", "--by", "bob")
    assert (promoted.code, promoted.out.strip()) == (0, "version 1 of toy-mail is the champion now"), promoted.err

    text = project.call("history", "toy-mail").out
    told = ["withdrawn", "Dr. A: read 50 answers", "bob: approved", "version 1 is the champion"]
    assert [text.index(one) for one in told] == sorted(text.index(one) for one in told)
    explained = project.call("gate", "explain", "toy-mail@champion").out
    assert "HOLD by policy signed" in explained
    assert "It is the champion, promoted by bob" in explained
    assert "Approved by Dr. A" in explained
    assert explained.splitlines()[-1].startswith("There is no champion before it; to have none: acclimate rollback")

    shown = project.call("report", "toy-mail@champion", "--json").json["report_path"]
    page = Path(shown).read_text(encoding="utf-8")
    assert Path(shown).name == "toy-mail-1.html"
    assert "It is the champion, promoted by bob" in page
    assert "read 50 answers" in page
    assert "acclimate rollback toy-mail --reason WHY" in page
