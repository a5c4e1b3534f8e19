"""What a training strategy is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from acclimate.nn.model import TextClassifier

Settings = Mapping[str, float | int]


@dataclass(frozen=True)
class Strategy:
    """One way to adapt a source model.

    Args:
        name: its name in configs and records.
        role: ``arm``: a candidate; ``control``: trained only to be compared with.
        starts_from_probe: True: the source's weights and the baseline's probe as head, so that the logits at
            step 0 are the probe's. False: all weights random.
        prepare: ``prepare(model, settings)`` changes the classifier in place and sets ``requires_grad`` of every
            parameter: what is True is trained. Random numbers come from torch's generator, seeded by the caller.
        merge: ``merge(model)`` turns the trained classifier in place into a plain one that computes the same.
    """

    name: str
    role: Literal["arm", "control"]
    starts_from_probe: bool
    prepare: Callable[[TextClassifier, Settings], None]
    merge: Callable[[TextClassifier], None]


def train_everything(model: TextClassifier, settings: Settings) -> None:  # noqa: ARG001 - no settings of its own
    """Prepare: every parameter is trained."""
    model.requires_grad_(True)


def nothing_to_merge(model: TextClassifier) -> None:
    """Merge: nothing was added to the model."""
