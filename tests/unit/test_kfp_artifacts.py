"""A stage's numbers on KFP's own pages, with KFP's real artifact classes."""

import pytest
from kfp import dsl

from acclimate.kfp_artifacts import MOST_CLASSES, show
from tests.run_records import baseline_report, digest, evaluation, finetune_report, gap_report
from tests.writing_records import perplexity_report, prompted_report, written

MODEL = digest("model")


@pytest.mark.parametrize(
    ("stage", "record", "expected"),
    [
        ("gap", gap_report(), {"gap_units": 4.0, "p_value": 0.01, "rows_compared": 200.0, "mmd_units_low": 3.5}),
        (
            "baseline",
            baseline_report(MODEL),
            {"macro_f1": 0.8, "transfer_gain": 0.1, "tfidf": 0.7, "train_rows": 120.0},
        ),
        ("finetune", finetune_report(MODEL), {"macro_f1_frozen": 0.8, "macro_f1_full": 0.9, "workers": 1.0}),
        ("evaluate", evaluation(MODEL), {"macro_f1": 0.9, "gain_over_baseline": 0.1, "calibration_error": 0.02}),
        (
            "gap",
            perplexity_report(),
            {"perplexity_target": 42.25, "perplexity_ratio": 3.25, "perplexity_ratio_low": 2.9},
        ),
        (
            "baseline",
            prompted_report(),
            {"exact_match": 0.31, "zero_shot": 0.12, "few_shot": 0.31, "perplexity": 11.75, "nearest": 0.27},
        ),
        ("evaluate", written(MODEL), {"exact_match": 0.82, "gain_over_nearest": 0.55, "perplexity_candidate": 1.375}),
    ],
)
def test_the_main_numbers_of_a_stage_are_shown(tmp_path, stage, record, expected):
    record.write(tmp_path)
    metrics = dsl.Metrics(name="metrics")
    show(stage, tmp_path, metrics=metrics)
    assert {name: metrics.metadata[name] for name in expected} == pytest.approx(expected)
    assert all(type(value) is float for value in metrics.metadata.values())


def test_what_is_unknown_is_left_out(tmp_path):
    gap_report().model_copy(update={"units": None, "measures": []}).write(tmp_path)
    metrics = dsl.Metrics(name="metrics")
    show("gap", tmp_path, metrics=metrics)
    assert metrics.metadata == {"p_value": 0.01, "rows_compared": 200.0}
    baseline_report(MODEL).write(tmp_path)
    metrics = dsl.Metrics(name="metrics")
    show("baseline", tmp_path, metrics=metrics)
    assert "source_as_is" not in metrics.metadata


def test_of_a_model_that_writes_no_calibration_and_no_matrix_is_shown(tmp_path):
    written(MODEL).write(tmp_path)
    metrics, confusion = dsl.Metrics(name="metrics"), dsl.ClassificationMetrics(name="confusion")
    show("evaluate", tmp_path, metrics=metrics, confusion=confusion)
    assert "calibration_error" not in metrics.metadata
    assert confusion.metadata == {"note": "texts are written, there are no classes: the hardest rows are in the report"}


def test_the_confusion_matrix_is_shown_with_the_truth_in_rows(tmp_path):
    record = evaluation(MODEL).model_copy(update={"confusion": [[180, 20], [3, 197]]})
    record.write(tmp_path)
    confusion = dsl.ClassificationMetrics(name="confusion")
    show("evaluate", tmp_path, confusion=confusion)
    shown = confusion.metadata["confusionMatrix"]
    assert [one["displayName"] for one in shown["annotationSpecs"]] == record.labels
    assert [one["row"] for one in shown["rows"]] == [[180, 20], [3, 197]]


def test_a_matrix_too_large_for_a_page_is_named_instead(tmp_path):
    labels = [f"class-{i}" for i in range(MOST_CLASSES + 1)]
    row = [0] * len(labels)
    evaluation(MODEL).model_copy(update={"labels": labels, "confusion": [row] * len(labels)}).write(tmp_path)
    confusion = dsl.ClassificationMetrics(name="confusion")
    show("evaluate", tmp_path, confusion=confusion)
    assert confusion.metadata == {"note": "101 classes: the matrix is in the report"}
