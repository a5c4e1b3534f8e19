"""Prefix tuning: keys and values that every layer attends to beside its own, by peft.

Zero at the start, which is not the identity: a zero key takes its share of the attention.

Source: Li & Liang 2021.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

DEFAULT_TOKENS = 16


def attach(module: Any, settings: Mapping[str, float | int]) -> Any:
    """Give each layer a prefix; everything else is frozen."""
    from peft import PrefixTuningConfig, TaskType, get_peft_model

    tokens = int(settings.get("tokens", DEFAULT_TOKENS))
    config = PrefixTuningConfig(num_virtual_tokens=tokens, task_type=TaskType.FEATURE_EXTRACTION)
    wrapped = get_peft_model(module, config)
    torch.nn.init.zeros_(wrapped.prompt_encoder["default"].embedding.weight)
    return wrapped


def detach(module: Any) -> Any:
    """Take the prefix off again."""
    return module.get_base_model()
