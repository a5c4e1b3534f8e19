"""Intervals of calibration measures: their coverage, what groups do to them, and closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from acclimate.core.reliability import brier, ece_debiased, nll, softmax
from acclimate.core.reliability_bounds import reliability_bounds

TRIALS = 200


def drawn(rng: np.random.Generator, n: int, off: float) -> tuple[np.ndarray, np.ndarray]:
    """Two-class probabilities in .5..1 of the predicted class, right that often less ``off``."""
    confidence = rng.uniform(0.55, 0.95, size=n)
    right = rng.random(n) < confidence - off
    prob = np.stack([confidence, 1 - confidence], axis=1)
    return prob, np.where(right, 0, 1)


@pytest.mark.parametrize("off", [0.0, 0.05, 0.15])
@pytest.mark.parametrize("n", [200, 1000])
def test_intervals_hold_the_truth_about_as_often_as_they_say(n: int, off: float) -> None:
    held = {"ece": 0, "nll": 0, "brier": 0}
    big = drawn(np.random.default_rng(0), 400_000, off)
    truth = {"ece": off, "nll": nll(*big), "brier": brier(*big)}
    for trial in range(TRIALS):
        found = reliability_bounds(*drawn(np.random.default_rng([n, trial]), n, off), 15, bootstraps=300, seed=trial)
        for name in held:
            bounds = getattr(found, name)
            held[name] += bounds.low - 1e-9 <= truth[name] <= bounds.high + 1e-9
    # over 1,500 trials they hold .934 or more: 187 of 200, less four standard errors
    assert all(count >= 173 for count in held.values()), held


def test_points_are_those_of_the_measures_and_lie_inside() -> None:
    rng = np.random.default_rng(1)
    prob, labels = softmax(rng.normal(size=(300, 4))), rng.integers(4, size=300)
    found = reliability_bounds(prob, labels, 15, bootstraps=200, seed=0)
    assert found.ece.point == pytest.approx(ece_debiased(prob, labels, 15))
    assert found.nll.point == pytest.approx(nll(prob, labels))
    assert found.brier.point == pytest.approx(brier(prob, labels))
    for bounds in (found.ece, found.nll, found.brier):
        assert bounds.low <= bounds.point <= bounds.high


def test_more_rows_narrow_and_groups_widen() -> None:
    def width(n: int, group: int) -> float:
        prob, labels = drawn(np.random.default_rng(2), n // group, 0.1)
        # a group's rows are all alike
        prob, labels = np.repeat(prob, group, axis=0), np.repeat(labels, group)
        groups = [f"g{i // group}" for i in range(n)] if group > 1 else None
        nll_ = reliability_bounds(prob, labels, 15, bootstraps=400, seed=0, groups=groups).nll
        return nll_.high - nll_.low

    assert width(4000, 1) < 0.65 * width(1000, 1)
    # ten copies of 400 rows say no more than the 400
    assert width(4000, 10) == pytest.approx(width(400, 1), rel=0.15)


def test_a_sure_and_right_model_has_no_error_and_no_spread() -> None:
    prob, labels = np.tile([1.0, 0.0], (50, 1)), np.zeros(50, dtype=np.int64)
    found = reliability_bounds(prob, labels, 10, bootstraps=100, seed=0)
    assert (found.ece.low, found.ece.point, found.ece.high) == (0, 0, 0)
    assert found.brier.high == 0


@pytest.mark.parametrize("rows", [0, 1])
def test_too_few_rows_are_refused(rows: int) -> None:
    with pytest.raises(ValueError, match=r"two rows|rows"):
        reliability_bounds(np.full((rows, 2), 0.5), np.zeros(rows, dtype=np.int64), 5, bootstraps=10, seed=0)
