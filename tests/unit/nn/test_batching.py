"""Batches: every row once, within the budget, in an order that depends on the lengths only."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from acclimate.nn.batching import shuffled_batches, token_batches

lengths_of_rows = st.lists(st.integers(1, 300), max_size=200)


@given(lengths=lengths_of_rows, budget=st.integers(1, 2000), most=st.integers(1, 50))
def test_every_row_once_and_within_the_budget(lengths: list[int], budget: int, most: int) -> None:
    batches = token_batches(lengths, token_budget=budget, max_rows=most)
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= most
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= budget


@given(lengths=lengths_of_rows)
def test_rows_come_shortest_first_and_equal_ones_in_their_order(lengths: list[int]) -> None:
    order = [row for batch in token_batches(lengths, token_budget=512) for row in batch]
    assert [(lengths[row], row) for row in order] == sorted((length, row) for row, length in enumerate(lengths))


@given(lengths=lengths_of_rows, size=st.integers(1, 40), seed=st.integers(0, 1000))
def test_an_epoch_has_every_row_once(lengths: list[int], size: int, seed: int) -> None:
    batches = shuffled_batches(lengths, batch_size=size, rng=np.random.default_rng(seed))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert sum(len(batch) < size for batch in batches) <= 1
    assert batches == shuffled_batches(lengths, batch_size=size, rng=np.random.default_rng(seed))


def test_an_epoch_is_shuffled_and_wastes_little_on_padding() -> None:
    lengths = np.random.default_rng(0).integers(5, 120, size=1600).tolist()
    one, other = (shuffled_batches(lengths, batch_size=32, rng=np.random.default_rng(seed)) for seed in (0, 1))
    assert one != other
    padded = sum(len(batch) * max(lengths[row] for row in batch) for batch in one)
    assert padded < 1.1 * sum(lengths)
