from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.core.unfreezing import Opening, epochs_waited, next_opening


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


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.5], 0),
        ([0.5, 0.6], 0),
        # each stall opens a group, as long as there are some: the third is open here, of three
        ([0.5, 0.5], 0),
        ([0.5, 0.5, 0.5], 0),
        ([0.5, 0.5, 0.5, 0.5], 1),
        ([0.5, 0.5, 0.5, 0.5, 0.5], 2),
        # going back gives the best weights a chance of their own
        ([0.5, 0.5, 0.4], 0),
        ([0.5, 0.5, 0.4, 0.5], 1),
    ],
)
def test_patience_is_counted_from_the_last_change(scores: list[float], expected: int) -> None:
    assert epochs_waited(scores, 3) == expected


@given(scores_of.filter(bool))
def test_with_one_group_it_is_the_epochs_since_the_best(scores: list[float]) -> None:
    assert epochs_waited(scores, 1) == len(scores) - 1 - scores.index(max(scores))
