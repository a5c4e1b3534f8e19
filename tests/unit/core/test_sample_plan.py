import numpy as np
import pytest

from acclimate.core.grouping import number_groups
from acclimate.core.sample_plan import plan_samples


@pytest.mark.parametrize(
    ("target", "source", "m"), [(300, 1000, 300), (400, 500, 250), (5000, 3000, 500), (40, 81, 40)]
)
def test_m_without_groups(target: int, source: int, m: int) -> None:
    plan = plan_samples(np.arange(target), target + np.arange(source), null_pairs=5, draws=3, seed=0)
    assert plan.rows_compared == m
    for pair in (*plan.null_pairs, *plan.draws):
        assert [len(np.unique(side)) for side in pair] == [m, m]


def test_sides_come_from_where_they_should() -> None:
    plan = plan_samples(np.arange(50), 50 + np.arange(120), null_pairs=20, draws=20, seed=0)
    for first, second in plan.null_pairs:
        assert not set(first) & set(second)
        assert min(*first, *second) >= 50
        assert max(*first, *second) < 170
    for target, source in plan.draws:
        assert target.max() < 50 <= source.min()
    assert len({tuple(first) for first, _ in plan.null_pairs}) == 20


def test_no_group_is_on_both_sides_of_a_null_pair_and_at_most_one_is_cut() -> None:
    sizes = np.random.default_rng(1).integers(1, 20, size=40)
    source = np.repeat(np.arange(40), sizes)
    groups = number_groups(None, 100, [f"author {i}" for i in source], source.size)
    plan = plan_samples(groups.target, groups.reference, null_pairs=30, draws=10, seed=0)
    pooled = groups.pooled
    assert pooled is not None
    count = dict(zip(*np.unique(pooled, return_counts=True), strict=True))
    for first, second in plan.null_pairs:
        assert not set(pooled[first]) & set(pooled[second])
    for _, drawn in plan.draws:
        units, taken = np.unique(pooled[drawn], return_counts=True)
        assert sum(taken[i] < count[unit] for i, unit in enumerate(units)) <= 1


def test_the_same_name_in_both_tables_is_two_groups() -> None:
    groups = number_groups(["a", "b", "a"], 3, ["b", "c"], 2)
    assert len(set(groups.target) & set(groups.reference)) == 0
    assert groups.largest == 2
    assert number_groups(None, 3, None, 2).pooled is None


def test_a_single_source_group_leaves_nothing_to_compare() -> None:
    assert plan_samples(np.arange(30), np.full(200, 31), null_pairs=50, draws=1, seed=0).rows_compared == 0
