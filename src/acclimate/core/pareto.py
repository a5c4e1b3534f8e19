"""Which of several choices no other beats in everything."""

from __future__ import annotations

from collections.abc import Sequence


def undominated(points: Sequence[tuple[float, float]]) -> list[bool]:
    """For each point whether no other is at least as large in both coordinates and larger in one.

    Args:
        points: two coordinates each, larger is better in both.
    """
    return [
        not any(
            other[0] >= point[0] and other[1] >= point[1] and (other[0] > point[0] or other[1] > point[1])
            for other in points
        )
        for point in points
    ]
