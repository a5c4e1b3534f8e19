import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acclimate.core.labellings import permuted_labellings
from acclimate.core.mmd import median_bandwidth, mmd_test
from acclimate.core.null_scale import holm
from acclimate.core.text_input import jensen_shannon

seeds = st.integers(0, 2**31 - 1)
samples = arrays(np.float64, st.tuples(st.integers(4, 12), st.just(3)), elements=st.floats(-5, 5, width=32))


@given(x=samples, y=samples)
def test_mmd_is_symmetric(x: np.ndarray, y: np.ndarray) -> None:
    one = np.ones((len(x) + len(y), 2), dtype=bool)
    one[len(x) :] = False
    rows = np.vstack([x, y])
    found, swapped = mmd_test(rows, one, 1.0), mmd_test(rows, ~one, 1.0)
    assert found.squared == pytest.approx(swapped.squared, abs=1e-5)


@given(x=samples, y=samples, seed=seeds)
def test_mmd_does_not_depend_on_the_order_of_rows_or_on_where_the_origin_is(
    x: np.ndarray, y: np.ndarray, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros((len(x) + len(y), 2), dtype=bool)
    labels[: len(x)] = True
    rows, order = np.vstack([x, y]), rng.permutation(len(x) + len(y))
    found = mmd_test(rows, labels, 1.3).squared
    assert mmd_test(rows[order], labels[order], 1.3).squared == pytest.approx(found, abs=1e-5)
    assert mmd_test(rows + 3.0, labels, 1.3).squared == pytest.approx(found, abs=1e-5)


@given(rows=samples, factor=st.floats(0.5, 4))
def test_the_bandwidth_scales_with_the_rows(rows: np.ndarray, factor: float) -> None:
    spread = np.unique(rows, axis=0).shape[0] > len(rows) // 2 + 1
    if spread and median_bandwidth(rows) not in {1.0}:
        assert median_bandwidth(rows * factor) == pytest.approx(median_bandwidth(rows) * factor, rel=1e-4)


@settings(max_examples=50)
@given(sizes=st.lists(st.integers(1, 5), min_size=2, max_size=12), seed=seeds, data=st.data())
def test_permutations_move_whole_groups_and_keep_their_number(sizes: list[int], seed: int, data: st.DataObject) -> None:
    in_first = np.array(data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes))))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    found = permuted_labellings(in_first[groups], groups, 7, np.random.default_rng(seed))
    assert (found[:, 0] == in_first[groups]).all()
    for column in found.T:
        by_group = [set(column[groups == group]) for group in range(len(sizes))]
        assert all(len(values) == 1 for values in by_group)
        assert sum(True in values for values in by_group) == in_first.sum()


@given(p=st.lists(st.floats(0, 1), max_size=6))
def test_holm_keeps_the_order_and_never_lowers_a_p_value(p: list[float]) -> None:
    adjusted = holm(p)
    assert all(before <= after <= 1 for before, after in zip(p, adjusted, strict=True))
    assert [adjusted[i] for i in np.argsort(p, kind="stable")] == sorted(adjusted)


@given(
    p=arrays(np.int64, 8, elements=st.integers(0, 50)).filter(lambda a: a.sum() > 0),
    q=arrays(np.int64, 8, elements=st.integers(0, 50)).filter(lambda a: a.sum() > 0),
)
def test_jensen_shannon_is_symmetric_and_bounded(p: np.ndarray, q: np.ndarray) -> None:
    assert 0 <= jensen_shannon(p, q) <= 1 + 1e-12
    assert jensen_shannon(p, q) == pytest.approx(jensen_shannon(q, p), abs=1e-12)
    assert jensen_shannon(p, p) == 0
