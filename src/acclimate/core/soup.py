"""Which of several models are averaged."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def greedy_soup(candidates: Sequence[int], score: Callable[[tuple[int, ...]], float]) -> tuple[tuple[int, ...], float]:
    """Add candidates one by one to a mean, keeping each that does not make it worse.

    Args:
        candidates: best first; the first is always in.
        score: validation score of the mean of some candidates; larger is better.

    Returns:
        The candidates that are averaged, and the score of their mean: at least that of the first alone.

    Source:
        Wortsman et al. 2022 (model soups), recipe 1.
    """
    taken: tuple[int, ...] = (candidates[0],)
    best = score(taken)
    for candidate in candidates[1:]:
        value = score((*taken, candidate))
        if value >= best:
            taken, best = (*taken, candidate), value
    return taken, best
