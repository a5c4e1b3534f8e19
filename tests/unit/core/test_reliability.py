import numpy as np
import pytest
import torch
from scipy import special
from sklearn import metrics as reference

from acclimate.core.reliability import brier, ece_debiased, fit_temperature, nll, reliability_bins, softmax


def drawn(rows: int, classes: int, seed: int, sharpness: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from softmax(logits / sharpness): calibrated at temperature ``sharpness``."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (rows, classes))
    prob = special.softmax(logits, axis=1)
    labels = (prob.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1).clip(max=classes - 1)
    return logits * sharpness, labels


def test_softmax_equals_torch_and_survives_large_logits() -> None:
    logits = np.array([[1.0, 2.0, -3.0], [1000.0, 0.0, -1000.0]])
    np.testing.assert_allclose(softmax(logits), torch.tensor(logits).softmax(dim=1).numpy(), atol=1e-12)


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 3.0])
def test_temperature_recovers_the_one_the_labels_were_drawn_at(sharpness: float) -> None:
    logits, labels = drawn(6000, 3, seed=0, sharpness=sharpness)
    assert fit_temperature(logits, labels) == pytest.approx(sharpness, rel=0.06)


def test_temperature_is_the_minimum_of_the_likelihood() -> None:
    logits, labels = drawn(300, 4, seed=1, sharpness=2.0)
    best = fit_temperature(logits, labels)
    grid = np.geomspace(0.06, 19, 400)
    losses = [nll(softmax(logits / t), labels) for t in grid]
    assert nll(softmax(logits / best), labels) <= min(losses) + 1e-9
    assert best == pytest.approx(grid[int(np.argmin(losses))], rel=0.02)


def test_temperature_stays_one_if_no_row_is_wrong() -> None:
    assert fit_temperature([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]], [0, 1, 0]) == 1.0


def test_temperature_of_noise_is_at_its_limit_not_beyond() -> None:
    rng = np.random.default_rng(0)
    assert 5 < fit_temperature(rng.normal(0, 5, (400, 2)), rng.integers(2, size=400)) <= 20


def test_nll_and_brier_equal_scikit_learn() -> None:
    logits, labels = drawn(200, 3, seed=2)
    prob = softmax(logits)
    assert nll(prob, labels) == pytest.approx(reference.log_loss(labels, prob, labels=[0, 1, 2]))
    expected = reference.brier_score_loss(labels, prob, labels=[0, 1, 2], scale_by_half=False)
    assert brier(prob, labels) == pytest.approx(expected)


def test_nll_of_an_impossible_label_is_finite() -> None:
    assert nll([[1.0, 0.0]], [1]) == pytest.approx(27.6, abs=0.1)


def test_brier_of_the_extremes() -> None:
    assert brier([[1.0, 0.0]], [0]) == 0
    assert brier([[1.0, 0.0]], [1]) == 2


def plain_squared_error(prob: np.ndarray, labels: np.ndarray, bins: int) -> float:
    return sum(b.rows * (b.confidence - b.accuracy) ** 2 for b in reliability_bins(prob, labels, bins)) / len(labels)


def debiased_squared_error(prob: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Written out row by row, unlike the implementation."""
    order = np.argsort(prob.max(axis=1), kind="stable")
    total = 0.0
    for part in np.array_split(order, bins):
        right = (prob[part].argmax(axis=1) == labels[part]).astype(float)
        gap = prob[part].max(axis=1).mean() - right.mean()
        total += len(part) * (gap**2 - right.var(ddof=1) / len(part))
    return total / len(labels)


def test_ece_equals_the_estimator_written_out() -> None:
    logits, labels = drawn(400, 3, seed=0, sharpness=3.0)
    prob = softmax(logits)
    assert ece_debiased(prob, labels, 15) == pytest.approx(np.sqrt(debiased_squared_error(prob, labels, 15)))


def test_ece_squared_is_unbiased_where_the_plain_one_is_not() -> None:
    found, plain = [], []
    for seed in range(300):
        logits, labels = drawn(200, 2, seed=seed)
        found.append(debiased_squared_error(softmax(logits), labels, 15))
        plain.append(plain_squared_error(softmax(logits), labels, 15))
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300) + 2e-4
    assert np.mean(plain) > 0.006


def test_ece_of_an_overconfident_model_is_its_gap() -> None:
    rng = np.random.default_rng(0)
    prob = np.tile([0.95, 0.05], (20_000, 1))
    labels = (rng.random(20_000) > 0.75).astype(int)
    assert ece_debiased(prob, labels, 15) == pytest.approx(0.2, abs=0.01)


def test_ece_is_zero_for_a_perfect_model() -> None:
    assert ece_debiased([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], [0, 1, 0], 15) == 0


def test_bins_are_even_ordered_and_complete() -> None:
    logits, labels = drawn(203, 3, seed=0)
    prob = softmax(logits)
    bins = reliability_bins(prob, labels, 10)
    assert [b.rows for b in bins] == [21] * 3 + [20] * 7
    assert [b.confidence for b in bins] == sorted(b.confidence for b in bins)
    right = prob.argmax(axis=1) == labels
    assert sum(b.rows * b.accuracy for b in bins) == pytest.approx(right.sum())
    assert sum(b.rows * b.confidence for b in bins) == pytest.approx(prob.max(axis=1).sum())


def test_fewer_bins_for_few_rows() -> None:
    logits, labels = drawn(9, 2, seed=0)
    assert len(reliability_bins(softmax(logits), labels, 15)) == 4


@pytest.mark.parametrize(
    ("prob", "labels", "says"),
    [
        ([[0.5, 0.5]], [0, 1], "1 rows but 2 labels"),
        ([[np.nan, 0.5]], [0], "finite"),
        ([0.5, 0.5], [0], "finite values"),
        ([[0.5, 0.5]], [2], "0..1"),
        ([[0.5, 0.5]], [0], "two rows"),
    ],
)
def test_wrong_input_is_refused(prob: list, labels: list, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        ece_debiased(prob, labels, 15)
