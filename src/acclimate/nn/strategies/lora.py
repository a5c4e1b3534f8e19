"""Low-rank adapters on the linear layers of the encoder; the head is trained too, from the probe.

Of a convolutional network the convolutions across channels, which are linear layers of a window.

Source: Hu et al. 2021; all linear layers at about ten times the rate of full fine-tuning: Schulman 2025. Options of
peft's: rank-stabilised scale (Kalajdzievski 2023), decomposed weights (Liu et al. 2024, DoRA).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from acclimate.errors import ConfigError
from acclimate.nn.strategies.strategy import Settings, Strategy
from acclimate.nn.trainable import Trainable

# of an error's hint
MOST_NAMES = 20


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
        target_modules=adapted_layers(model.encoder, settings.get("targets")),
    )
    model.encoder = get_peft_model(model.encoder, config)
    model.open_head()


def adapted_layers(encoder: torch.nn.Module, targets: Sequence[str] | None = None) -> list[str]:
    """Names of the layers that are adapted.

    Args:
        encoder: the source model.
        targets: their names, or ends of them at a dot, as peft's ``target_modules``; None takes all linear layers, of
            an encoder that has none all convolutions across channels.

    Raises:
        ConfigError: E-TRAIN-038, a target is the name of none of them.
    """
    named = list(encoder.named_modules())
    linear = [name for name, layer in named if isinstance(layer, torch.nn.Linear)]
    layers = linear or [name for name, layer in named if isinstance(layer, torch.nn.Conv2d) and layer.groups == 1]
    if targets is None:
        return layers
    unknown = [target for target in targets if not any(_ends(layer, target) for layer in layers)]
    if unknown:
        known = sorted({layer.rpartition(".")[2] for layer in layers})
        raise ConfigError(
            "E-TRAIN-038",
            f"no linear layer of the source model is called {', '.join(unknown)[:120]}",
            where="finetune.lora.targets",
            hint=f"their names end in {', '.join(known[:MOST_NAMES])}",
        )
    return [layer for layer in layers if any(_ends(layer, target) for target in targets)]


def _ends(layer: str, target: str) -> bool:
    return f".{layer}".endswith(f".{target}")


def merge_peft(model: Trainable) -> None:
    """Merge: fold peft's layers into the weights they change."""
    model.encoder = model.encoder.merge_and_unload(safe_merge=True)
    model.requires_grad_(True)


LORA = Strategy(
    "lora",
    role="arm",
    starts_from_probe=True,
    prepare=_prepare,
    merge=merge_peft,
)
