"""All weights, started from the probe (LP-FT).

Optionally the top layers start from random weights, and the head too: the probe was fitted on features of the source's.

Source: Kumar et al. 2022, linear probing then fine-tuning; lower layers may learn slower (Howard & Ruder 2018); top
layers made anew, with few labels: Zhang et al. 2021.
"""

from __future__ import annotations

from copy import deepcopy

import torch

from acclimate.errors import ConfigError
from acclimate.nn.layer_groups import blocks_of
from acclimate.nn.strategies.strategy import Settings, Strategy, slower_downwards, train_everything
from acclimate.nn.trainable import Trainable


def _prepare(model: Trainable, settings: Settings) -> None:
    train_everything(model, settings)
    layers = int(settings.get("reinitialise", 0))
    if layers > 0:
        reinitialise(model, layers)


def reinitialise(model: Trainable, layers: int) -> None:
    """Give the top layers, and the head if it is new, random weights as the architecture draws them.

    Args:
        model: changed in place.
        layers: number of blocks, counted from the top.

    Raises:
        ConfigError: E-TRAIN-039, the encoder has fewer.
    """
    blocks = blocks_of(model.encoder)
    if layers > len(blocks):
        raise ConfigError(
            "E-TRAIN-039",
            f"{layers} layers can't be made anew: the source model has {len(blocks)}",
            where="finetune.full.reinitialise",
            hint=f"write at most {len(blocks)}",
        )
    anew = blocks_of(type(model.encoder)(deepcopy(model.encoder.config)))
    for name in list(blocks)[-layers:]:
        blocks[name].load_state_dict(anew[name].state_dict())
    if model.head_is_new and isinstance(model.head, torch.nn.Linear):
        model.head.reset_parameters()


FULL = Strategy(
    "full",
    role="arm",
    starts_from_probe=True,
    prepare=_prepare,
    rates=slower_downwards,
)
