"""What decides an EfficientNet-lite: its config, the scaling of each variant, and the blocks that follow from them.

Source: Tan and Le, "EfficientNet: rethinking model scaling for convolutional neural networks", ICML 2019, table 1 and
equation 3; factors and fixed stem and head as in the TensorFlow models ``efficientnet/lite``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from acclimate.errors import ModelError

MODEL_TYPE = "efficientnet-lite"
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
CHANNEL_DIVISOR = 8
MAX_IMAGE_SIZE = 4096
DROP_CONNECT = 0.2


@dataclass(frozen=True)
class Scaling:
    """How a variant differs from lite0: factors of the channels and of the blocks a stage, and its input in pixels."""

    width: float
    depth: float
    image_size: int


@dataclass(frozen=True)
class Stage:
    """Blocks of one output size in lite0; the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


VARIANTS = {
    "lite0": Scaling(1.0, 1.0, 224),
    "lite1": Scaling(1.0, 1.1, 240),
    "lite2": Scaling(1.1, 1.2, 260),
    "lite3": Scaling(1.2, 1.4, 280),
    "lite4": Scaling(1.4, 1.8, 300),
}
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


@dataclass(frozen=True)
class EfficientNetLiteConfig:
    """What decides the architecture.

    Args:
        variant: a name in :data:`VARIANTS`.
        image_size: height and width in pixels that the weights were trained for; other sizes are read too.
        hidden_size: channels of the last hidden state.
        model_type: as in ``config.json``.
    """

    variant: str
    image_size: int
    hidden_size: int = HEAD_CHANNELS
    model_type: str = MODEL_TYPE


@dataclass(frozen=True)
class BlockConfig:
    """One inverted bottleneck.

    Args:
        inputs: channels it reads.
        outputs: channels it gives.
        kernel: side of the depthwise convolution, odd.
        stride: of the depthwise convolution, 1 or 2.
        expansion: factor from ``inputs`` to the channels in between; at 1 nothing is expanded.
        drop_connect: probability that training skips the block for an image, in [0, 1).
    """

    inputs: int
    outputs: int
    kernel: int
    stride: int
    expansion: int
    drop_connect: float


def read_config(values: Mapping[str, Any]) -> EfficientNetLiteConfig:
    """Read the content of a ``config.json``; keys that don't concern the architecture are left alone.

    Args:
        values: ``model_type``, ``variant``, and optionally ``image_size`` and ``hidden_size``.

    Raises:
        ModelError: E-MODEL-006, another model type, an unknown variant, or sizes that can't be.
    """
    variant = values.get("variant")
    _accept("model_type", values.get("model_type"), values.get("model_type") == MODEL_TYPE, MODEL_TYPE)
    _accept("variant", variant, isinstance(variant, str) and variant in VARIANTS, f"one of {', '.join(VARIANTS)}")
    size = values.get("image_size", VARIANTS[str(variant)].image_size)
    _accept("image_size", size, type(size) is int and 1 <= size <= MAX_IMAGE_SIZE, f"between 1 and {MAX_IMAGE_SIZE}")
    hidden = values.get("hidden_size", HEAD_CHANNELS)
    _accept("hidden_size", hidden, hidden == HEAD_CHANNELS, str(HEAD_CHANNELS))
    return EfficientNetLiteConfig(str(variant), size)


def _accept(key: str, value: Any, accepted: bool, wanted: str) -> None:
    if not accepted:
        raise ModelError(
            "E-MODEL-006",
            f"config.json: {key} = {value!r} is not {wanted}",
            where="config.json",
            hint="fetch the model again",
        )


def scaled_channels(channels: int, width: float) -> int:
    """Channels times the width factor, to the nearest multiple of 8, but never more than a tenth fewer."""
    wanted = channels * width
    rounded = max(CHANNEL_DIVISOR, int(wanted + CHANNEL_DIVISOR / 2) // CHANNEL_DIVISOR * CHANNEL_DIVISOR)
    return rounded if rounded >= 0.9 * wanted else rounded + CHANNEL_DIVISOR


def block_configs(variant: str) -> list[BlockConfig]:
    """Every block of a variant from input to output.

    The first and the last stage keep their number of blocks. Drop-connect grows linearly with depth from 0.
    """
    shapes = list(_block_shapes(VARIANTS[variant]))
    return [BlockConfig(*shape, drop_connect=DROP_CONNECT * i / len(shapes)) for i, shape in enumerate(shapes)]


def _block_shapes(scaling: Scaling) -> Iterator[tuple[int, int, int, int, int]]:
    inputs = STEM_CHANNELS
    for stage in STAGES:
        outputs = scaled_channels(stage.channels, scaling.width)
        scaled = stage not in (STAGES[0], STAGES[-1])
        for i in range(math.ceil(stage.blocks * scaling.depth) if scaled else stage.blocks):
            yield inputs, outputs, stage.kernel, 1 if i else stage.stride, stage.expansion
            inputs = outputs
