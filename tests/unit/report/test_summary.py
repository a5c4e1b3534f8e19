"""The summary: every name it promises, the records' own numbers, nothing where nothing is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from acclimate.report.summary import summary, summary_text
from acclimate.report.view import ReportView
from tests.unit.report.made_up import gave_way, verdict

PROMISED = {
    *("run_id", "run_key", "setting", "gap", "baseline", "decision", "arms", "result", "verdict", "model_uri"),
    *("report_path", "seconds"),
}


def test_it_has_every_promised_name_and_the_records_numbers(view: ReportView) -> None:
    found = json.loads(json.dumps(summary(view, Path("report.html")), allow_nan=False))
    assert set(found) >= PROMISED
    assert found["gap"] == {"verdict": "LARGE", "units": view.gap.units}
    assert found["baseline"]["score"] == view.baseline.score.point
    assert found["decision"] == {"strategy": "lora+full", "rule": "R5"}
    score = view.evaluation.score
    assert found["result"] == {
        "strategy": "full",
        "rule": view.evaluation.handed_on.says,
        "score": score.point,
        "score_low": score.low,
        "score_high": score.high,
    }
    assert [arm["strategy"] for arm in found["arms"] if arm["chosen"]] == ["full"]
    assert found["arms"][1] == {
        "strategy": "lora",
        "score": view.finetune.arms[1].score.point,
        "seconds": 231.0,
        "chosen": False,
    }
    assert (found["verdict"], found["model_uri"], found["error"]) == ("PROMOTE", "models:/support-mail/3", None)
    assert Path(found["report_path"]).is_absolute()
    assert found["seconds"] == view.seconds


def test_a_recalled_version_is_not_to_be_used_and_it_says_why(view: ReportView) -> None:
    recalled = view.registration.model_copy(update={"aliases": [], "recalled": "ann: it held names"})
    found = summary(replace(view, registration=recalled))
    assert "Version 3 is registered without alias and gets none, for it was recalled by ann: it held names" in str(
        found["next_step"]
    )
    assert found["next_command"] is None


def test_what_was_not_reached_is_null_and_the_shape_stays(view: ReportView, stopped: dict[str, ReportView]) -> None:
    whole = summary(view)
    for name, part in stopped.items():
        found = summary(part)
        assert set(found) == set(whole), name
        for key in ("gap", "baseline", "decision", "result", "gain"):
            assert set(found[key]) == set(whole[key]), name
    early = summary(stopped["gap"])
    assert early["setting"] is None
    assert early["gap"] == {"verdict": None, "units": None}
    assert set(early["result"].values()) == {None}
    assert early["arms"] == []
    assert early["error"] == {
        "stage": "gap", "code": "E-TRAIN-003", "message": "the loss is not finite at step 40",
        "where": "arm full, epoch 2", "hint": "lower finetune.full.learning_rate",
    }  # fmt: skip


def test_a_frozen_decision_counts_as_the_one_arm_tried(view: ReportView, stopped: dict[str, ReportView]) -> None:
    (arm,) = summary(stopped["freeze"])["arms"]
    assert arm == {"strategy": "frozen", "score": view.baseline.validation_score.point, "seconds": 4.1, "chosen": True}


STAGES = {
    "gap": "gap",
    "baseline": "baseline",
    "decision": "decide",
    "finetune": "finetune",
    "evaluation": "evaluate",
    "registration": "register",
}


@pytest.mark.parametrize(("name", "stage"), STAGES.items())
def test_the_stage_that_stopped_is_named(stopped: dict[str, ReportView], name: str, stage: str) -> None:
    assert summary(stopped[name])["error"]["stage"] == stage
    assert f"E-TRAIN-003 at {stage}" in summary_text(summary(stopped[name]))


def test_lines_for_the_terminal_say_it_all(view: ReportView) -> None:
    lines = dict(line.split(maxsplit=1) for line in summary_text(summary(view, Path("/w/report.html"))).splitlines())
    assert lines["gap"] == "large gap, 4.2 gap units (supervised adaptation)"
    assert lines["baseline"].startswith("macro-F1 0.799")
    assert lines["decision"] == "lora+full (rule R5); chosen: full fine-tuning"
    assert lines["result"] == "macro-F1 0.874 (0.848 to 0.901) on the test rows, +0.071 over baseline"
    assert (lines["verdict"], lines["report"], lines["model"]) == (
        "PROMOTE",
        "/w/report.html",
        "models:/support-mail/3",
    )
    assert lines["next"] == "Promote it: acclimate promote, or gate.auto_promote next time."


def test_what_the_run_warned_of_is_told_wherever_it_ran(view: ReportView) -> None:
    told = {**summary(view), "warnings": ["report and figures\x1b[31m are not in MLflow", "a second thing"]}
    lines = [line.split(maxsplit=1)[1] for line in summary_text(told).splitlines() if line.startswith("warning")]
    assert lines == [r"report and figures\u001b[31m are not in MLflow", "a second thing"]
    assert "warning" not in summary_text(summary(view))


def test_a_trained_model_that_gave_way_is_told(view: ReportView) -> None:
    frozen = gave_way(view)
    assert (view.gave_way, frozen.gave_way) == (False, True)
    assert "the frozen model is handed on: full is not shown to be better" in summary_text(summary(frozen))
    assert summary(frozen)["result"]["strategy"] == "frozen"


def test_the_next_command_uses_the_model_or_carries_out_the_plan(
    view: ReportView, stopped: dict[str, ReportView]
) -> None:
    elsewhere = replace(view, config={**view.config, "workspace": "/srv/my runs"})
    here = replace(view, config={**view.config, "workspace": ".acclimate"})
    assert summary(here)["next_command"] == "acclimate predict models:/support-mail/3 DATA.csv"
    assert summary(elsewhere)["next_command"].endswith(" DATA.csv --workspace '/srv/my runs'")
    planned = replace(stopped["plan"], command="acclimate plan a.yaml -s goal.at_least=0.9")
    assert summary(planned)["next_command"] == "acclimate run a.yaml -s goal.at_least=0.9"
    assert summary(replace(view, verdict=verdict("HOLD")))["next_command"] is None
    assert summary(stopped["gap"])["next_command"] is None


def test_terminal_lines_carry_no_control_characters(view: ReportView) -> None:
    error = {
        "code": "E-DATA-001",
        "message": "bad\x1b[31m label\nverdict   PROMOTE",
        "where": "a.csv",
        "hint": "\u202efix",
    }
    text = summary_text(summary(replace(view, error=error, verdict=None)))
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "PROMOTE" not in [line.split()[1] for line in text.splitlines() if line.startswith("verdict")]


def test_an_error_loses_its_credentials(view: ReportView) -> None:
    error = {"code": "E-REGISTRY-001", "message": "https://ann:hunter2@mlflow refused", "where": "", "hint": ""}
    assert "hunter2" not in json.dumps(summary(replace(view, error=error)))


@pytest.mark.parametrize(
    ("said", "expected"),
    [("PROMOTE", "Use version 1."), ("SHADOW", "Use version 1."), ("HOLD", "Step. {}"), ("REJECT", "Step. {}")],
)
def test_a_version_that_is_there_already_takes_the_place_of_the_next_step_or_is_warned_of(
    view: ReportView, said: str, expected: str
) -> None:
    assert view.verdict is not None
    assert view.registration is not None
    told = "Use version 1." if said in {"PROMOTE", "SHADOW"} else "Version 1 is still the champion."
    other = replace(
        view,
        verdict=view.verdict.model_copy(update={"verdict": said, "next_step": "Step."}),
        registration=view.registration.model_copy(update={"other_weights": told}),
    )
    assert summary(other)["next_step"] == expected.format(told)
