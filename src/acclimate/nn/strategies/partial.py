"""The head and the top layer groups; what lies below stays as it is.

Source: Yosinski et al. 2014: lower layers transfer, upper ones are specific to their task.
"""

from __future__ import annotations

from acclimate.nn.layer_groups import layer_groups
from acclimate.nn.strategies.strategy import Settings, Strategy, slower_downwards, train_only
from acclimate.nn.trainable import Trainable


def _prepare(model: Trainable, settings: Settings) -> None:
    groups = layer_groups(model.encoder)
    top = min(int(settings.get("groups", 2)), len(groups))
    train_only(model, {name for group in groups[-top:] for name in group})


PARTIAL = Strategy(
    "partial",
    role="arm",
    starts_from_probe=True,
    prepare=_prepare,
    rates=slower_downwards,
)
