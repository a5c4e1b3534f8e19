"""What each strategy trains and how much of the source it tends to lose, known before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Forgets = Literal["nothing", "little", "some", "much"]


@dataclass(frozen=True)
class Traits:
    """What is said of a strategy beforehand.

    Args:
        trains: what is trained beside a new head, in words.
        forgets: how much of the source's knowledge it tends to lose; what a run loses is measured.
    """

    trains: str
    forgets: Forgets


#: By the strategy's name.
TRAITS = {
    "frozen": Traits("nothing", "nothing"),
    "lora": Traits("low-rank changes of linear layers", "some"),
    "adapter": Traits("a small layer behind each block", "little"),
    "prefix": Traits("keys and values that each layer attends to", "little"),
    "ia3": Traits("scales of keys, values and feed-forward activations", "little"),
    "bitfit": Traits("biases and normalisation", "little"),
    "partial": Traits("the top layer groups", "some"),
    "gradual": Traits("the top layer group, then group by group what lies below", "some"),
    "full": Traits("all weights", "much"),
    "tapt": Traits("all weights, after pretraining them on in-domain texts", "much"),
    "scratch": Traits("all weights, from random ones", "much"),
}
