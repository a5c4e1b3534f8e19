"""Rows changed in each of the ways that their kind has."""

from __future__ import annotations

from collections.abc import Iterator

from acclimate.core.text_noise import TEXT_NOISE, noisy_texts
from acclimate.examples import Inputs
from acclimate.nn.image_noise import IMAGE_NOISE, noisy_images


def changed_inputs(inputs: Inputs, seed: int) -> Iterator[tuple[str, Inputs]]:
    """The name of each change and the changed rows, one change after the other.

    Args:
        inputs: n texts or n encoded images.
        seed: of what is drawn.
    """
    texts = [one for one in inputs if isinstance(one, str)]
    images = [one for one in inputs if isinstance(one, bytes)]
    if texts:
        yield from ((name, noisy_texts(texts, name, seed)) for name in TEXT_NOISE)
    else:
        yield from ((name, noisy_images(images, name, seed)) for name in IMAGE_NOISE)
