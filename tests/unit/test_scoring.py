import numpy as np
import pytest

from acclimate.config import EvaluateSpec
from acclimate.core.paired import bootstrap_score, detectable_by, paired_difference
from acclimate.core.paired_means import sign_test
from acclimate.core.reliability import ece_debiased, softmax
from acclimate.nn.shown import shown
from acclimate.predictions import AnswerScores, ClassPredictions, JudgedRows
from acclimate.records import Disparity
from acclimate.scoring import (
    TestRows,
    calibration_score,
    class_scores,
    comparison,
    hardest_errors,
    scored_answers,
    scored_classes,
)


def rows_of(truth: np.ndarray, groups: list[str] | None = None) -> TestRows:
    n = len(truth)
    rows = JudgedRows([f"{i:05d}" for i in range(n)], groups, {})
    return TestRows(rows, truth, ["no", "yes"], "accuracy", bootstraps=500, seed=0)


def wrong_on(truth: np.ndarray, rows: slice) -> np.ndarray:
    predicted = truth.copy()
    predicted[rows] = 1 - predicted[rows]
    return predicted


@pytest.mark.parametrize(
    ("n", "candidate", "other", "underpowered"),
    [
        (200, slice(0, 10), slice(0, 60), False),  # plainly better
        (200, slice(0, 60), slice(0, 10), False),  # plainly worse
        (200, slice(0, 20), slice(20, 40), True),  # no difference shows, and 200 rows would miss a point
        (60_000, slice(0, 300), slice(300, 600), False),  # no difference shows, and one of a point would have
        (30, slice(0, 0), slice(0, 0), True),  # no disagreement in 30 rows
    ],
)
def test_underpowered_means_that_a_relevant_difference_would_be_missed(
    n: int, candidate: slice, other: slice, underpowered: bool
) -> None:
    truth = np.arange(n) % 2
    found = comparison(rows_of(truth), wrong_on(truth, candidate), "tfidf", wrong_on(truth, other), "baseline")
    assert found.underpowered == underpowered
    assert found.role == "trivial"


def test_the_rows_needed_are_those_that_show_the_observed_difference() -> None:
    truth = np.arange(400) % 2
    found = comparison(rows_of(truth), wrong_on(truth, slice(0, 40)), "x", wrong_on(truth, slice(32, 80)), "x")
    assert (found.only_candidate_right, found.only_other_right) == (40, 32)
    assert found.rows_needed == pytest.approx(6.18 * (72 / 400) / 0.02**2, rel=0.01)
    assert found.role == "comparator"


def test_groups_reach_both_score_and_difference() -> None:
    truth = np.arange(100) % 2
    groups = [f"g{i // 20}" for i in range(100)]
    rows, bad = rows_of(truth, groups), wrong_on(truth, slice(0, 20))
    expected = bootstrap_score("accuracy", truth, bad, 2, bootstraps=500, seed=0, groups=groups)
    assert (rows.score(bad).low, rows.score(bad).high) == (expected.low, expected.high)
    # one group of five holds every wrong row: whether it is drawn moves the score by 20 points
    assert expected.low <= 0.6
    assert expected.high == 1.0
    assert comparison(rows, truth, "baseline", bad, "baseline").difference.low == 0


def better_in_whole_groups(groups: int, size: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[str]]:
    """Truth, and two equal models, of which in each group one or the other errs on a third of the rows."""
    rng = np.random.default_rng(seed)
    truth, wrong = rng.integers(2, size=groups * size), rng.random(groups * size) < 1 / 3
    first = np.repeat(rng.integers(2, size=groups), size).astype(bool)
    names = [f"g{i // size}" for i in range(groups * size)]
    return truth, np.where(wrong & first, 1 - truth, truth), np.where(wrong & ~first, 1 - truth, truth), names


def test_what_groups_can_show_follows_from_groups_and_not_from_rows() -> None:
    truth, a, b, groups = better_in_whole_groups(40, 50, seed=0)
    by_row, by_group = (comparison(rows_of(truth, one), a, "x", b, "x") for one in (None, groups))
    difference = paired_difference("accuracy", truth, a, b, 2, bootstraps=500, seed=0, groups=groups)
    assert by_group.detectable_effect == pytest.approx(detectable_by(difference.standard_error))
    assert by_group.detectable_effect > 3 * by_row.detectable_effect
    grown = (by_group.detectable_effect / by_row.detectable_effect) ** 2
    assert by_group.rows_needed == pytest.approx(by_row.rows_needed * grown, rel=0.01)
    assert (by_row.underpowered, by_group.underpowered) == (False, True)


def test_equal_models_on_groups_are_seldom_told_apart_by_the_exact_test() -> None:
    found = {"rows": 0, "groups": 0}
    for seed in range(40):
        truth, a, b, groups = better_in_whole_groups(40, 50, seed)
        found["rows"] += comparison(rows_of(truth), a, "x", b, "x").mcnemar_p < 0.05
        found["groups"] += comparison(rows_of(truth, groups), a, "x", b, "x").mcnemar_p < 0.05
    assert found["groups"] <= 6
    assert found["rows"] > 15


def test_the_exact_test_of_groups_is_the_sign_test_of_their_means() -> None:
    truth = np.zeros(12, dtype=np.int64)
    groups = [name for name, rows in (("a", 5), ("b", 1), ("c", 4), ("d", 2)) for _ in range(rows)]
    other = np.array([1, 1, 1, 1, 1, 0, 1, 0, 0, 0, 1, 0])
    own = np.array([0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0])
    found = comparison(rows_of(truth, groups), own, "x", other, "x")
    assert found.mcnemar_p == sign_test([1, 1, 0.75, 1], [0, 1, 0.75, 0.5]).p_value
    assert (found.only_candidate_right, found.only_other_right) == (7, 1), "rows are still rows"


def test_groups_that_agree_by_chance_show_no_more_than_rows_would() -> None:
    truth = np.arange(100) % 2
    groups = [f"g{i // 50}" for i in range(100)]
    none = comparison(rows_of(truth, groups), truth, "x", truth, "x")
    assert none.detectable_effect == comparison(rows_of(truth), truth, "x", truth, "x").detectable_effect > 0
    assert none.underpowered


@pytest.mark.parametrize("groups", [None, [f"g{i // 4}" for i in range(80)]], ids=["rows", "groups"])
def test_an_evaluation_says_how_many_groups_and_left_out_slices_there_are(groups: list[str] | None) -> None:
    columns = {"site": ["north"] * 40 + ["south"] * 38 + ["east", "west"]}
    rows, how = JudgedRows([f"{i:02d}" for i in range(80)], groups, columns), EvaluateSpec(bootstraps=200)
    truth = np.arange(80) % 2
    logits = np.eye(2, dtype=np.float32)[truth]
    found = [
        scored_classes(
            ClassPredictions(rows, ["no", "yes"], truth, logits, {"x": 1 - truth}),
            1.0,
            metric="accuracy",
            comparator="x",
            how=how,
        ),
        scored_answers(
            AnswerScores(rows, truth.astype(float), {"x": 1.0 - truth}), metric="exact_match", comparator="x", how=how
        ),
    ]
    assert [(one["groups"], one["slices_left_out"], len(one["slices"])) for one in found] == [
        (None if groups is None else 20, 2, 2)
    ] * 2


def test_calibration_before_is_without_the_temperature() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=4000)
    logits = np.where(rng.random(4000) < 0.75, 6.0, -6.0)[:, None] * np.eye(2)[truth]
    found = calibration_score(logits, 5.5, truth, 10, bootstraps=200, seed=0)
    assert found.ece_before == pytest.approx(ece_debiased(softmax(logits), truth, 10)) == pytest.approx(0.25, abs=0.02)
    assert found.ece == pytest.approx(ece_debiased(softmax(logits / 5.5), truth, 10))
    assert found.ece < 0.05
    assert sum(part.rows for part in found.bins) == 4000


def test_the_gap_between_the_best_and_the_worst_slice_of_each_column_is_told_beside_what_chance_gives() -> None:
    truth = np.arange(240) % 2
    site = np.repeat(["a", "b", "c", "d"], 60)
    columns = {"site": site.tolist(), "alone": ["x"] * 240, "half": ["l" if i % 4 < 2 else "r" for i in range(240)]}
    logits = 4.0 * np.eye(2, dtype=np.float32)[wrong_on(truth, slice(60, 100))]
    rows = JudgedRows([f"{i:05d}" for i in range(240)], None, columns)
    found = ClassPredictions(rows, ["no", "yes"], truth, logits, {})
    how = EvaluateSpec(bootstraps=500)
    half, by_site = scored_classes(found, 1.0, metric="accuracy", comparator="none", how=how)["disparities"]
    assert (by_site.column, by_site.best, by_site.worst) == ("site", "d", "b")
    assert by_site.best_minus_worst == pytest.approx(40 / 60)
    assert 0.1 < by_site.by_chance < 0.35
    assert half.column == "half"
    assert half.best_minus_worst <= half.by_chance


def test_a_disparity_of_an_earlier_release_is_still_read() -> None:
    old = {"column": "site", "best": "a", "worst": "b", "difference": {"point": 0.2, "low": 0.1, "high": 0.3}}
    assert Disparity.model_validate(old).by_chance is None


def test_errors_are_cut_and_ordered() -> None:
    truth = np.zeros(50, dtype=np.int64)
    prob = np.array([[1 - p, p] for p in np.linspace(0.01, 0.99, 50)])
    found = hardest_errors(rows_of(truth), ["x" * 900] * 50, prob, shown, most=3, text_length=500)
    assert [row.row_id for row in found] == ["00049", "00048", "00047"]
    assert {(row.label, row.predicted, len(row.text)) for row in found} == {("no", "yes", 500)}


def test_a_class_without_rows_scores_zero() -> None:
    absent = class_scores(np.array([[4, 0], [0, 0]]), ["no", "yes"])[1]
    assert (absent.rows, absent.precision, absent.recall, absent.f1) == (0, 0, 0, 0)


def test_a_slice_of_one_easy_class_is_compared_with_that_class_and_not_with_the_whole() -> None:
    rng = np.random.default_rng(5)
    truth = np.repeat([0, 1], [360, 240])
    site = np.array(["a" if i < 60 else "b" for i in range(600)])
    wrong = rng.random(600) < np.where(truth == 0, 0.05, 0.3)
    found = ClassPredictions(
        rows=JudgedRows([f"r{i}" for i in range(600)], None, {"site": site.tolist()}),
        labels=["neg", "pos"],
        truth=truth,
        logits=(np.where(wrong, 1 - truth, truth)[:, None] == np.arange(2)).astype(np.float32),
        others={"baseline": truth},
    )
    slices = scored_classes(found, 1.0, metric="macro_f1", comparator="baseline", how=EvaluateSpec(bootstraps=200))
    (a,) = [one for one in slices["slices"] if (one.column, one.value) == ("site", "a")]
    assert a.score.high < slices["score"].point, "its macro-F1 lacks a class"
    assert abs(a.gap.point) < 0.08
    assert a.p_behind > 0.05
