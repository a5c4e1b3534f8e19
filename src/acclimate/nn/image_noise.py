"""Images as cameras and networks also give them: noisy, blurred, compressed until it shows."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageFilter

from acclimate.nn.images import decode

# standard deviation of a channel's noise, of its range 0..255
NOISE = 0.08 * 255
# of the shorter side
BLUR = 0.015
QUALITY = 15


def with_noise(image: Image.Image, rng: np.random.Generator) -> bytes:
    """Independent normal noise on every channel of every pixel."""
    pixels = np.asarray(image, dtype=np.float64)
    noisy = np.clip(np.rint(pixels + rng.normal(0.0, NOISE, pixels.shape)), 0, 255).astype(np.uint8)
    return _png(Image.fromarray(noisy))


def blurred(image: Image.Image, rng: np.random.Generator) -> bytes:  # noqa: ARG001 - nothing is drawn
    """Gaussian blur with a radius of 1.5 % of the shorter side, at least half a pixel."""
    return _png(image.filter(ImageFilter.GaussianBlur(max(0.5, BLUR * min(image.size)))))


def compressed(image: Image.Image, rng: np.random.Generator) -> bytes:  # noqa: ARG001
    """JPEG of quality 15."""
    out = io.BytesIO()
    image.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


def _png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG", compress_level=1)
    return out.getvalue()


#: By the name that the report shows.
IMAGE_NOISE: Mapping[str, Callable[[Image.Image, np.random.Generator], bytes]] = {
    "noise": with_noise,
    "blur": blurred,
    "JPEG artefacts": compressed,
}


def noisy_images(images: Sequence[bytes], name: str, seed: int) -> list[bytes]:
    """Each encoded image changed in one way, and encoded again; the same input and seed give the same.

    Args:
        images: n encoded images.
        name: in :data:`IMAGE_NOISE`.
        seed: of what is drawn.
    """
    rng, change = np.random.default_rng(seed), IMAGE_NOISE[name]
    return [change(decode(image), rng) for image in images]
