"""All weights, after masked-language-model pretraining on in-domain texts; started from a probe refitted after that.

Source: Gururangan et al. 2020 (DAPT on a pool, TAPT on the task's own texts); then LP-FT, Kumar et al. 2022.
"""

from __future__ import annotations

from acclimate.nn.strategies.strategy import Strategy, slower_downwards, train_everything

TAPT = Strategy(
    "tapt",
    role="arm",
    starts_from_probe=True,
    prepare=train_everything,
    rates=slower_downwards,
    pretrains=True,
    encoders=("text",),
)
