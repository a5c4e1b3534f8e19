"""All weights in the end, opened from the top: the next group when validation stalls, closed again when it worsens.

Source: Howard & Ruder 2018 (ULMFiT), gradual unfreezing; when a group opens: :mod:`acclimate.core.unfreezing`.
"""

from __future__ import annotations

from acclimate.nn.strategies.strategy import Strategy, slower_downwards, train_everything

GRADUAL = Strategy(
    "gradual",
    trains="the head and the top layer group, then group by group what lies below",
    role="arm",
    starts_from_probe=True,
    forgets="some",
    prepare=train_everything,
    rates=slower_downwards,
    unfreezes=True,
)
