"""The input side of an image gap: how large, bright, contrasty and colourful each domain's images are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acclimate.core.sample_plan import Pair
from acclimate.core.text_input import jensen_shannon


@dataclass(frozen=True)
class ImageMeasures:
    """What is measured of images, a row each.

    Args:
        sizes: width and height, pixels, ``[n, 2]``.
        brightness: mean luminance, 0..1, ``[n]``.
        contrast: standard deviation of the luminance, 0...5, ``[n]``.
        saturation: mean of (largest - smallest channel), 0..1, ``[n]``; 0 is grey.
        colours: pixels in each bin of a colour histogram, shares that sum to 1, ``[n, bins]``.
    """

    sizes: np.ndarray
    brightness: np.ndarray
    contrast: np.ndarray
    saturation: np.ndarray
    colours: np.ndarray

    def of(self, rows: slice) -> ImageMeasures:
        """Those of some images."""
        return ImageMeasures(
            self.sizes[rows], self.brightness[rows], self.contrast[rows], self.saturation[rows], self.colours[rows]
        )


@dataclass(frozen=True)
class ImageStatistics:
    """How images of one side look.

    Args:
        width_median: pixels.
        height_median: pixels.
        enlarged_rate: share of images smaller than what the model sees, 0..1.
        grey_rate: share of images without colour, 0..1.
        brightness_mean: mean luminance, 0..1.
        contrast_mean: mean standard deviation of the luminance.
        saturation_mean: mean of (largest - smallest channel), 0..1.
    """

    width_median: float
    height_median: float
    enlarged_rate: float
    grey_rate: float
    brightness_mean: float
    contrast_mean: float
    saturation_mean: float


def image_statistics(measures: ImageMeasures, *, seen: int) -> ImageStatistics:
    """Summarise images.

    Args:
        measures: of at least one image.
        seen: pixels of a side that the model sees.
    """
    return ImageStatistics(
        width_median=float(np.median(measures.sizes[:, 0])),
        height_median=float(np.median(measures.sizes[:, 1])),
        enlarged_rate=float(np.mean(measures.sizes.min(axis=1) < seen)),
        grey_rate=float(np.mean(measures.saturation == 0)),
        brightness_mean=float(measures.brightness.mean()),
        contrast_mean=float(measures.contrast.mean()),
        saturation_mean=float(measures.saturation.mean()),
    )


def colour_divergence(colours: np.ndarray, pairs: Sequence[Pair]) -> float:
    """Mean Jensen-Shannon divergence between the colours of two samples of images, in bits.

    Args:
        colours: histograms, ``[n, bins]``.
        pairs: numbers of the images of two samples each.
    """
    found = [jensen_shannon(colours[first].sum(axis=0), colours[second].sum(axis=0)) for first, second in pairs]
    return float(np.mean(found))
