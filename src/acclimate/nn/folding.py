"""Convolutions and the batch normalisation behind them as one: for inference, where its statistics stand still."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch.nn.utils.fusion import fuse_conv_bn_eval
from transformers.models.resnet.modeling_resnet import ResNetConvLayer, ResNetShortCut

Pair = tuple[str, str]

_OF_TRANSFORMERS: dict[type[torch.nn.Module], Sequence[Pair]] = {
    ResNetConvLayer: [("convolution", "normalization")],
    ResNetShortCut: [("convolution", "normalization")],
}


def folded(module: torch.nn.Module) -> torch.nn.Module:
    """A copy in evaluation mode that computes the same up to rounding, with fewer passes over memory.

    Which normalisation directly follows which convolution is known of transformers' ResNet; another module says so by
    ``NORMALISED``, pairs of attributes (convolution, normalisation), which may be absent.

    Args:
        module: in evaluation mode; it is not changed.

    Returns:
        The copy, or ``module`` itself where nothing is to be folded.
    """
    if not any(_pairs(part) for part in module.modules()):
        return module
    copied = copy.deepcopy(module).eval()
    for part in copied.modules():
        for convolution, normalisation in _pairs(part):
            fused = fuse_conv_bn_eval(getattr(part, convolution), getattr(part, normalisation))
            setattr(part, convolution, fused)
            setattr(part, normalisation, torch.nn.Identity())
    return copied


def _pairs(part: torch.nn.Module) -> list[Pair]:
    """Of one module the pairs that are there, as plain layers: what was put around one has work of its own."""
    # its own word only: a subclass may compute in another order
    known: Sequence[Pair] = _OF_TRANSFORMERS.get(type(part), vars(type(part)).get("NORMALISED", ()))
    return [pair for pair in known if _is_plain(part, pair)]


def _is_plain(part: torch.nn.Module, pair: Pair) -> bool:
    convolution, normalisation = (getattr(part, name, None) for name in pair)
    return (
        type(convolution) is torch.nn.Conv2d
        and type(normalisation) is torch.nn.BatchNorm2d
        and normalisation.running_mean is not None
    )
