"""A slice against the other rows: at equal class mix, honest with few groups."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from acclimate.core.slice_gaps import slice_gap


def drawn(rng, n=600, share=0.3, gap=0.0, recalls=(0.95, 0.6), mix=(0.9, 0.2)):
    """Rows of two classes that are unlike in difficulty; the slice has another mix of them than the rest."""
    inside = rng.random(n) < share
    classes = (rng.random(n) > np.where(inside, *mix)).astype(int)
    right = np.asarray(recalls)[classes] - gap * inside
    return (rng.random(n) < right).astype(float), classes, inside


def test_the_difference_is_each_classs_own_weighted_as_in_the_slice() -> None:
    scores = np.array([1.0, 1, 0, 1, 1, 0, 0, 1])
    classes = np.array([0, 0, 1, 1, 0, 1, 1, 1])
    inside = np.array([True, True, True, False, False, False, False, False])
    found = slice_gap(scores, classes, inside)
    # class 0: 1 - 1 at weight 2/3; class 1: 0 - 2/4 at weight 1/3
    assert found is not None
    assert found.point == pytest.approx(-0.5 / 3)
    assert found.low < found.point < found.high


def test_a_slice_of_the_easy_class_is_not_left_behind_for_its_mix() -> None:
    rng = np.random.default_rng(0)
    found = [slice_gap(*drawn(rng)) for _ in range(400)]
    assert abs(np.mean([one.point for one in found])) < 0.01


@pytest.mark.parametrize("recalls", [(0.95, 0.6), (0.99, 0.99), (0.5, 0.5)])
def test_false_alarms_stay_below_the_level(recalls: tuple[float, float]) -> None:
    rng = np.random.default_rng(1)
    p = np.array([slice_gap(*drawn(rng, recalls=recalls)).p_value for _ in range(2000)])
    # 2,000 trials at 5 %: three standard errors are 1.5 points
    assert (p < 0.05).mean() <= 0.065


def test_a_slice_that_is_served_worse_is_found() -> None:
    rng = np.random.default_rng(2)
    p = np.array([slice_gap(*drawn(rng, n=1000, gap=0.12)).p_value for _ in range(300)])
    assert (p < 0.05).mean() > 0.9


@pytest.mark.parametrize("in_slice", [2, 4, 12])
def test_false_alarms_stay_below_the_level_with_few_groups(in_slice: int) -> None:
    rng, alarms, trials = np.random.default_rng(3), 0, 1500
    for _ in range(trials):
        groups = np.repeat(np.arange(in_slice + 20), 25)
        # each group has a difficulty of its own
        level = norm.cdf(0.8 + 0.4 * rng.standard_normal(in_slice + 20))[groups]
        scores = (rng.random(len(groups)) < level).astype(float)
        found = slice_gap(scores, np.zeros(len(groups), dtype=int), groups < in_slice, [str(one) for one in groups])
        assert found is not None
        alarms += found.p_value < 0.05
    print(f"{in_slice} groups in the slice: {alarms / trials:.4f} below .05", flush=True)
    assert alarms / trials <= 0.075


def test_nothing_is_said_of_a_slice_of_one_group_or_without_a_row_to_compare_with() -> None:
    rng = np.random.default_rng(4)
    scores, classes, inside = drawn(rng, n=200)
    assert slice_gap(scores, classes, inside, np.where(inside, "here", "there").tolist()) is None
    assert slice_gap(scores, inside.astype(int), inside) is None
    assert slice_gap(scores, classes, np.ones(len(scores), dtype=bool)) is None


def test_a_slice_without_a_miss_is_not_taken_for_certain() -> None:
    scores, inside = np.ones(100), np.arange(100) < 10
    found = slice_gap(scores, np.zeros(100, dtype=int), inside)
    assert found is not None
    assert (found.point, found.p_value) == (0.0, 0.5)
    assert found.high > 0.05


@pytest.mark.slow
@pytest.mark.parametrize("rows", [120, 600])
@pytest.mark.parametrize("recalls", [(0.95, 0.6), (0.85, 0.8), (0.99, 0.99), (0.5, 0.5)])
def test_of_4000_slices_that_are_served_alike_no_more_are_blamed_than_the_level_says(
    rows: int, recalls: tuple[float, float]
) -> None:
    rng = np.random.default_rng(5)
    p = np.array([slice_gap(*drawn(rng, n=rows, recalls=recalls)).p_value for _ in range(4000)])
    print(f"{rows} rows, recalls {recalls}: {(p < 0.05).mean():.4f} below .05", flush=True)
    assert (p < 0.05).mean() <= 0.06
