import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from acclimate.core.metrics import METRICS
from acclimate.core.paired import (
    PairedDifference,
    bootstrap_score,
    detectable_effect,
    mcnemar_exact,
    paired_difference,
    rows_needed,
)
from acclimate.core.paired_means import paired_mean_difference

METRIC = st.sampled_from(sorted(METRICS))


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray, np.ndarray, list[str] | None]:
    classes = draw(st.integers(2, 5))
    rows = draw(st.lists(st.tuples(*[st.integers(0, classes - 1)] * 3), min_size=1, max_size=30))
    groups = draw(st.none() | st.lists(st.sampled_from("pqrs"), min_size=len(rows), max_size=len(rows)))
    truth, a, b = np.array(rows).T
    return classes, truth, a, b, groups


@given(METRIC, comparisons())
@settings(deadline=None)
def test_bounds_are_ordered_finite_and_in_range(metric: str, rows: tuple) -> None:
    classes, truth, a, b, groups = rows
    found = paired_difference(metric, truth, a, b, classes, bootstraps=200, seed=0, groups=groups)
    ordered = [-1, found.low, found.low_one_sided, found.high_one_sided, found.high, 1]
    assert ordered == sorted(ordered)
    bounds = bootstrap_score(metric, truth, a, classes, bootstraps=200, seed=0, groups=groups)
    assert 0 <= bounds.low <= bounds.high <= 1


@given(METRIC, comparisons())
@settings(deadline=None)
def test_order_of_rows_does_not_matter(metric: str, rows: tuple) -> None:
    classes, truth, a, b, groups = rows
    order = np.random.default_rng(0).permutation(len(truth))
    moved = None if groups is None else [groups[i] for i in order]
    first = paired_difference(metric, truth, a, b, classes, bootstraps=100, seed=3, groups=groups)
    again = paired_difference(metric, truth[order], a[order], b[order], classes, bootstraps=100, seed=3, groups=moved)
    assert first == again


@given(METRIC, comparisons())
@settings(deadline=None)
def test_exchanging_the_models_gives_the_mirror_image(metric: str, rows: tuple) -> None:
    classes, truth, a, b, groups = rows
    there = paired_difference(metric, truth, a, b, classes, bootstraps=100, seed=3, groups=groups)
    back = paired_difference(metric, truth, b, a, classes, bootstraps=100, seed=3, groups=groups)
    tables = [sorted(zip(truth.tolist(), x.tolist(), y.tolist(), strict=True)) for x, y in ((a, b), (b, a))]
    assume(groups is not None or tables[0] != tables[1])
    bounds = -back.high, -back.low, -back.high_one_sided, -back.low_one_sided
    assert there == PairedDifference(-back.point, *bounds, back.standard_error)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=20))
@settings(deadline=None)
def test_exchanging_two_models_with_scores_gives_the_mirror_image(rows: list[tuple[float, float]]) -> None:
    assume(sorted(rows) != sorted((b, a) for a, b in rows))
    a, b = np.array(rows).T
    there, back = (paired_mean_difference(x, y, bootstraps=100, seed=3) for x, y in ((a, b), (b, a)))
    assert (there.low, there.low_one_sided) == pytest.approx((-back.high, -back.high_one_sided), abs=1e-12)


@given(comparisons())
def test_mcnemar_is_symmetric_and_a_probability(rows: tuple) -> None:
    _, truth, a, b, _ = rows
    there, back = mcnemar_exact(truth, a, b), mcnemar_exact(truth, b, a)
    assert there.p_value == back.p_value
    assert 0 < there.p_value <= 1
    assert (there.only_a, there.only_b) == (back.only_b, back.only_a)


@given(st.floats(0.001, 1), st.integers(1, 10**6))
def test_that_many_rows_find_the_effect_and_one_less_does_not(disagreement: float, rows: int) -> None:
    effect = detectable_effect(rows, disagreement)
    needed = rows_needed(effect, disagreement)
    assert abs(needed - rows) <= 1
    assert detectable_effect(needed, disagreement) <= effect * (1 + 1e-9)
