"""The low-rank change between two matrices."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from acclimate.core.low_rank import low_rank_change


@given(
    st.integers(0, 6), st.integers(8, 40), st.integers(8, 40), st.sampled_from([1e-3, 0.1, 10.0]), st.integers(0, 10**6)
)
def test_a_product_added_in_float32_is_found_again(rank: int, rows: int, columns: int, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    before = (scale * rng.normal(size=(rows, columns))).astype(np.float32)
    up, down = rng.normal(size=(rows, rank)), rng.normal(size=(rank, columns))
    after = before + (0.01 * scale * up @ down).astype(np.float32)
    found = low_rank_change(before, after)
    assert found.rank == rank
    assert (found.up.shape, found.down.shape) == ((rows, rank), (rank, columns))
    np.testing.assert_allclose(before + found.up @ found.down, after, atol=float(8 * 2.0**-24 * np.linalg.norm(after)))


def test_a_mix_of_two_changes_has_the_rank_of_both() -> None:
    rng = np.random.default_rng(0)
    before = rng.normal(size=(30, 20)).astype(np.float32)
    one, other = (before + (0.1 * rng.normal(size=(30, 2)) @ rng.normal(size=(2, 20))).astype(np.float32) for _ in "ab")
    assert low_rank_change(before, 0.5 * one + 0.5 * other).rank == 4
    assert low_rank_change(before, 0.3 * before + 0.7 * one).rank == 2
