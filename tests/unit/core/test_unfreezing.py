from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.core.unfreezing import Opening, next_opening


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], Opening(1)),
        ([0.5], Opening(1)),
        ([0.5, 0.6], Opening(1)),
        ([0.5, 0.6, 0.6], Opening(2)),
        ([0.5, 0.6, 0.6, 0.7], Opening(2)),
        ([0.5, 0.6, 0.6, 0.6], Opening(3)),
        ([0.5, 0.6, 0.6, 0.5], Opening(1, goes_back=True)),
        # gone back once, nothing opens any more
        ([0.5, 0.6, 0.6, 0.5, 0.6], Opening(1)),
        ([0.5, 0.6, 0.6, 0.5, 0.4], Opening(1)),
        # worse with the groups that the best one had is a stall, not a reason to go back
        ([0.6, 0.5], Opening(2)),
    ],
)
def test_what_opens(scores: list[float], expected: Opening) -> None:
    assert next_opening(scores, 4) == expected


scores_of = st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, 0.5]), max_size=20)


@given(scores_of, st.integers(1, 6))
def test_never_more_groups_than_there_are_and_never_two_at_once(scores: list[float], groups: int) -> None:
    before = 1
    for epoch in range(len(scores) + 1):
        found = next_opening(scores[:epoch], groups)
        assert 1 <= found.groups <= groups
        assert found.groups <= before + 1
        before = found.groups


@given(scores_of, st.integers(1, 6))
def test_it_goes_back_at_most_once_and_opens_nothing_after_that(scores: list[float], groups: int) -> None:
    openings = [next_opening(scores[:epoch], groups) for epoch in range(len(scores) + 1)]
    back = [i for i, opening in enumerate(openings) if opening.goes_back]
    assert len(back) <= 1
    if back:
        assert {opening.groups for opening in openings[back[0] :]} == {openings[back[0]].groups}
