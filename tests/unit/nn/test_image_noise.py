"""Changed images: as large as they were, another picture, and the same each time."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from acclimate.nn.image_noise import IMAGE_NOISE, NOISE, noisy_images
from acclimate.nn.images import decode


def encoded(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def checkers(side: int = 64) -> np.ndarray:
    squares = (np.indices((side, side)) // 8).sum(axis=0) % 2
    return np.repeat((60 + 120 * squares)[..., None], 3, axis=2).astype(np.uint8)


def values(image: bytes) -> np.ndarray:
    return np.asarray(decode(image), dtype=np.float64)


@pytest.mark.parametrize("name", IMAGE_NOISE)
def test_an_image_is_another_one_of_the_same_size(name: str) -> None:
    before = checkers()
    (found,), (again,) = (noisy_images([encoded(before)], name, 3) for _ in range(2))
    assert found == again
    after = values(found)
    assert after.shape == before.shape
    assert 0.3 < np.abs(after - before).mean() < 40, "it shows, and it is still the same picture"
    assert np.corrcoef(after.ravel(), before.ravel().astype(np.float64))[0, 1] > 0.85


def test_noise_has_the_spread_it_says_and_blur_has_no_edges() -> None:
    flat = np.full((64, 64, 3), 128, dtype=np.uint8)
    assert values(noisy_images([encoded(flat)], "noise", 0)[0]).std() == pytest.approx(NOISE, rel=0.05)
    sharp, soft = (
        np.abs(np.diff(values(image), axis=1)).max()
        for image in (encoded(checkers()), noisy_images([encoded(checkers())], "blur", 0)[0])
    )
    assert soft < 0.7 * sharp


def test_a_tiny_image_passes() -> None:
    tiny = encoded(np.zeros((1, 1, 3), dtype=np.uint8))
    for name in IMAGE_NOISE:
        assert decode(noisy_images([tiny], name, 0)[0]).size == (1, 1)
