"""Masks of a masked language model, by property."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from acclimate.core.masking import masked, masked_count

MASK, REPLACEMENTS = 3, np.arange(10, 1000)


@st.composite
def texts(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Token ids from 10 on, and which may be hidden."""
    may = draw(st.lists(st.booleans(), min_size=1, max_size=60))
    ids = draw(st.lists(st.integers(10, 999), min_size=len(may), max_size=len(may)))
    return np.array(ids, dtype=np.int64), np.array(may)


@given(texts(), st.floats(0.01, 1.0), st.integers(0, 2**32 - 1))
def test_only_what_may_be_hidden_is_and_the_rest_stays(
    text: tuple[np.ndarray, np.ndarray], share: float, seed: int
) -> None:
    ids, may = text
    before = ids.copy()
    found = masked(ids, may, share=share, mask_id=MASK, replacements=REPLACEMENTS, rng=np.random.default_rng(seed))
    assert len(found.positions) == masked_count(int(may.sum()), share)
    assert may[found.positions].all()
    assert (np.diff(found.positions) > 0).all(), "ascending, each once"
    untouched = np.setdiff1d(np.arange(len(ids)), found.positions)
    np.testing.assert_array_equal(found.ids[untouched], ids[untouched])
    assert set(found.ids[found.positions]) <= {MASK, *REPLACEMENTS, *ids}
    np.testing.assert_array_equal(ids, before)


@given(texts(), st.integers(0, 2**32 - 1))
def test_the_same_state_gives_the_same_masks(text: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    first, again = (
        masked(*text, share=0.15, mask_id=MASK, replacements=REPLACEMENTS, rng=np.random.default_rng(seed))
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.ids, again.ids)
    np.testing.assert_array_equal(first.positions, again.positions)


@pytest.mark.parametrize(
    ("maskable", "share", "count"), [(0, 0.15, 0), (1, 0.15, 1), (10, 0.15, 2), (100, 0.15, 15), (7, 1.0, 7)]
)
def test_the_share_is_rounded_and_one_token_at_least_is_hidden(maskable: int, share: float, count: int) -> None:
    assert masked_count(maskable, share) == count


def test_of_those_chosen_80_10_10() -> None:
    """Ids that no replacement has, so that each of the three fates shows."""
    ids = np.full(100_000, 5, dtype=np.int64)
    found = masked(
        ids, np.ones(len(ids), dtype=bool), share=0.5, mask_id=MASK, replacements=REPLACEMENTS,
        rng=np.random.default_rng(0),
    )  # fmt: skip
    read = found.ids[found.positions]
    shares = [float((read == MASK).mean()), float((read >= 10).mean()), float((read == 5).mean())]
    # three standard deviations of 50,000 draws
    np.testing.assert_allclose(shares, [0.8, 0.1, 0.1], atol=0.006)
    drawn = np.bincount(read[read >= 10], minlength=1000)[10:]
    assert drawn.max() < 25, "other tokens are drawn evenly: 5 times each on average"
