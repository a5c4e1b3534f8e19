"""What the gap's tests could have found: the smallest planted shift that they do find."""

from __future__ import annotations

from collections.abc import Callable, Sequence

SHIFTS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1.0)
POWER = 0.8


def smallest_found(share_found: Callable[[float], float], shifts: Sequence[float] = SHIFTS) -> float | None:
    """Search for the smallest shift that is found often enough.

    Args:
        share_found: share of draws in which a planted shift is found, 0..1; taken to rise with the shift,
            so that a binary search does.
        shifts: the shifts to try, rising.

    Returns:
        The smallest of ``shifts`` found in at least 80 % of the draws; None if the largest is not.
    """
    low, high = 0, len(shifts)
    while low < high:
        middle = (low + high) // 2
        if share_found(shifts[middle]) >= POWER:
            high = middle
        else:
            low = middle + 1
    return shifts[low] if low < len(shifts) else None
