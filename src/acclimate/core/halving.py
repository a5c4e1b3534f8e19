"""Successive halving: short trainings of all arms, the better half goes on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class HalvingResult:
    """Which arm is left.

    Args:
        survivor: the arm to be trained on its full schedule.
        rung_scores: scores of each arm, one for each rung it was in; empty lists when there was no rung.
    """

    survivor: str
    rung_scores: dict[str, list[float]]


def rung_epochs(caps: Mapping[str, int]) -> list[int]:
    """Epochs of each rung: the last one about half of the smallest cap, each before it half of that.

    Args:
        caps: longest training of each arm, epochs; at least one arm.

    Returns:
        One number a rung, at least 1 each; no rung for a single arm, one for two, two for up to four.
    """
    rungs = (len(caps) - 1).bit_length()
    smallest = min(caps.values())
    return [max(1, smallest // 2 ** (rungs - i)) for i in range(rungs)]


def successive_halving(caps: Mapping[str, int], train: Callable[[str, int], float]) -> HalvingResult:
    """Train all arms for a rung, keep the better half (rounded up), and again, until one is left.

    Args:
        caps: longest training of each arm, epochs; equal scores keep this order.
        train: ``train(arm, epochs)`` trains an arm from its start for a rung and returns its validation
            score, higher is better. It is called in the order of the caps within a rung.

    Returns:
        The one survivor and the scores of all; it has yet to be trained on its full schedule.

    Raises:
        ValueError: no arm, or a cap below 1.

    Source:
        Jamieson & Talwalkar 2016, with eta = 2.
    """
    if not caps or min(caps.values()) < 1:
        raise ValueError(f"successive halving needs arms with at least one epoch each, got {dict(caps)}")
    scores: dict[str, list[float]] = {arm: [] for arm in caps}
    alive = list(caps)
    for epochs in rung_epochs(caps):
        for arm in alive:
            scores[arm].append(train(arm, epochs))
        ranked = sorted(alive, key=lambda arm: -scores[arm][-1])
        kept = ranked[: (len(alive) + 1) // 2]
        alive = [arm for arm in alive if arm in kept]
    return HalvingResult(alive[0], scores)
