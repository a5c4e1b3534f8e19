import itertools

import numpy as np
import pytest

from acclimate.core.detectable_shift import SHIFTS, smallest_found
from acclimate.core.null_scale import NullScale, holm, units_interval

NULL = NullScale(np.random.default_rng(0).normal(2.0, 0.5, size=200))


def test_units_are_anchored_at_the_median_and_the_95_percent_quantile() -> None:
    assert NULL.units(NULL.median) == 0.0
    assert NULL.units(NULL.q95) == pytest.approx(1.0)
    assert NULL.units(2 * NULL.q95 - NULL.median) == pytest.approx(2.0)
    assert NULL.q95 == pytest.approx(sorted(NULL.sample)[189], abs=0.05)


def test_units_do_not_change_with_the_unit_of_the_distance() -> None:
    scaled = NullScale(NULL.sample * 7 - 3)
    assert scaled.units(4.0 * 7 - 3) == pytest.approx(NULL.units(4.0))


def coverage(n: int, m: int, trials: int) -> float:
    """Share of intervals that hold the true units, for the distance 'difference of two means'."""
    rng = np.random.default_rng(8)
    null = NullScale(rng.normal(0, np.sqrt(2 / m), size=100_000))
    truth, hits = null.units(0.3), 0
    small = NullScale(null.sample[:400])
    for trial in range(trials):
        target, source = rng.normal(0.3, 1, n), rng.normal(0, 1, 2 * n)
        drawn = [rng.permutation(target)[:m].mean() - rng.permutation(source)[:m].mean() for _ in range(20)]
        found = units_interval(small, np.array(drawn), target_share=m / n, source_share=m / (2 * n), seed=trial)
        hits += found.low <= truth <= found.high
    return hits / trials


@pytest.mark.parametrize(("n", "m"), [(300, 100), (100, 100)])
def test_the_interval_covers_the_true_units_even_where_draws_repeat_all_rows(n: int, m: int) -> None:
    # The naive interval over draws covers about half where all target rows are in every draw.
    assert 0.88 <= coverage(n, m, 100) <= 0.995


def test_a_single_draw_gets_the_nulls_spread() -> None:
    found = units_interval(NULL, np.array([3.0]), target_share=1.0, source_share=0.5, seed=0)
    assert found.low < found.point == NULL.units(3.0) < found.high


def closed_testing(p: list[float]) -> list[float]:
    """Holm as the closure of Bonferroni tests: the largest Bonferroni p over all subsets that hold i."""
    subsets = [s for r in range(1, len(p) + 1) for s in itertools.combinations(range(len(p)), r)]
    return [max(min(1.0, len(s) * min(p[j] for j in s)) for s in subsets if i in s) for i in range(len(p))]


@pytest.mark.parametrize("p", [[0.01, 0.04], [0.04, 0.01], [0.6, 0.7], [0.03, 0.03], [0.2, 0.01, 0.02, 0.9], [0.5]])
def test_holm_equals_closed_testing(p: list[float]) -> None:
    assert holm(p) == pytest.approx(closed_testing(p))
    assert holm([]) == []


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.21, 0.3, 1.0, 1.1])
def test_the_smallest_found_shift_equals_a_full_scan(threshold: float) -> None:
    def share(shift: float) -> float:
        return 0.8 if shift >= threshold else 0.79

    assert smallest_found(share) == next((shift for shift in SHIFTS if share(shift) >= 0.8), None)
