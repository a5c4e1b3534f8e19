"""The model card, read back by the library that the Hub reads it with."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from acclimate.adapters.licences import licence_of
from acclimate.core.licences import Grade, grade
from acclimate.nn.source_card import folder_digest
from acclimate.records import ClassScore, SliceScore
from acclimate.registry import RunRecords
from acclimate.report.model_card import inert, render_model_card, write_model_card
from tests.run_records import SOURCE, run_records


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


def test_unknown_licence_is_said_and_left_out_of_the_header() -> None:
    records = run_records(source=SOURCE.model_copy(update={"licence": None}))
    card = ModelCard(render_model_card(records))
    assert card.data.license is None
    assert "licence unknown" in card.text


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
