"""Images as a model sees them: the same pixels as transformers' own processors give."""

from __future__ import annotations

import json
import resource
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, overload

import numpy as np
import pytest
import torch
from PIL import Image

from acclimate.errors import DataError, ModelError
from acclimate.nn.encoder import Encoder
from acclimate.nn.image_reader import ImageReader, ImageRows, Preprocessing
from acclimate.nn.images import decode
from acclimate.nn.source_card import folder_digest
from acclimate.nn.vision.installed import encoder_code, entry_point
from tests.toy_images import MODELS, OTHERS, SIDE, png, toy_images, write_image_source

MEANS = {"image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
SIZES = [(40, 30), (31, 47), (64, 64), (20, 90)]
PROCESSORS = [
    ("ViTImageProcessorPil", {"size": {"height": 24, "width": 32}, "resample": 2}),
    ("ViTImageProcessorPil", {"size": {"height": 48, "width": 48}, "resample": 3, "do_normalize": False}),
    ("BitImageProcessorPil", {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 28}, "resample": 3}),
    ("DeiTImageProcessorPil", {"size": {"height": 40, "width": 40}, "crop_size": {"height": 32, "width": 32}}),
    ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 28}, "crop_pct": 0.875, "resample": 3}),
    ("ConvNextImageProcessorPil", {"size": {"shortest_edge": 384}, "crop_pct": 0.875, "resample": 2}),
]


def random_image(width: int, height: int, seed: int) -> Image.Image:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


@pytest.mark.parametrize(("name", "options"), PROCESSORS)
def test_pixels_are_those_of_transformers(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    import transformers

    processor = getattr(transformers, name)(**options, **MEANS)
    processor.save_pretrained(tmp_path)
    ours = Preprocessing.read(tmp_path)
    for seed, (width, height) in enumerate(SIZES):
        image = random_image(width, height, seed)
        expected = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])
        found = ours(image)
        assert found.shape == expected.shape == (3, *ours.output)
        # a step of 1 in 255 where the two round a resized value differently
        step = 1 / 255 / (min(MEANS["image_std"]) if options.get("do_normalize", True) else 1)
        assert np.abs(found - expected).max() <= 1.01 * step
        assert np.abs(found - expected).mean() < 0.02 * step


@pytest.mark.parametrize(("name", "options"), PROCESSORS)
def test_preprocessing_survives_being_written(name: str, options: dict[str, Any], tmp_path: Path) -> None:
    import transformers

    getattr(transformers, name)(**options, **MEANS).save_pretrained(tmp_path)
    first = Preprocessing.read(tmp_path)
    first.write(tmp_path)
    again = Preprocessing.read(tmp_path)
    image = random_image(50, 40, 1)
    np.testing.assert_array_equal(again(image), first(image))
    assert again == first


@pytest.mark.parametrize(
    "change",
    [
        {"size": None},
        {"size": {"shortest_edge": 32}},
        {"size": {"shortest_edge": 1_000_000}, "do_center_crop": True, "crop_size": 32},
        {"size": {"shortest_edge": 0}, "do_center_crop": True, "crop_size": 32},
        {"do_resize": False},
        {"size": {"height": 0, "width": 32}},
        {"size": {"height": 50_000, "width": 50_000}},
        {"image_std": [0.0, 1.0, 1.0]},
        {"image_mean": [0.5]},
        {"image_mean": "x"},
        {"resample": 99},
        {"rescale_factor": float("nan")},
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    config = {"size": {"height": 32, "width": 32}, "resample": 2, **MEANS, **change}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError) as caught:
        Preprocessing.read(tmp_path)
    assert caught.value.code == "E-MODEL-017"
    assert caught.value.hint


def test_a_model_without_preprocessing_is_refused(tmp_path: Path) -> None:
    write_image_source(tmp_path, "vit")
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError) as caught:
        Encoder.load(tmp_path, precision="fp32")
    assert caught.value.code == "E-MODEL-017"


def test_another_size_than_the_models_own_is_refused(tmp_path: Path) -> None:
    write_image_source(tmp_path, "vit")
    assert ImageReader.load(tmp_path, SIDE).limit == SIDE
    with pytest.raises(ModelError) as caught:
        Encoder.load(tmp_path, precision="fp32", max_length=64)
    assert caught.value.code == "E-MODEL-013"


@pytest.mark.parametrize("kind", [*MODELS, *OTHERS])
def test_features_are_the_modules_own_pooled(kind: str, tmp_path: Path) -> None:
    import torch

    encoder = Encoder.load(write_image_source(tmp_path, kind), precision="fp32")
    images, _ = toy_images(21, 3)
    features = encoder.embed(images)
    pixels = encoder.reader.prepare(images).batch(range(len(images)))["pixel_values"]
    with torch.no_grad():
        hidden = encoder.module(pixel_values=pixels).last_hidden_state
        own = encoder.module(pixel_values=pixels).get("pooler_output")
    expected = hidden[:, 0] if hidden.ndim == 3 else hidden.mean(dim=(2, 3))
    if kind.startswith("convnext"):
        expected = own
    np.testing.assert_allclose(features, expected.numpy(), atol=1e-4, rtol=1e-4)
    assert features.shape == (21, encoder.dim)
    np.testing.assert_allclose(encoder.embed(images[:1]), features[:1], atol=1e-4, rtol=1e-4)
    assert np.abs(features - features[0]).max() > 1e-3


def test_an_image_counts_by_its_pixels_not_by_how_it_is_encoded(tmp_path: Path) -> None:
    import io

    encoder = Encoder.load(write_image_source(tmp_path, "vit"), precision="fp32")
    image = random_image(40, 40, 2)
    file = io.BytesIO()
    image.save(file, "BMP")
    first, second = encoder.embed([png(np.asarray(image)), file.getvalue()])
    np.testing.assert_array_equal(first, second)


def test_an_encoder_whose_package_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image_source(tmp_path, "efficientnet-lite")
    monkeypatch.setattr("acclimate.nn.vision.installed.entry_points", lambda **_: [])
    encoder_code.cache_clear()
    with pytest.raises(ModelError) as caught:
        Encoder.load(tmp_path, precision="fp32")
    assert caught.value.code == "E-MODEL-016"
    assert "acclimate.encoders" in str(caught.value.hint)


def test_two_packages_that_provide_one_encoder_are_not_chosen_between(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("efficientnet-lite", value, "acclimate.encoders") for value in ("one:build", "two:build")]
    monkeypatch.setattr("acclimate.nn.vision.installed.entry_points", lambda **_: points)
    with pytest.raises(ModelError, match="one:build, two:build") as caught:
        entry_point("efficientnet-lite")
    assert caught.value.code == "E-MODEL-016"


def test_the_code_of_an_encoder_is_part_of_its_models_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image_source(tmp_path, "efficientnet-lite")
    before = folder_digest(tmp_path)
    monkeypatch.setattr("acclimate.nn.vision.installed.code_digest", lambda module: f"changed {module}")
    encoder_code.cache_clear()
    assert folder_digest(tmp_path) != before
    encoder_code.cache_clear()


def test_a_config_of_no_such_variant_says_so(tmp_path: Path) -> None:
    write_image_source(tmp_path, "efficientnet-lite")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "variant": "liteX"}))
    with pytest.raises(ModelError) as caught:
        Encoder.load(tmp_path, precision="fp32")
    assert caught.value.code == "E-MODEL-006"


@pytest.mark.parametrize(
    "config",
    [
        {"feature_extractor_type": "ConvNextFeatureExtractor", "size": 224, "crop_pct": 0.875, "resample": 3},
        {"feature_extractor_type": "ViTFeatureExtractor", "size": 224, "resample": 2},
        {"image_processor_type": "BitImageProcessor", "size": {"shortest_edge": 256}, "crop_size": 224},
        {"feature_extractor_type": "DeiTFeatureExtractor", "size": 256, "crop_size": 224, "do_center_crop": True},
    ],
)
def test_older_files_are_read_as_transformers_reads_them(config: dict[str, Any], tmp_path: Path) -> None:
    import transformers

    whole = {"do_resize": True, "do_normalize": True, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**whole, **config}))
    processor = transformers.AutoImageProcessor.from_pretrained(tmp_path)
    image = random_image(300, 260, 4)
    expected = np.asarray(processor(image, return_tensors="np")["pixel_values"][0])
    found = Preprocessing.read(tmp_path)(image)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1.01 / 255 / 0.2


def test_a_thin_image_costs_no_more_than_what_is_seen_of_it() -> None:
    config = {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224, **MEANS}
    preprocessing = Preprocessing._from(config)
    for size in ((65_535, 1), (1, 65_535)):
        image = Image.new("RGB", size, "red")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        pixels = preprocessing(image)
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert pixels.shape == (3, 224, 224)
        assert grown < 200_000, "kilobytes"


@pytest.mark.parametrize("wrong", [[None], ["a text"], [b"", b"not an image"]])
def test_rows_that_are_no_images_are_refused_not_dropped(wrong: list[Any], tmp_path: Path) -> None:
    encoder = Encoder.load(write_image_source(tmp_path, "vit"), precision="fp32")
    with pytest.raises(DataError) as caught:
        encoder.embed([*toy_images(3, 0)[0], *wrong])
    assert caught.value.code in {"E-PREDICT-003", "E-DATA-060"}
    assert "row 3" in str(caught.value.where)


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    write_image_source(tmp_path, "efficientnet-lite")
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "variant": "lite2"}))
    with pytest.raises(ModelError) as caught:
        Encoder.load(tmp_path, precision="fp32")
    assert caught.value.code == "E-MODEL-015"


def rows_that_count(kept: int, folder: Path) -> tuple[ImageRows, list[bytes], Counter[bytes]]:
    """Rows of which the pixels of some are kept, their images, and how often each was decoded since."""
    write_image_source(folder, "vit")
    images, _ = toy_images(7, 3)
    decoded: Counter[bytes] = Counter()

    class Counted(Sequence[bytes]):
        """Images that are taken only to be decoded."""

        @overload
        def __getitem__(self, row: int) -> bytes: ...
        @overload
        def __getitem__(self, row: slice) -> Sequence[bytes]: ...
        def __getitem__(self, row: int | slice) -> bytes | Sequence[bytes]:
            assert isinstance(row, int)
            decoded[images[row]] += 1
            return images[row]

        def __len__(self) -> int:
            return len(images)

    kept_bytes = kept * 3 * SIDE * SIDE + 5
    return ImageRows(Counted(), Preprocessing.read(folder), kept_bytes=kept_bytes), images, decoded


@pytest.mark.parametrize("kept", [0, 3, 7, 100])
def test_pixels_that_fit_are_decoded_once_and_are_the_same_bits(kept: int, tmp_path: Path) -> None:
    rows, images, decoded = rows_that_count(kept, tmp_path)
    preprocessing = Preprocessing.read(tmp_path)
    expected = np.stack([preprocessing(decode(image)) for image in images])
    for order in ([4, 1, 6, 0, 5, 2, 3], [0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0]):
        for batch in (order[:3], order[3:]):
            pixels = rows.batch(batch)["pixel_values"]
            assert pixels.is_contiguous(memory_format=torch.channels_last)
            np.testing.assert_array_equal(pixels.numpy(), expected[batch])
    once = [4, 1, 6, 0, 5, 2, 3][:kept]
    assert [decoded[image] for image in images] == [1 if row in once else 3 for row in range(7)]


def test_kept_pixels_hold_to_their_bound(tmp_path: Path) -> None:
    rows = rows_that_count(3, tmp_path)[0]
    tracemalloc.start()
    for row in range(7):
        rows.batch([row])
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    one = 3 * SIDE * SIDE
    assert 3 * one <= held < 6 * one, "three rows of a byte a value, and not seven"
