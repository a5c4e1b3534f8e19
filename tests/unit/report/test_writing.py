"""Report, summary and model card of a run that writes: its own words and numbers, none of a classifier's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from huggingface_hub import ModelCard

from acclimate.report.figures import draw_all
from acclimate.report.lineage import lineage
from acclimate.report.model_card import render_model_card
from acclimate.report.render import html
from acclimate.report.summary import summary, summary_text
from acclimate.report.view import ReportView
from tests.unit.report.made_up import full_view
from tests.unit.report.test_browser import CHROMIUM, browse, console
from tests.unit.report.test_render import HOSTILE, assert_inert, shown
from tests.writing_records import HARDEST, pairs_table, prompted_report, writing_records


def writing_view() -> ReportView:
    """The report's view of the run."""
    records = writing_records()
    return replace(
        full_view(),
        config=records.config,
        data=records.data,
        gap=records.gap,
        baseline=records.baseline,
        decision=records.decision,
        finetune=records.finetune,
        evaluation=records.evaluation,
    )


@pytest.fixture(scope="module")
def view() -> ReportView:
    return writing_view()


@pytest.fixture(scope="module")
def text(view: ReportView) -> str:
    page = html(view)
    assert_inert(page)
    return shown(page)


def test_figures_of_classes_and_of_more_labels_are_left_out(view: ReportView) -> None:
    drawn = draw_all(view)
    assert not {"confusion", "reliability", "curve"} & set(drawn)
    assert {"comparisons", "arms", "training", "null"} <= set(drawn)


def test_epochs_are_compared_by_token_accuracy_and_arms_by_the_goals_metric(view: ReportView) -> None:
    drawn = draw_all(view)
    assert drawn["training"].caption.startswith("Above: token accuracy on validation")
    assert "exact match on validation" in drawn["arms"].svg


def test_the_baseline_shows_both_ways_of_asking(text: str) -> None:
    assert "prompted with 4 examples, the source model scores 0.310 (0.290 to 0.330) on 200 rows of train" in text
    assert "(zero-shot)0.1200.100 to 0.140" in text.replace(" (zero-shot) ", " (zero-shot)")
    assert "(few-shot)0.3100.290 to 0.330" in text
    assert "most similar prompt's answer0.2700.250 to 0.290" in text
    assert "11.75 per token of the right answers" in text


def test_the_gap_shows_perplexities_and_their_ratio(text: str) -> None:
    assert "Perplexity per token: 42.25 on the target, 13 on the reference." in text
    assert "Target / reference: 3.25 (95 % interval 2.9 to 3.61); above 1 the target is harder for it." in text


def test_a_ratio_that_may_be_one_is_said_to_be_uncertain(view: ReportView) -> None:
    ratio = view.gap.perplexity.ratio.model_copy(update={"low": 0.9})
    perplexity = view.gap.perplexity.model_copy(update={"ratio": ratio})
    page = html(replace(view, gap=view.gap.model_copy(update={"perplexity": perplexity})))
    assert "which is not certain here" in shown(page)


def test_without_a_reference_the_targets_perplexity_stands_alone(view: ReportView) -> None:
    perplexity = view.gap.perplexity.model_copy(update={"reference": None, "ratio": None})
    page = shown(html(replace(view, gap=view.gap.model_copy(update={"perplexity": perplexity}))))
    assert "Perplexity per token: 42.25 on the target." in page
    assert "Target / reference" not in page


def test_the_result_shows_what_was_written_beside_what_was_wanted(text: str) -> None:
    assert f"{HARDEST.text}{HARDEST.label}{HARDEST.predicted}0.4 %" in text
    assert "Perplexity of the right answers" in text
    assert "zero-shot source model42.25" in text
    assert "it foretells 41 % of the tokens of 300 held-out rows" in text
    assert "Sign test p" in text


@pytest.mark.parametrize(
    "word", ["calibration error", "Each label", "McNemar", "small head", "probe", "cross-validated"]
)
def test_a_classifiers_words_are_not_in_it(text: str, word: str) -> None:
    assert word not in text


def test_what_was_not_written_is_a_dash(view: ReportView) -> None:
    unwritten = HARDEST.model_copy(update={"predicted": ""})
    judged = view.evaluation.model_copy(update={"metric": "token_accuracy", "errors": [unwritten]})
    page = shown(html(replace(view, evaluation=judged)))
    assert f"{HARDEST.label}–0.4 %" in page
    assert "Nothing was written: token accuracy compares token by token." in page


def test_plain_texts_have_no_wanted_answer(view: ReportView) -> None:
    data = view.data.model_copy(update={"target": pairs_table("target", answers=False)})
    plain = HARDEST.model_copy(update={"label": "", "predicted": ""})
    page = shown(html(replace(view, data=data, evaluation=view.evaluation.model_copy(update={"errors": [plain]}))))
    assert f"{HARDEST.text}0.4 %" in page
    assert "Wanted" not in page


def test_hostile_answers_stay_text(view: ReportView) -> None:
    rows = [HARDEST.model_copy(update={"text": one, "label": one, "predicted": one}) for one in HOSTILE]
    assert_inert(html(replace(view, evaluation=view.evaluation.model_copy(update={"errors": rows}))))


def test_asked_without_examples_the_baseline_says_so(view: ReportView) -> None:
    asked = replace(view, baseline=prompted_report(shots=0))
    assert "prompted without examples" in shown(html(asked))
    assert "few-shot" not in shown(html(asked))
    assert next(link.says for link in lineage(asked) if link.title == "Baseline") == "0.120, prompted without examples"


def test_the_terminal_names_metric_and_way_of_asking(view: ReportView) -> None:
    lines = dict(line.split(maxsplit=1) for line in summary_text(summary(view)).splitlines())
    assert lines["baseline"] == "exact match 0.310 (prompted source model)"
    assert lines["result"] == "exact match 0.820 (0.800 to 0.840) on the test rows, +0.500 over baseline"


def test_the_card_says_that_it_writes_and_how() -> None:
    card = ModelCard(render_model_card(writing_records()))
    assert card.data.pipeline_tag == "text-generation"
    (result,) = card.data.eval_results
    assert (result.metric_type, result.metric_value) == ("exact_match", 0.82)
    assert "It writes the answer to a prompt, by greedy decoding" in card.text
    assert 'model.predict(["a prompt"])' in card.text
    assert "Perplexity per token: candidate 1.375, zero-shot source model 42.25, baseline 11.75." in card.text
    assert "- What it writes is not checked against anything" in card.text
    assert "labels" not in card.text
    assert "calibration" not in card.text


def test_the_card_of_a_frozen_model_says_how_it_is_asked() -> None:
    records = writing_records()
    evaluation = records.evaluation.model_copy(update={"strategy": "frozen"})
    text = ModelCard(render_model_card(replace(records, evaluation=evaluation, finetune=None))).text
    assert "It writes the answer to a prompt, prompted with 4 examples, by greedy decoding" in text


def test_the_card_of_a_model_of_plain_text_says_that_it_goes_on() -> None:
    records = writing_records()
    data = records.data.model_copy(update={"target": pairs_table("target", answers=False)})
    text = ModelCard(render_model_card(replace(records, data=data))).text
    assert "It goes on with a text, by greedy decoding" in text
    assert 'model.predict(["a text"])' in text


@pytest.mark.skipif(CHROMIUM is None, reason="apt-get install chromium")
def test_it_paints_without_a_word_on_the_console(view: ReportView, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html(view), encoding="utf-8")
    assert console(browse(page, tmp_path / "profile", "--dump-dom", "--virtual-time-budget=500")) == []
