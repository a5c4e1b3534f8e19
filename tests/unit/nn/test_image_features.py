"""What is said of images without a model, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from acclimate.core.image_input import colour_divergence, image_statistics
from acclimate.core.text_input import jensen_shannon
from acclimate.nn.image_features import colour_histogram, measured, raw_pixels
from acclimate.nn.model_free import model_free
from tests.toy_images import png, toy_images


def flat(colour: tuple[int, int, int], width: int = 20, height: int = 10) -> np.ndarray:
    return np.broadcast_to(np.array(colour, dtype=np.uint8), (height, width, 3)).copy()


def test_raw_pixels_are_means_of_blocks() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (32, 48, 3)).astype(np.uint8)
    blocks = pixels.reshape(16, 2, 16, 3, 3).mean(axis=(1, 3)).reshape(-1) / 255
    np.testing.assert_allclose(raw_pixels(Image.fromarray(pixels)), blocks, atol=1 / 255)


def test_a_histogram_counts_colours() -> None:
    half = np.concatenate([flat((255, 0, 0)), flat((0, 0, 64))])
    found = colour_histogram(Image.fromarray(half))
    assert found.shape == (64,)
    assert found[48] == 0.5  # red in its top quarter: 3 * 16
    assert found[1] == 0.5  # blue in its second
    assert found.sum() == 1


def test_measures_are_those_of_known_images() -> None:
    stripes = flat((0, 0, 0))
    stripes[::2] = 255
    found = measured([png(flat((255, 0, 0))), png(flat((100, 100, 100), 7, 9)), png(stripes)])
    assert found.sizes.tolist() == [[20, 10], [7, 9], [20, 10]]
    np.testing.assert_allclose(found.brightness, [0.299, 100 / 255, 0.5], atol=1e-6)
    np.testing.assert_allclose(found.contrast, [0, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(found.saturation, [1, 0, 0], atol=1e-6)
    statistics = image_statistics(found, seen=10)
    assert (statistics.width_median, statistics.height_median) == (20, 10)
    assert statistics.enlarged_rate == pytest.approx(1 / 3)
    assert statistics.grey_rate == pytest.approx(2 / 3)


def test_colours_diverge_as_their_mixed_histograms_do() -> None:
    colours = measured([png(flat(colour)) for colour in ((255, 0, 0), (255, 0, 0), (0, 0, 255), (0, 255, 0))]).colours
    same, different = (np.array([0]), np.array([1])), (np.array([0, 1]), np.array([2, 3]))
    assert colour_divergence(colours, [same]) == 0
    assert colour_divergence(colours, [different]) == pytest.approx(1.0)
    mixed = (np.array([0, 2]), np.array([1, 3]))
    expected = jensen_shannon(colours[[0, 2]].sum(axis=0), colours[[1, 3]].sum(axis=0))
    assert colour_divergence(colours, [mixed, same]) == pytest.approx(expected / 2)


def test_controls_without_a_model_learn_what_pixels_and_colours_tell() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(60) % 2
    reddish = [
        png(rng.integers(0, 100, (20, 20, 3)).astype(np.uint8) + np.uint8([90 * label, 0, 0])) for label in labels
    ]
    controls = model_free(reddish)
    assert set(controls) == {"pixels", "histogram"}
    train, rows = np.arange(40), np.arange(40, 60)
    for predict in controls.values():
        assert (predict(train, labels[:40], rows) == labels[40:]).mean() > 0.9


def test_a_histogram_does_not_see_where_colours_are_and_pixels_do() -> None:
    labels = np.arange(80) % 2
    rng = np.random.default_rng(2)
    images = []
    for label in labels:
        pixels = rng.integers(0, 60, (16, 16, 3)).astype(np.uint8)
        pixels[:, slice(0, 8) if label else slice(8, 16)] += 150
        images.append(png(pixels))
    controls = model_free(images)
    train, rows = np.arange(50), np.arange(50, 80)
    score = {
        name: float((predict(train, labels[:50], rows) == labels[50:]).mean()) for name, predict in controls.items()
    }
    assert score["pixels"] == 1.0
    assert score["histogram"] < 0.8


def test_texts_have_words_only() -> None:
    assert set(model_free(["a text", "another"])) == {"tfidf"}
    assert set(model_free(toy_images(2, 0)[0])) == {"pixels", "histogram"}
