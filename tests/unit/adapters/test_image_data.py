"""Images as data of a run: what their key covers, and what can't leave this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acclimate.adapters.data_uris import Located, located
from acclimate.errors import DataError
from tests.toy_images import toy_image


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for i in range(4):
        file = tmp_path / "photos" / ("good", "bad")[i % 2] / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(toy_image(i % 2, rng))
    return tmp_path / "photos"


def at(path: Path) -> Located:
    return located(path.name, root=path.parent, home=path.parent / "home", has_images=True)


def test_every_image_is_in_the_key_and_nothing_else(folder: Path) -> None:
    before = at(folder).digests
    assert set(before) == {"good/0.png", "bad/1.png", "good/2.png", "bad/3.png"}
    # a table beside the folders, and what is hidden, are not read
    (folder / "metadata.csv").write_text("file,label\n")
    (folder / "labels.json").write_text("{}")
    (folder / ".git").mkdir()
    (folder / ".git" / "x.png").write_bytes(b"x")
    assert at(folder).digests == before
    (folder / "good" / "0.png").write_bytes((folder / "bad" / "1.png").read_bytes())
    assert at(folder).digests != before


def test_images_behind_a_linked_folder_are_in_the_key(folder: Path) -> None:
    elsewhere = folder.parent / "more"
    elsewhere.mkdir()
    (elsewhere / "9.png").write_bytes(toy_image(0, np.random.default_rng(9)))
    (folder / "good" / "more").symlink_to(elsewhere)
    assert "good/more/9.png" in at(folder).digests


def test_a_folder_of_images_stays_here_and_parquet_may_go(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file,label\n")
    with pytest.raises(DataError) as caught:
        at(folder).publish("s3://bucket/team")
    assert caught.value.code == "E-DATA-065"
    table = pa.table({"image": [path.read_bytes() for path in sorted(folder.rglob("*.png"))]})
    parquet = folder.parent / "images.parquet"
    pq.write_table(table, parquet)
    assert set(at(parquet).digests) == {"images.parquet"}


def test_fresh_images_need_no_labels(folder: Path, tmp_path: Path) -> None:
    flat = tmp_path / "incoming"
    flat.mkdir()
    for path in folder.rglob("*.png"):
        (flat / path.name).write_bytes(path.read_bytes())
    place = at(flat)
    wanted = {"name": "retrain.fresh", "image": "image", "format": None}
    table = place.read(place.path, required=[], optional=["label"], **wanted)
    assert table.images is not None
    assert len(table.images) == 4
    assert "label" not in table.columns
    with pytest.raises(DataError) as caught:
        place.read(place.path, required=["label"], optional=[], **wanted)
    assert caught.value.code == "E-DATA-062"


def test_split_folders_are_never_passed_over(folder: Path) -> None:
    parts = folder.parent / "parts"
    (parts / "train").mkdir(parents=True)
    for path in list(folder.iterdir()):
        path.rename(parts / "train" / path.name)
    place = at(parts)
    wanted = {"name": "target", "image": "image", "format": None, "optional": []}
    with pytest.raises(DataError) as caught:
        place.read(place.path, required=["label"], **wanted)
    assert caught.value.code == "E-DATA-066"
    assert "target.split" in str(caught.value.hint)
    table = place.read(place.path, required=["label", "split"], **wanted)
    assert set(table.columns["split"]) == {"train"}
