"""Folded networks: the same features up to rounding, the original untouched, and nothing folded that isn't plain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from acclimate.nn.folding import folded
from acclimate.nn.vision.efficientnet_lite import build


def efficientnet_lite() -> torch.nn.Module:
    return build({"model_type": "efficientnet-lite", "variant": "lite0"})


def resnet() -> torch.nn.Module:
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", downsample_in_first_stage=True
    )
    return transformers.ResNetModel(config)


def vit() -> torch.nn.Module:
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    return transformers.ViTModel(config)


def with_statistics(make: Callable[[], torch.nn.Module]) -> Any:
    """A module whose normalisation changes what it is given, as after training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module = make()
        for layer in module.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean.normal_(0, 0.3)
                layer.running_var.uniform_(0.3, 3)
                torch.nn.init.uniform_(layer.weight, 0.3, 2)
                torch.nn.init.normal_(layer.bias, 0, 0.3)
    return module.eval()


def norms(module: torch.nn.Module) -> int:
    return sum(isinstance(layer, torch.nn.BatchNorm2d) for layer in module.modules())


PIXELS = torch.randn((3, 3, 32, 32), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("make", [efficientnet_lite, resnet])
def test_a_folded_network_has_no_normalisation_left_and_computes_the_same(make: Callable[[], torch.nn.Module]) -> None:
    module = with_statistics(make)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with torch.no_grad():
        wanted, found = (one(pixel_values=PIXELS).last_hidden_state.numpy() for one in (module, folded(module)))
    assert wanted.std() > 0.01
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())
    assert norms(module) > 0
    assert norms(folded(module)) == 0
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_a_network_without_such_layers_is_left_as_it_is() -> None:
    module = with_statistics(vit)
    assert folded(module) is module


def test_a_convolution_with_something_around_it_is_not_folded() -> None:
    class Wrapped(torch.nn.Conv2d):
        """Does more than its weights say."""

    module = with_statistics(efficientnet_lite)
    module._conv_stem = Wrapped(3, 32, 3, 2, bias=False)
    assert norms(folded(module)) == 1
