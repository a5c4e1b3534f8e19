"""The model card, read back by the library that the Hub reads it with."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from acclimate.adapters.licences import licence_of
from acclimate.config_gate import ApprovalRule, ChecksSpec, PolicySpec
from acclimate.core.licences import Grade, grade
from acclimate.nn.source_card import folder_digest
from acclimate.records import ClassScore, Retention, SliceScore
from acclimate.registry import RunRecords
from acclimate.report.model_card import inert, render_model_card, write_model_card
from tests.run_records import SOURCE, interval, run_records


def with_labels(records: RunRecords, labels: list[str]) -> RunRecords:
    return replace(records, evaluation=records.evaluation.model_copy(update={"labels": labels}))


def test_header_names_licence_task_source_and_result() -> None:
    data = ModelCard(render_model_card(run_records())).data
    assert (data.license, data.pipeline_tag, data.base_model) == ("apache-2.0", "text-classification", "tiny-bert")
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value, result.dataset_split) == ("f1", 0.9, "test")


def test_body_states_interval_comparisons_and_digests() -> None:
    records = run_records()
    text = ModelCard(render_model_card(records)).text
    assert "**0.900** (95 % interval 0.880 to 0.920)" in text
    assert "| baseline | 0.800 | +0.100 | +0.070 to +0.130 |" in text
    for digest in (records.run_key, records.source.digest, records.data.target.digest, records.evaluation.model_digest):
        assert digest in text


def test_rejected_arms_are_named_beside_the_chosen_one() -> None:
    text = render_model_card(run_records())
    assert "Arm LoRA: 0.850 (0.830 to 0.870) on validation\n" in text
    assert "Arm full fine-tuning: 0.900 (0.880 to 0.920) on validation, handed on\n" in text


def test_a_frozen_model_has_no_arms() -> None:
    assert "Arm " not in render_model_card(replace(run_records(), finetune=None))


def test_a_frozen_model_says_which_rows_its_head_has_seen() -> None:
    records = run_records()
    fitted = replace(records, baseline=records.baseline.model_copy(update={"refitted_rows": 1234}))
    frozen = replace(fitted, evaluation=records.evaluation.model_copy(update={"strategy": "frozen"}))
    assert "fitted on all 1,234 rows of train and validation" in render_model_card(frozen)
    assert "of train and validation" not in render_model_card(fitted), "a trained model has another head"


def test_test_rows_that_a_model_knew_before_are_told() -> None:
    records = run_records()
    assert "when it was made" not in render_model_card(records)
    knew = records.evaluation.model_copy(update={"earlier_overlap_rows": {"champion": 3, "source": None}})
    text = render_model_card(replace(records, evaluation=knew))
    assert "- Test rows that look like ones the champion was trained on when it was made: 3.\n" in text
    assert "- Test rows that look like ones the source was trained on when it was made: not known.\n" in text


def test_an_unknown_licence_is_said(tmp_path: Path) -> None:
    records = run_records(source=SOURCE.model_copy(update={"licence": None}))
    card = ModelCard(render_model_card(records))
    assert card.data.license == "unknown"
    assert "licence unknown" in card.text
    write_model_card(records, tmp_path)
    assert licence_of(tmp_path, None, None) is None
    assert licence_of(tmp_path, None, "MIT") == "MIT", "whoever adapts it further may know it"


def test_what_is_the_owners_own_is_no_unknown_licence(tmp_path: Path) -> None:
    write_model_card(run_records(source=SOURCE.model_copy(update={"licence": "own data"})), tmp_path)
    stated = licence_of(tmp_path, None, None)
    assert stated is not None
    assert grade(stated) == Grade.PUBLIC


def test_however_long_an_expression_is_all_of_it_is_read_back(tmp_path: Path) -> None:
    long = " OR ".join(f"LGPL-{version}-or-later" for version in ("2.0", "2.1", "3.0"))
    records = run_records(source=SOURCE.model_copy(update={"licence": f"{long} OR MPL-2.0 OR EPL-2.0"}))
    restricted = records.data.target.model_copy(update={"licence": "CC-BY-NC-4.0"})
    records = replace(records, data=records.data.model_copy(update={"target": restricted}))
    write_model_card(records, tmp_path)
    assert licence_of(tmp_path, None, None) == f"({long} OR MPL-2.0 OR EPL-2.0) AND CC-BY-NC-4.0"


def test_the_licence_of_the_data_stays_with_a_model_that_is_adapted_further(tmp_path: Path) -> None:
    records = run_records()
    restricted = records.data.target.model_copy(update={"licence": "CC-BY-NC-4.0"})
    records = replace(records, data=records.data.model_copy(update={"target": restricted}))
    data = ModelCard(render_model_card(records)).data
    assert (data.license, data.license_name) == ("other", "Apache-2.0 AND CC-BY-NC-4.0")
    write_model_card(records, tmp_path)
    stated = licence_of(tmp_path, None, None)
    assert stated == "Apache-2.0 AND CC-BY-NC-4.0", "as a source of a further adaptation is asked for it"
    assert grade(stated) == Grade.NON_COMMERCIAL


def test_weakest_slices_come_first_and_are_three() -> None:
    evaluation = run_records().evaluation
    slices = [
        SliceScore(column="channel", value=name, rows=40, score=evaluation.score.model_copy(update={"low": low}))
        for name, low in [("mail", 0.5), ("chat", 0.1), ("fax", 0.3), ("phone", 0.7)]
    ]
    records = replace(run_records(), evaluation=evaluation.model_copy(update={"slices": slices}))
    lines = [line for line in render_model_card(records).splitlines() if line.startswith("- Weakest slice:")]
    assert [line.split(" = ")[1].split(",")[0] for line in lines] == ["chat", "fax", "mail"]


def section(text: str, title: str) -> str:
    """What stands below a heading."""
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_it_says_what_the_model_is_not_for_the_users_own_words_first() -> None:
    records = run_records()
    records.config["card"]["not_for"] = ["deciding about people"]
    lines = section(render_model_card(records), "What it is not for").strip().splitlines()
    assert lines[:2] == [
        "- deciding about people",
        "- Inputs that none of its 2 labels fits: it gives one all the same.",
    ]


def test_hostile_words_of_the_user_stay_text() -> None:
    records = run_records()
    records.config["card"]["not_for"] = ["<script>alert(1)</script>", "[x](javascript:1)", "a\u202eb\n## Data"]
    text = render_model_card(records)
    assert "<script" not in text
    assert not re.search(r"(?<!\\)\]\(javascript", text)
    assert "a\\\\u202eb \\#\\# Data" in text
    assert text.count("\n## Data\n") == 1


def test_what_is_kept_of_the_source_is_told_with_its_bounds() -> None:
    plain = run_records()
    assert "held-out rows" not in render_model_card(plain)
    kept = Retention(rows=1300, score=0.41, source_score=0.44, change=interval(-0.03), low_one_sided=-0.047)
    records = replace(plain, evaluation=plain.evaluation.model_copy(update={"retention": kept}))
    text = " ".join(section(render_model_card(records), "How good it is").split())
    assert "on 1,300 held-out rows of it: 0.410, the source model 0.440; change −0.030 (−0.050 to −0.010)" in text
    assert "one-sided lower bound −0.047." in text


def test_calibration_has_its_intervals_where_they_were_computed() -> None:
    records = run_records()
    calibration = records.evaluation.calibration
    assert calibration is not None
    intervals = {"ece": interval(0.02, 0.01), "brier": interval(0.1, 0.03)}
    bounded = calibration.model_copy(update={"intervals": intervals})
    records = replace(records, evaluation=records.evaluation.model_copy(update={"calibration": bounded}))
    text = " ".join(render_model_card(records).split())
    assert "calibration error 0.020 (0.010 to 0.030) (before the temperature 0.050)" in text
    assert "negative log-likelihood 0.300, Brier score 0.100 (0.070 to 0.130)." in text


@pytest.mark.parametrize(("underpowered", "ending"), [(False, "."), (True, ": they are too few.")])
def test_it_says_what_difference_the_test_rows_can_show(underpowered: bool, ending: str) -> None:
    evaluation = run_records().evaluation
    deciding = evaluation.comparisons[0].model_copy(update={"rows_needed": 2100, "underpowered": underpowered})
    comparisons = [deciding, *evaluation.comparisons[1:]]
    records = replace(run_records(), evaluation=evaluation.model_copy(update={"comparisons": comparisons}))
    shown = "show a difference of 0.030 from baseline with 80 % power; the one observed takes 2,100 rows"
    assert f"{shown}{ending}\n" in render_model_card(records)


def test_it_says_who_answers_for_a_check_and_who_has_to_approve() -> None:
    records = run_records()
    assert section(render_model_card(records), "Who answers for it").count("\n") == 2
    signed = PolicySpec(name="signed", checks=ChecksSpec(approval=ApprovalRule(required=True, by=["Dr. A", "Dr. B"])))
    waiver = {"check": "seeds", "by": "ann", "reason": "one seed <b>only</b> fits " + "the budget " * 30 + "now"}
    records.config["gate"] = {"policy": "signed", "rules": signed.model_dump(mode="json"), "waivers": [waiver]}
    text = section(render_model_card(records), "Who answers for it")
    assert "by the policy signed." in text
    assert "asks that one of Dr. A, Dr. B approves a version before it is promoted" in text
    assert "- Should the check seeds fail, ann answers for it: one seed &lt;b&gt;only&lt;/b&gt; fits the" in text
    assert text.rstrip().endswith("now"), "the whole reason is there"


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "a|b", "[x](javascript:1)", "---\nlicense: mit\n---"])
def test_hostile_labels_stay_text(hostile: str) -> None:
    row = ClassScore(label=hostile, rows=5, precision=0.5, recall=0.5, f1=0.5)
    records = with_labels(run_records(), [hostile, "other"])
    records = replace(records, evaluation=records.evaluation.model_copy(update={"classes": [row]}))
    card = ModelCard(render_model_card(records))
    assert card.data.license == "apache-2.0"
    assert "<script" not in card.text
    assert not re.search(r"(?<!\\)\]\(", card.text)
    line = next(line for line in card.text.splitlines() if line.startswith(f"| {inert(hostile)}"))
    assert line.replace("\\|", "").count("|") == 6


def test_same_records_give_the_same_bytes() -> None:
    assert render_model_card(run_records()) == render_model_card(run_records())


def test_the_card_does_not_change_the_models_digest(tiny_source: Path) -> None:
    before = folder_digest(tiny_source)
    card = write_model_card(run_records(), tiny_source)
    try:
        assert card.is_file()
        assert folder_digest(tiny_source) == before
    finally:
        card.unlink()
