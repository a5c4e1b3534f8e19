"""The registry of training strategies: one file and one line here each."""

from __future__ import annotations

from acclimate.nn.strategies.adapter import ADAPTER
from acclimate.nn.strategies.bitfit import BITFIT
from acclimate.nn.strategies.full import FULL
from acclimate.nn.strategies.gradual import GRADUAL
from acclimate.nn.strategies.ia3 import IA3
from acclimate.nn.strategies.lora import LORA
from acclimate.nn.strategies.partial import PARTIAL
from acclimate.nn.strategies.prefix import PREFIX
from acclimate.nn.strategies.scratch import SCRATCH
from acclimate.nn.strategies.strategy import Settings, Strategy
from acclimate.nn.strategies.tapt import TAPT

#: Every strategy that trains, by name. ``frozen`` trains nothing: it is the baseline's model.
STRATEGIES: dict[str, Strategy] = {
    strategy.name: strategy for strategy in (LORA, ADAPTER, PREFIX, IA3, BITFIT, PARTIAL, GRADUAL, FULL, TAPT, SCRATCH)
}

__all__ = ["STRATEGIES", "Settings", "Strategy"]
