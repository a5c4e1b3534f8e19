"""Best against worst of equally good slices is called more than chance in one case of twenty, whatever was picked."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from acclimate.core.metrics import score
from acclimate.core.paired import slice_range
from acclimate.core.paired_means import slice_mean_range

TRIALS = 150
# false alarms in that many trials at 5 %, but for one case in ten thousand
MOST = int(binom.ppf(0.9999, TRIALS, 0.05))


def sliced(sizes: list[int]) -> list[np.ndarray]:
    return np.split(np.arange(sum(sizes)), np.cumsum(sizes)[:-1])


def answers(rng: np.random.Generator, n: int, shares: list[float], right: np.ndarray | float) -> tuple[np.ndarray, ...]:
    truth = rng.choice(len(shares), size=n, p=shares)
    return truth, np.where(rng.random(n) < right, truth, (truth + 1) % len(shares))


def apart(metric: str, truth: np.ndarray, predicted: np.ndarray, parts: list[np.ndarray], n_classes: int) -> float:
    scores = [score(metric, truth[part], predicted[part], n_classes) for part in parts]
    return max(scores) - min(scores)


@pytest.mark.parametrize(
    ("metric", "sizes", "shares", "right"),
    [
        ("accuracy", [100] * 20, [0.5, 0.5], 0.85),
        ("accuracy", [30, 300], [0.5, 0.5], 0.9),
        ("accuracy", [30] * 20, [0.5, 0.5], 0.97),
        ("macro_f1", [30, 40, 50, 60, 100, 200, 400, 800], [0.6, 0.3, 0.1], 0.85),
    ],
    ids=["many", "uneven", "nearly all right", "rare class"],
)
def test_equally_good_slices_are_told_apart_in_one_case_of_twenty(
    metric: str, sizes: list[int], shares: list[float], right: float
) -> None:
    rng, parts, found = np.random.default_rng(7), sliced(sizes), []
    for seed in range(TRIALS):
        truth, predicted = answers(rng, sum(sizes), shares, right)
        limit = slice_range(metric, truth, predicted, parts, len(shares), bootstraps=300, seed=seed)
        found.append((apart(metric, truth, predicted, parts, len(shares)), limit))
    seen, limits = np.array(found).T
    assert (seen > limits).sum() <= MOST
    # nor is the limit out of reach
    assert np.quantile(seen, 0.95) > 0.7 * np.median(limits)


def test_of_twenty_slices_the_range_by_chance_is_what_was_computed_by_hand() -> None:
    rng, parts = np.random.default_rng(0), sliced([100] * 20)
    truth, predicted = answers(rng, 2000, [0.5, 0.5], 0.85)
    # 20 normal scores of standard deviation sqrt(.85 * .15 / 100): 95 % quantile of their range is 5.01 of it
    limit = slice_range("accuracy", truth, predicted, parts, 2, bootstraps=2000, seed=0)
    assert limit == pytest.approx(5.01 * np.sqrt(0.85 * 0.15 / 100), abs=0.015)


@pytest.mark.parametrize("spans", [False, True], ids=["each group in one slice", "groups span slices"])
def test_with_groups_of_like_rows_it_holds_too(spans: bool) -> None:
    rng, sizes, found = np.random.default_rng(3), [150] * 6, []
    parts = sliced(sizes)
    for seed in range(TRIALS):
        group = np.arange(900) // 5
        group = rng.permutation(group) if spans else group
        # rows of a group are right or wrong together more often than not
        truth, predicted = answers(rng, 900, [0.5, 0.5], rng.beta(2, 0.4, size=180)[group])
        names = [f"g{one}" for one in group]
        limit = slice_range("accuracy", truth, predicted, parts, 2, bootstraps=300, seed=seed, groups=names)
        alone = slice_range("accuracy", truth, predicted, parts, 2, bootstraps=300, seed=seed)
        found.append((apart("accuracy", truth, predicted, parts, 2), limit, alone))
    seen, limits, without = np.array(found).T
    assert (seen > limits).sum() <= MOST
    if not spans:
        assert (seen > without).sum() > MOST, "rows taken one by one would have raised false alarms"


def test_means_of_scores_are_judged_alike() -> None:
    rng, parts, alarms = np.random.default_rng(5), sliced([60] * 10), 0
    for seed in range(TRIALS):
        scores = rng.beta(2, 1, size=600).round(1)
        means = [scores[part].mean() for part in parts]
        alarms += max(means) - min(means) > slice_mean_range(scores, parts, bootstraps=300, seed=seed)
    assert alarms <= MOST


def test_a_slice_that_is_left_behind_shows() -> None:
    rng, parts = np.random.default_rng(1), sliced([100] * 20)
    right = np.full(2000, 0.85)
    right[parts[4]] = 0.6
    truth, predicted = answers(rng, 2000, [0.5, 0.5], right)
    limit = slice_range("accuracy", truth, predicted, parts, 2, bootstraps=1000, seed=0)
    assert apart("accuracy", truth, predicted, parts, 2) > limit


def test_a_slice_none_of_whose_groups_is_drawn_is_left_out_of_that_draw() -> None:
    truth = np.zeros(40, dtype=np.int64)
    names = ["alone"] * 20 + [f"g{i}" for i in range(20)]
    predicted = np.array([0] * 20 + [0, 1] * 10)
    limit = slice_range("accuracy", truth, predicted, sliced([20, 20]), 2, bootstraps=500, seed=0, groups=names)
    assert 0 < limit < 0.5


def test_one_slice_has_no_range() -> None:
    with pytest.raises(ValueError, match="slices"):
        slice_mean_range([0.5, 1.0], [np.arange(2)], bootstraps=10, seed=0)
