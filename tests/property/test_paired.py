import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.core.metrics import METRICS
from acclimate.core.paired import bootstrap_score, detectable_effect, mcnemar_exact, paired_difference, rows_needed

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
