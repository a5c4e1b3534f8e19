import itertools
import math

import numpy as np
import pytest
from scipy.stats import binom

from acclimate.core.labellings import permuted_labellings
from acclimate.core.mmd import median_bandwidth, mmd_test

HALVES = 0.5, 1.0, 2.0


def naive_mmd2(x: np.ndarray, y: np.ndarray, bandwidth: float) -> float:
    """Unbiased MMD^2 term by term."""

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return math.exp(-float(((a - b) ** 2).sum()) / (2 * bandwidth**2))

    m, n = len(x), len(y)
    xx = sum(k(x[i], x[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    yy = sum(k(y[i], y[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return xx + yy - 2 * sum(k(a, b) for a in x for b in y) / (m * n)


def labellings(n_x: int, n_y: int, permutations: int = 60, groups: np.ndarray | None = None) -> np.ndarray:
    in_first = np.arange(n_x + n_y) < n_x
    return permuted_labellings(in_first, groups, permutations, np.random.default_rng(5))


@pytest.mark.parametrize(("n_x", "n_y"), [(9, 9), (6, 11)])
def test_everything_equals_a_double_loop_over_pairs(n_x: int, n_y: int) -> None:
    rows = np.random.default_rng(0).normal(size=(n_x + n_y, 3)) + 10
    rows[:n_x, 0] += 0.8
    sides = labellings(n_x, n_y, 25)
    found = mmd_test(rows, sides, 1.7)

    table = np.array([[naive_mmd2(rows[s], rows[~s], 1.7 * f) for s in sides.T] for f in HALVES])
    standardised = (table / table[:, 1:].std(axis=1, keepdims=True)).max(axis=0)
    assert found.squared == pytest.approx(table[1, 0], abs=1e-6)
    assert found.statistic == pytest.approx(standardised[0], rel=1e-4)
    assert found.p_value == (1 + (standardised[1:] >= standardised[0] - 1e-6).sum()) / 26


def test_unequal_groups_are_compared_at_the_sizes_each_permutation_gives() -> None:
    rows = np.random.default_rng(1).normal(size=(14, 2))
    groups = np.array([0, 0, 0, 1, 2, 2, 3, 4, 4, 4, 5, 5, 6, 7])
    sides = labellings(7, 7, 20, groups)
    assert len(set(sides.sum(axis=0))) > 1
    table = np.array([[naive_mmd2(rows[s], rows[~s], f) for s in sides.T] for f in HALVES])
    expected = (table / table[:, 1:].std(axis=1, keepdims=True)).max(axis=0)[0]
    assert mmd_test(rows, sides, 1.0).statistic == pytest.approx(expected, rel=1e-4)


def test_two_far_points_a_side_in_closed_form() -> None:
    # x = {0, 0}, y = {h, h}: within 1 + 1, between exp(-1/2)
    rows = np.array([[0.0], [0.0], [3.0], [3.0]])
    assert mmd_test(rows, labellings(2, 2, 40), 3.0).squared == pytest.approx(2 - 2 * math.exp(-0.5), abs=1e-6)


def test_median_bandwidth_is_the_median_over_pairs() -> None:
    rows = np.random.default_rng(2).normal(size=(31, 4))
    expected = np.median([np.linalg.norm(a - b) for a, b in itertools.combinations(rows, 2)])
    assert median_bandwidth(rows) == pytest.approx(expected, rel=1e-9)
    assert median_bandwidth(np.ones((10, 2))) == 1.0


def test_identical_rows_are_no_evidence() -> None:
    found = mmd_test(np.ones((20, 3)), labellings(10, 10), 1.0)
    assert (found.statistic, found.p_value) == (0.0, 1.0)


def test_the_statistic_is_not_capped_by_the_number_of_permutations() -> None:
    rows = np.random.default_rng(3).normal(size=(200, 4))
    rows[:100] += 5
    assert mmd_test(rows, labellings(100, 100, 60), median_bandwidth(rows)).statistic > 3 * math.sqrt(61)


def p_values(shift: float, trials: int, m: int = 60) -> np.ndarray:
    rng = np.random.default_rng(11)
    sides = labellings(m, m, 99)
    found = []
    for _ in range(trials):
        rows = rng.normal(size=(2 * m, 5))
        rows[:m, 0] += shift
        found.append(mmd_test(rows, sides, median_bandwidth(rows)).p_value)
    return np.array(found)


def test_false_alarms_stay_within_binomial_bounds() -> None:
    alarms = int((p_values(0.0, 300) <= 0.05).sum())
    assert binom.ppf(0.0005, 300, 0.05) <= alarms <= binom.ppf(0.9995, 300, 0.05)


def test_half_a_sigma_is_found() -> None:
    # 60 rows a side, one of 5 dimensions: a z-test along the right direction would find it in 86 % of trials
    assert (p_values(0.5, 60) <= 0.05).mean() > 0.4
    assert (p_values(0.8, 60) <= 0.05).mean() > 0.85
