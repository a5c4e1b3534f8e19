"""The registry of training strategies: one file and one line here each."""

from __future__ import annotations

from acclimate.nn.strategies.full import FULL
from acclimate.nn.strategies.lora import LORA
from acclimate.nn.strategies.scratch import SCRATCH
from acclimate.nn.strategies.strategy import Settings, Strategy

#: Every strategy that trains, by name. ``frozen`` trains nothing: it is the baseline's model.
STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in (LORA, FULL, SCRATCH)}

__all__ = ["STRATEGIES", "Settings", "Strategy"]
