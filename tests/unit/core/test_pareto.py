from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from acclimate.core.pareto import undominated

points_of = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12)


def test_an_example() -> None:
    assert undominated([(1, 3), (2, 2), (3, 1), (1, 1), (2, 2)]) == [True, True, True, False, True]


@given(points_of)
def test_who_is_beaten_is_beaten_by_one_on_the_front(points: list[tuple[int, int]]) -> None:
    stays = undominated(points)
    front = [point for point, one in zip(points, stays, strict=True) if one]
    assert front
    for point, one in zip(points, stays, strict=True):
        beaten = any(a >= point[0] and b >= point[1] and (a, b) != point for a, b in front)
        assert beaten != one
