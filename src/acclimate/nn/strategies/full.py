"""All weights, started from the probe (LP-FT).

Source: Kumar et al. 2022, linear probing then fine-tuning; lower layers may learn slower (Howard & Ruder 2018).
"""

from __future__ import annotations

from acclimate.nn.strategies.strategy import Strategy, slower_downwards, train_everything

FULL = Strategy(
    "full",
    trains="all weights",
    role="arm",
    starts_from_probe=True,
    forgets="much",
    prepare=train_everything,
    rates=slower_downwards,
)
