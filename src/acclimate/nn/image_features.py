"""What can be said of an image without a model: few pixels, colours, light."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from acclimate.core.image_input import ImageMeasures
from acclimate.nn.images import decode

SIDE = 16
LEVELS = 4
# ITU-R 601
LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)


def raw_pixels(image: Image.Image) -> np.ndarray:
    """The image at 16 x 16 pixels, float32 [768], 0..1."""
    small = image.resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float32).reshape(-1) / 255.0


def colour_histogram(image: Image.Image) -> np.ndarray:
    """Shares of the pixels in 4 x 4 x 4 bins of red, green and blue, float32 [64], sum 1."""
    bins = np.asarray(image).reshape(-1, 3) // (256 // LEVELS)
    index = (bins[:, 0].astype(np.int64) * LEVELS + bins[:, 1]) * LEVELS + bins[:, 2]
    counts = np.bincount(index, minlength=LEVELS**3)
    return (counts / len(index)).astype(np.float32)


def measured(images: Sequence[bytes]) -> ImageMeasures:
    """Measure encoded images, at least one."""
    sizes, light, colours = [], [], []
    for raw in images:
        image = decode(raw)
        pixels = np.asarray(image, dtype=np.float32) / 255.0  # [H, W, 3]
        luminance = pixels @ LUMINANCE
        saturation = pixels.max(axis=2) - pixels.min(axis=2)
        sizes.append(image.size)
        light.append((luminance.mean(), luminance.std(), saturation.mean()))
        colours.append(colour_histogram(image))
    brightness, contrast, saturations = np.array(light, dtype=np.float64).T
    return ImageMeasures(np.array(sizes), brightness, contrast, saturations, np.array(colours, dtype=np.float64))
