"""Learned scales of keys, values and feed-forward activations; the head is trained too.

Source: Liu et al. 2022 ((IA)^3), as peft places them for the architecture.
"""

from __future__ import annotations

from acclimate.nn.strategies.lora import merge_peft
from acclimate.nn.strategies.strategy import Settings, Strategy
from acclimate.nn.trainable import Trainable


def _prepare(model: Trainable, settings: Settings) -> None:  # noqa: ARG001 - no settings of its own
    from peft import IA3Config, get_peft_model

    model.encoder = get_peft_model(model.encoder, IA3Config())
    model.open_head()


IA3 = Strategy(
    "ia3",
    role="arm",
    starts_from_probe=True,
    prepare=_prepare,
    merge=merge_peft,
    encoders=("text", "causal"),
)
