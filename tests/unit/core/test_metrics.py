import warnings

import numpy as np
import pytest
from sklearn import metrics as reference

from acclimate.core.metrics import confusion, score, score_of_counts

REFERENCE = {
    "macro_f1": lambda truth, predicted: reference.f1_score(truth, predicted, average="macro"),
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
}


@pytest.mark.parametrize("metric", sorted(REFERENCE))
@pytest.mark.parametrize("n_classes", [2, 3, 7])
@pytest.mark.parametrize("seed", range(5))
def test_score_equals_scikit_learn(metric: str, n_classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, noise = rng.integers(n_classes, size=(2, 60))
    predicted = np.where(rng.random(60) < 0.6, truth, noise)
    assert score(metric, truth, predicted, n_classes) == pytest.approx(REFERENCE[metric](truth, predicted), abs=1e-12)


@pytest.mark.parametrize("metric", sorted(REFERENCE))
def test_classes_that_do_not_occur_do_not_count(metric: str) -> None:
    truth, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert score(metric, truth, predicted, 2) == score(metric, truth, predicted, 9)


def test_macro_f1_counts_a_class_that_is_only_predicted() -> None:
    assert score("macro_f1", [0, 0, 0, 0], [0, 0, 0, 1], 3) == pytest.approx((2 * 3 / 7 + 0) / 2)


def test_balanced_accuracy_ignores_a_class_that_is_only_predicted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = reference.balanced_accuracy_score([0, 0, 0, 1], [0, 2, 0, 1])
    assert score("balanced_accuracy", [0, 0, 0, 1], [0, 2, 0, 1], 3) == pytest.approx(expected)


def test_confusion_equals_scikit_learn() -> None:
    truth, predicted = np.random.default_rng(0).integers(5, size=(2, 80))
    counts = confusion(truth, predicted, 5)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, reference.confusion_matrix(truth, predicted, labels=range(5)))


def test_scores_of_many_samples_at_once() -> None:
    counts = np.array([[[3, 1], [0, 4]], [[4, 0], [0, 4]]], dtype=float)
    hits, predicted, true = np.diagonal(counts, axis1=1, axis2=2), counts.sum(axis=1), counts.sum(axis=2)
    np.testing.assert_allclose(score_of_counts("accuracy", hits, predicted, true), [7 / 8, 1.0])


@pytest.mark.parametrize(
    ("truth", "predicted", "says"),
    [
        ([], [], "with rows"),
        ([0, 1], [0], "2 true classes but 1"),
        ([0, 2], [0, 1], "0..1"),
        ([0, -1], [0, 1], "0..1"),
        ([0.0, 1.0], [0, 1], "integers"),
        ([[0, 1]], [[0, 1]], "vector"),
    ],
)
def test_wrong_input_is_refused(truth: list, predicted: list, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        score("accuracy", truth, predicted, 2)


def test_unknown_metric_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown metric 'f2'.*macro_f1"):
        score("f2", [0, 1], [0, 1], 2)
