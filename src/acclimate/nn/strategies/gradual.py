"""All weights in the end, opened from the top: the next group when validation stalls, closed again when it worsens.

Source: Howard & Ruder 2018 (ULMFiT), gradual unfreezing; when a group opens: :mod:`acclimate.core.unfreezing`.
"""

from __future__ import annotations

from acclimate.nn.strategies.strategy import Strategy, slower_downwards, train_everything

GRADUAL = Strategy(
    "gradual",
    role="arm",
    starts_from_probe=True,
    prepare=train_everything,
    rates=slower_downwards,
    unfreezes=True,
)
