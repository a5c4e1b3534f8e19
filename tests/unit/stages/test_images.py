"""The stages on images: ingest keeps near-duplicates together, gap and baseline say what they say of texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acclimate.adapters.images import read_images
from acclimate.config import BaselineSpec, GapSpec
from acclimate.config_base import DataSpec
from acclimate.config_generation import GenerationSpec
from acclimate.errors import DataError
from acclimate.examples import read_examples
from acclimate.nn.image_features import measured
from acclimate.nn.model import AdaptedModel
from acclimate.nn.source_card import source_card
from acclimate.ports import silent
from acclimate.records import SPLITS, BaselineReport, DataCard
from acclimate.stages.baseline import baseline
from acclimate.stages.gap import gap
from acclimate.stages.ingest import ingest
from tests.toy_images import png, toy_image, toy_images, write_image_source

LABELS = ("across", "along")


def write_folder(folder: Path, rows: int, seed: int, **look: int) -> Path:
    rng = np.random.default_rng(seed)
    for i in range(rows):
        file = folder / LABELS[i % 2] / f"{i:04}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(toy_image(i % 2, rng, **look))
    return folder


def ingested(root: Path, out: Path, *, reference: str | None = None, **spec: Any) -> DataCard:
    out.mkdir(exist_ok=True)
    return ingest(
        DataSpec(**{"data": "target", **spec}),
        DataSpec(data=reference) if reference else None,
        task="image-classification",
        root=root,
        allow_outside=False,
        out=out,
        read=read_images,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with ``target``, ``reference`` (darker, without contrast), ``source`` and ingest's ``data``."""
    root = tmp_path_factory.mktemp("images")
    write_folder(root / "target", 200, 1)
    write_folder(root / "reference", 200, 2, light=10, contrast=40)
    write_image_source(root / "source", "vit")
    ingested(root, root / "data", reference="reference")
    return root


def test_ingest_keeps_every_image_byte_for_byte_with_its_label(world: Path) -> None:
    card = DataCard.read(world / "data")
    assert card.has_images
    assert card.target.labels == list(LABELS)
    assert card.target.rows_kept == card.target.rows_read == 200
    rows = read_examples(world / "data", "target", SPLITS, LABELS)
    assert rows.has_images
    on_disk = {path.read_bytes(): path.parent.name for path in (world / "target").rglob("*.png")}
    assert {image: LABELS[label] for image, label in zip(rows.inputs, rows.labels, strict=True)} == on_disk
    with pytest.raises(TypeError):
        _ = rows.texts


def test_the_same_images_from_parquet_are_the_same_data(world: Path, tmp_path: Path) -> None:
    files = sorted((world / "target").rglob("*.png"), reverse=True)
    table = pa.table({"img": [f.read_bytes() for f in files], "kind": [f.parent.name for f in files]})
    pq.write_table(table, tmp_path / "target.parquet")
    card = ingested(tmp_path, tmp_path / "data", data="target.parquet", image="img", label="kind")
    assert card.target.digest == DataCard.read(world / "data").target.digest


def test_copies_and_look_alikes_never_lie_in_two_splits(tmp_path: Path) -> None:
    images, labels = toy_images(120, 5)
    rng = np.random.default_rng(0)
    for i, (image, label) in enumerate(zip(images, labels, strict=True)):
        folder = tmp_path / "target" / LABELS[label]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{i}.png").write_bytes(image)
        if i % 3 == 0:
            from io import BytesIO

            from PIL import Image

            opened = Image.open(BytesIO(image))
            opened.save(folder / f"{i}-copy.bmp")
            # one value of one pixel: another image, the same look
            pixels = np.asarray(opened).copy()
            at = tuple(rng.integers(0, 24, 2))
            pixels[at] = np.clip(pixels[at].astype(int) + 1, 0, 255)
            (folder / f"{i}-alike.png").write_bytes(png(pixels))
    card = ingested(tmp_path, tmp_path / "data")
    assert card.target.rows_read == 200
    assert card.target.exact_copies_dropped == 40
    assert card.target.near_duplicates_across_splits == 0
    given = ingested(tmp_path, tmp_path / "given", group="file")
    assert given.target.near_duplicates_across_splits > 0
    assert any("size, light or small details" in warning for warning in given.target.warnings)


def test_images_with_conflicting_labels_are_all_dropped(tmp_path: Path) -> None:
    write_folder(tmp_path / "target", 300, 1)
    first = sorted((tmp_path / "target" / "across").iterdir())[0]
    (tmp_path / "target" / "along" / "again.png").write_bytes(first.read_bytes())
    card = ingested(tmp_path, tmp_path / "data")
    assert card.target.conflicting_rows_dropped == 2
    assert card.target.rows_kept == 299


def test_a_broken_image_is_named(tmp_path: Path) -> None:
    write_folder(tmp_path / "target", 60, 1)
    (tmp_path / "target" / "along" / "0001.png").write_bytes(b"not an image")
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, tmp_path / "data")
    assert caught.value.code == "E-DATA-060"
    assert "target/along/0001.png" in str(caught.value.where)


def test_the_gap_of_images_is_seen_and_their_light_is_told(world: Path, tmp_path: Path) -> None:
    report = gap(
        world / "data",
        world / "source",
        source_card(world / "source", name="toy", revision=None, licence="MIT"),
        config=GapSpec(null_pairs=50, draws=5, permutations=99),
        generation=GenerationSpec(),
        max_length=None,
        precision="fp32",
        cache=tmp_path / "cache",
        out=tmp_path,
        progress=silent,
    )
    assert report.p_value <= 0.02
    assert report.units > 1
    rows = read_examples(world / "data", "target", ("train",), None)
    light = measured(list(rows.inputs))
    assert report.input_side["brightness_mean_target"] == pytest.approx(light.brightness.mean())
    assert report.input_side["brightness_mean_target"] > report.input_side["brightness_mean_reference"]
    assert report.input_side["enlarged_rate_target"] == 1.0  # 24 pixels, 32 are seen
    assert report.input_side["colour_js"] > 3 * report.input_side["colour_js_within_reference"]
    assert len(report.furthest) == 20
    assert all(row.text == "" and row.image.startswith("data:image/png;base64,") for row in report.furthest)


def test_the_baseline_of_images_has_controls_of_its_own(world: Path, tmp_path: Path) -> None:
    report = baseline(
        world / "data",
        world / "source",
        source_card(world / "source", name="toy", revision=None, licence="MIT"),
        config=BaselineSpec(bootstraps=200),
        metric="accuracy",
        precision="fp32",
        cache=tmp_path / "cache",
        out=tmp_path,
        progress=silent,
    )
    controls = {one.name: one for one in report.controls}
    assert set(controls) == {"random_features", "pixels", "histogram", "majority", "source_as_is"}
    assert {name for name, one in controls.items() if one.trivial} == {"pixels", "histogram", "majority"}
    assert report.score.point > 0.7, "a random network of patches sees stripes"
    assert BaselineReport.read(tmp_path).best_trivial in {"pixels", "histogram", "majority"}
    model = AdaptedModel.load(tmp_path / "model")
    rows = read_examples(world / "data", "target", ("validation",), LABELS)
    predicted = model.predict(rows.inputs)
    files = []
    for i, image in enumerate(rows.inputs):
        files.append(tmp_path / f"{i}.png")
        files[-1].write_bytes(image)
    assert model.predict([str(file) for file in files]) == predicted
