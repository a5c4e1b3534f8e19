"""EfficientNet-lite0 to -lite4 without their classifier, under the parameter names of the published PyTorch weights.

Source: Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019, table 1 and
equation 3; the lite variants (ReLU6, no squeeze-and-excitation, stem and head not scaled) are those of the TensorFlow
models ``efficientnet/lite``. Checked against ``efficientnet-lite-pytorch`` 0.1.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn.functional import pad
from transformers.modeling_outputs import BaseModelOutput

from acclimate.nn.vision.efficientnet_lite_config import (
    HEAD_CHANNELS,
    STEM_CHANNELS,
    BlockConfig,
    EfficientNetLiteConfig,
    block_configs,
    read_config,
)

# TensorFlow's decay of .99 is torch's momentum of .01
BATCH_NORM_MOMENTUM = 0.01
BATCH_NORM_EPS = 1e-3


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and behind ``size`` values for which a convolution gives ceil(size / stride); an odd one is behind.

    Source: TensorFlow's padding "SAME".
    """
    zeros = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return zeros // 2, zeros - zeros // 2


def _pad_same(images: torch.Tensor, kernel: int, stride: int) -> torch.Tensor:
    height, width = images.shape[-2:]
    return pad(images, (*same_padding(width, kernel, stride), *same_padding(height, kernel, stride)))


def drop_connect(change: torch.Tensor, rate: float) -> torch.Tensor:
    """Set the change of whole images to 0 with probability ``rate`` and scale the others so that the mean stays.

    Args:
        change: what a block adds to its input [B, C, h, w].
        rate: in [0, 1).

    Source: Huang et al., "Deep networks with stochastic depth", ECCV 2016, scaled in training as TensorFlow does.
    """
    drawn = torch.rand((len(change), 1, 1, 1), dtype=change.dtype, device=change.device)
    return change / (1 - rate) * (drawn >= rate)


def _batch_norm(channels: int) -> torch.nn.BatchNorm2d:
    return torch.nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)


class MBConvBlock(torch.nn.Module):
    """Inverted bottleneck: expand by 1x1, filter each channel, project by 1x1; added to its input where shapes agree.

    Args:
        config: its shape.

    Source: Sandler et al., "MobileNetV2", CVPR 2018, table 1.
    """

    NORMALISED = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))

    def __init__(self, config: BlockConfig) -> None:
        super().__init__()
        self.config = config
        inner = config.inputs * config.expansion
        if config.expansion != 1:
            self._expand_conv = torch.nn.Conv2d(config.inputs, inner, 1, bias=False)
            self._bn0 = _batch_norm(inner)
        self._depthwise_conv = torch.nn.Conv2d(
            inner,
            inner,
            config.kernel,
            config.stride,
            padding=config.kernel // 2 if config.stride == 1 else 0,
            groups=inner,
            bias=False,
        )
        self._bn1 = _batch_norm(inner)
        self._project_conv = torch.nn.Conv2d(inner, config.outputs, 1, bias=False)
        self._bn2 = _batch_norm(config.outputs)
        self.activation = torch.nn.ReLU6(inplace=True)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """From [B, inputs, h, w] to [B, outputs, ceil(h / stride), ceil(w / stride)]."""
        config = self.config
        hidden: torch.Tensor = inputs
        if config.expansion != 1:
            hidden = self.activation(self._bn0(self._expand_conv(hidden)))  # [B, inner, h, w]
        if config.stride != 1:
            hidden = _pad_same(hidden, config.kernel, config.stride)
        hidden = self.activation(self._bn1(self._depthwise_conv(hidden)))  # [B, inner, h / stride, w / stride]
        hidden = self._bn2(self._project_conv(hidden))  # [B, outputs, h / stride, w / stride]
        if config.stride != 1 or config.inputs != config.outputs:
            return hidden
        if self.training and config.drop_connect:
            hidden = drop_connect(hidden, config.drop_connect)
        return hidden + inputs


class EfficientNetLite(torch.nn.Module):
    """The encoder.

    Args:
        config: its variant.
    """

    NORMALISED = (("_conv_stem", "_bn0"), ("_conv_head", "_bn1"))

    # underscored names are those of the published weights
    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__()
        self.config = config
        blocks = block_configs(config.variant)
        self._conv_stem = torch.nn.Conv2d(3, STEM_CHANNELS, 3, 2, bias=False)
        self._bn0 = _batch_norm(STEM_CHANNELS)
        self._blocks = torch.nn.ModuleList(MBConvBlock(block) for block in blocks)
        self._conv_head = torch.nn.Conv2d(blocks[-1].outputs, HEAD_CHANNELS, 1, bias=False)
        self._bn1 = _batch_norm(HEAD_CHANNELS)
        self.activation = torch.nn.ReLU6(inplace=True)
        self.apply(_initialise)

    def forward(self, pixel_values: torch.Tensor) -> BaseModelOutput:
        """Encode images.

        Args:
            pixel_values: normalised RGB [B, 3, H, W] of the weights' dtype, finite.

        Returns:
            ``last_hidden_state`` [B, 1280, h, w] in [0, 6], h and w being H and W halved five times, rounded up.
        """
        hidden = self._conv_stem(_pad_same(pixel_values, 3, 2))  # [B, 32, H / 2, W / 2]
        hidden = self.activation(self._bn0(hidden))
        for block in self._blocks:
            hidden = block(hidden)
        hidden = self.activation(self._bn1(self._conv_head(hidden)))  # [B, 1280, h, w]
        return BaseModelOutput(last_hidden_state=hidden)


def _initialise(layer: torch.nn.Module) -> None:
    """Normal with variance 2 / fan-out, as TensorFlow's EfficientNet; a depthwise filter's fan-out is its own area."""
    if isinstance(layer, torch.nn.Conv2d):
        fan_out = math.prod(layer.kernel_size) * layer.out_channels // layer.groups
        torch.nn.init.normal_(layer.weight, std=math.sqrt(2 / fan_out))


def build(config: Mapping[str, Any]) -> torch.nn.Module:
    """Make an EfficientNet-lite encoder with random weights from torch's generator.

    Args:
        config: the content of its ``config.json``, see :func:`read_config`.

    Returns:
        A module in training mode; its ``config`` has ``hidden_size``, ``image_size`` and ``model_type``.

    Raises:
        ModelError: E-MODEL-006, the config is not one of an EfficientNet-lite.
    """
    return EfficientNetLite(read_config(config))
