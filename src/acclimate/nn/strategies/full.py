"""All weights, started from the probe (LP-FT).

Source: Kumar et al. 2022, linear probing then fine-tuning.
"""

from __future__ import annotations

from acclimate.nn.strategies.strategy import Strategy, nothing_to_merge, train_everything

FULL = Strategy("full", role="arm", starts_from_probe=True, prepare=train_everything, merge=nothing_to_merge)
