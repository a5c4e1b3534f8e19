"""Low-rank adapters on the linear layers of the encoder; the head is trained too, from the probe.

Of a convolutional network the convolutions across channels, which are linear layers of a window.

Source: Hu et al. 2021; all linear layers at about ten times the rate of full fine-tuning: Schulman 2025. Options of
peft's: rank-stabilised scale (Kalajdzievski 2023), decomposed weights (Liu et al. 2024, DoRA).
"""

from __future__ import annotations

import torch

from acclimate.nn.strategies.strategy import Settings, Strategy
from acclimate.nn.trainable import Trainable


def _prepare(model: Trainable, settings: Settings) -> None:
    # peft takes four seconds to import, and most commands never train
    from peft import LoraConfig, get_peft_model

    rank = int(settings["rank"])
    config = LoraConfig(
        r=rank,
        lora_alpha=float(settings.get("alpha", 2 * rank)),
        lora_dropout=float(settings.get("dropout", 0.0)),
        use_rslora=bool(settings.get("rslora", False)),
        use_dora=bool(settings.get("dora", False)),
        target_modules=adapted_layers(model.encoder),
    )
    model.encoder = get_peft_model(model.encoder, config)
    model.open_head()


def adapted_layers(encoder: torch.nn.Module) -> list[str]:
    """Names of all linear layers; of an encoder that has none those of all convolutions across channels."""
    named = list(encoder.named_modules())
    linear = [name for name, layer in named if isinstance(layer, torch.nn.Linear)]
    return linear or [name for name, layer in named if isinstance(layer, torch.nn.Conv2d) and layer.groups == 1]


def merge_peft(model: Trainable) -> None:
    """Merge: fold peft's layers into the weights they change."""
    model.encoder = model.encoder.merge_and_unload(safe_merge=True)
    model.requires_grad_(True)


LORA = Strategy(
    "lora",
    trains="the head and low-rank changes of every linear layer",
    role="arm",
    starts_from_probe=True,
    forgets="some",
    prepare=_prepare,
    merge=merge_peft,
)
