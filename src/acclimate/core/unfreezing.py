"""When gradual unfreezing opens the next layer group, and when it goes back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Opening:
    """What the next epoch trains.

    Args:
        groups: open layer groups, counted from the top.
        goes_back: the weights of the best epoch are taken up first.
    """

    groups: int
    goes_back: bool = False


def next_opening(scores: Sequence[float], groups: int) -> Opening:
    """What to open after some epochs of gradual unfreezing.

    One group is open at first. An epoch without a better score is a stall: the next group opens. Where an epoch with
    more groups than the best one had is worse than it, the weights of the best epoch and its groups come back, and no
    more are opened: what lies below does not help.

    Args:
        scores: validation score of each epoch so far; larger is better.
        groups: layer groups there are, at least 1.

    Returns:
        What the next epoch trains; the same scores always give the same.

    Source:
        Howard & Ruder 2018 (ULMFiT) open one group an epoch; waiting for a stall, and going back, are ours.
    """
    opening, best, best_groups, may_open = Opening(1), float("-inf"), 1, True
    for value in scores:
        opened = opening.groups
        if value > best:
            best, best_groups = value, opened
            opening = Opening(opened)
        elif opened > best_groups and value < best:
            may_open = False
            opening = Opening(best_groups, goes_back=True)
        elif may_open and opened < groups:
            opening = Opening(opened + 1)
        else:
            opening = Opening(opened)
    return opening


def epochs_waited(scores: Sequence[float], groups: int) -> int:
    """Epochs that brought nothing, which early stopping compares with its patience.

    Counted from the best epoch, or from when groups last opened or came back: each state gets its chance.

    Args:
        scores: validation score of each epoch so far; at least one.
        groups: layer groups there are, at least 1.
    """
    done = len(scores)
    opened = [next_opening(scores[:epoch], groups).groups for epoch in range(done + 1)]
    changed = [epoch for epoch in range(1, done + 1) if opened[epoch] != opened[epoch - 1]]
    best = max(range(done), key=lambda epoch: scores[epoch]) + 1
    return done - max([best, *changed])
