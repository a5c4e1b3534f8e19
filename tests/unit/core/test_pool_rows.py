"""A pool keeps clear of what models are chosen and tested on."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from acclimate.core.pool_rows import KnownRows, apart, overlap_rows
from acclimate.core.row_identity import normal_form

words = st.lists(st.sampled_from(["Good day", "good day!", "bad", "BAD", "new", "x"]), max_size=12)
KNOWN = KnownRows.of(["good day", "bad", "old"], [None, "ann", None], ["test", "validation", "train"])


def test_rows_of_validation_test_and_their_groups_are_held_out_and_training_rows_are_copies() -> None:
    texts = ["Good  day!", "BAD", "old.", "new", "newer"]
    found = apart(range(5), texts, [None, None, None, "ann", "bob"], KNOWN)
    assert (found.held_out, found.copies, found.kept) == ([0, 1, 3], [2], [4])


@given(words, words)
def test_what_is_kept_overlaps_with_no_held_out_text(pool: list[str], test: list[str]) -> None:
    known = KnownRows.of(test, [None] * len(test), ["test"] * len(test))  # type: ignore[list-item]
    found = apart(range(len(pool)), pool, [None] * len(pool), known)
    assert sorted([*found.kept, *found.held_out, *found.copies]) == list(range(len(pool)))
    assert overlap_rows(test, [pool[row] for row in found.kept]) == 0
    assert overlap_rows(test, pool) == sum(normal_form(one) in {normal_form(text) for text in pool} for one in test)
