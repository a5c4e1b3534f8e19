"""Controls without a model, and the learning curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import linregress

from acclimate.core.controls import majority_predict, tfidf_predict
from acclimate.core.folds import assign_folds
from acclimate.core.learning_curve import score_at_double, slope_per_doubling
from acclimate.core.out_of_fold import OutOfFold


def test_majority_is_the_commonest_class_the_first_of_equals() -> None:
    assert majority_predict(np.array([2, 1, 1, 0]), 3).tolist() == [1, 1, 1]
    assert majority_predict(np.array([2, 2, 1, 1]), 1).tolist() == [1]


def test_tfidf_learns_words_word_pairs_and_punctuation() -> None:
    train = ["not good", "good", "not bad", "bad"] * 10 + ["really ?", "really !"] * 10
    labels = np.array([0, 1, 1, 0] * 10 + [0, 1] * 10)
    assert tfidf_predict(train, labels, ["good", "bad", "not good", "not bad", "?", "!"]).tolist() == [1, 0, 0, 1, 0, 1]


@pytest.mark.parametrize("texts", [["", " "], ["\n", ""]])
def test_texts_without_words_give_the_majority(texts: list[str]) -> None:
    assert tfidf_predict(texts * 3, np.array([0, 1, 1, 1, 0, 1]), ["word", ""]).tolist() == [1, 1]


def test_controls_never_see_the_rows_they_predict() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2
    texts = [f"unique{i} {'yes' if label else 'no'}" for i, label in enumerate(rng.permutation(labels))]
    folds = assign_folds(labels, None, folds=5, seed=0)
    judge = OutOfFold(labels, None, folds, 2, "accuracy", bootstraps=200, seed=0)

    def words(judge: OutOfFold) -> np.ndarray:
        return judge.predictions(
            lambda train, held_out: tfidf_predict(
                [texts[i] for i in train], judge.labels[train], [texts[i] for i in held_out]
            )
        )

    # words that occur in one row only can't help; "yes" and "no" are shuffled, so nothing can
    assert 0.3 < judge.bounds(words(judge)).point < 0.7
    flipped = labels.copy()
    flipped[folds == 0] = 1 - flipped[folds == 0]
    other = OutOfFold(flipped, None, folds, 2, "accuracy", bootstraps=200, seed=0)
    assert np.array_equal(words(judge)[folds == 0], words(other)[folds == 0])


def test_the_paired_difference_of_equals_is_zero_with_no_width() -> None:
    labels = np.arange(50) % 2
    folds = assign_folds(labels, None, folds=5, seed=0)
    judge = OutOfFold(labels, None, folds, 2, "macro_f1", bootstraps=200, seed=0)
    same = judge.difference(judge.majority(), judge.majority())
    assert (same.point, same.low, same.high) == (0.0, 0.0, 0.0)


@given(scores=st.lists(st.floats(0, 1), min_size=3, max_size=3), rows=st.integers(8, 10_000))
def test_the_slope_is_the_regression_on_the_binary_logarithm(scores: list[float], rows: int) -> None:
    sizes = [rows, 2 * rows, 4 * rows]
    expected = linregress(np.log2(sizes), scores).slope
    assert slope_per_doubling(sizes, scores) == pytest.approx(expected, abs=1e-9)


def test_one_size_has_no_slope_and_scores_stay_in_range() -> None:
    assert slope_per_doubling([100, 100], [0.1, 0.9]) == 0.0
    assert score_at_double(0.95, 0.1) == 1.0
    assert score_at_double(0.5, 0.02) == pytest.approx(0.52)
