from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acclimate.core.soup import greedy_soup


def test_what_makes_it_worse_is_left_out() -> None:
    scores = {(0,): 0.5, (0, 1): 0.4, (0, 2): 0.5, (0, 2, 3): 0.7}
    assert greedy_soup([0, 1, 2, 3], scores.__getitem__) == ((0, 2, 3), 0.7)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_it_is_never_worse_than_the_first_alone(values: list[float]) -> None:
    def score(taken: tuple[int, ...]) -> float:
        return sum(values[i] for i in taken) / len(taken)

    taken, best = greedy_soup(range(len(values)), score)
    assert taken[0] == 0
    assert best >= score((0,))
    assert best == score(taken)
