import numpy as np
import pytest

from acclimate.core.domain_gap import DomainGap, GapMeter, pool_rows
from acclimate.core.sample_plan import plan_samples

SPREAD = np.linspace(2.0, 0.2, 12)


def measured(shift: float, *, n: int = 120, groups: bool = False, seed: int = 0) -> DomainGap:
    rng = np.random.default_rng(seed)
    units = np.arange(3 * n) // 3 if groups else np.arange(3 * n)
    target, source = rng.normal(size=(n, 12)) * SPREAD, rng.normal(size=(2 * n, 12)) * SPREAD
    target[:, 0] += shift * SPREAD[0]
    plan = plan_samples(units[:n], units[n:], null_pairs=60, draws=6, seed=seed)
    pooled = pool_rows(target, source, units if groups else None, plan.rows_compared)
    found = GapMeter(pooled, 99, seed, lambda *_: None).measure(plan)
    assert found is not None
    return found


def test_units_and_p_values_tell_a_shift_from_none() -> None:
    none, clear = measured(0.0), measured(1.5)
    assert [d.name for d in none.distances] == ["mmd", "c2st"]
    for distance in none.distances:
        assert distance.units.low <= distance.units.point <= distance.units.high
        assert distance.units.low < 1
        assert distance.p_value > 0.01
    for distance in clear.distances:
        assert distance.units.point > 3
        assert distance.units.low > 1
        assert distance.p_value == pytest.approx(0.01)
    assert clear.distances[1].extra["pad"] > 0.4 > none.distances[1].extra["pad"]


def test_units_grow_with_the_shift() -> None:
    units = [measured(shift).distances[0].units.point for shift in (0.0, 0.4, 0.8, 1.6)]
    assert units == sorted(units)


def test_more_rows_detect_smaller_shifts() -> None:
    few, many = measured(0.0, n=40).detectable_shift, measured(0.0, n=300).detectable_shift
    assert few is not None
    assert many is not None
    assert 0.15 <= many < few


def test_groups_are_measured_too_and_the_same_seed_gives_the_same_answer() -> None:
    first, again = measured(1.0, groups=True), measured(1.0, groups=True)
    assert first.distances[0].units == again.distances[0].units
    assert first.distances[0].units.point > 3
    assert first.detectable_shift == again.detectable_shift


def test_a_source_without_spread_has_no_scale() -> None:
    plan = plan_samples(np.arange(40), 40 + np.arange(80), null_pairs=50, draws=2, seed=0)
    pooled = pool_rows(np.random.default_rng(0).normal(size=(40, 4)), np.ones((80, 4)), None, plan.rows_compared)
    assert GapMeter(pooled, 99, 0, lambda *_: None).measure(plan) is None


def test_dimensions_are_reduced_only_where_rows_are_few() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 4))
    assert pool_rows(rows, rows, None, 40).rows.shape == (100, 4)
    assert pool_rows(rows, rows, None, 39).rows.shape == (100, 3)
    assert pool_rows(rows, rows, None, 20).rows.shape == (100, 2)
