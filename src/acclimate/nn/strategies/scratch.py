"""The same architecture with random weights: what training gives without the source model's knowledge."""

from __future__ import annotations

from acclimate.nn.strategies.strategy import Strategy, train_everything

SCRATCH = Strategy(
    "scratch",
    role="control",
    starts_from_probe=False,
    prepare=train_everything,
)
