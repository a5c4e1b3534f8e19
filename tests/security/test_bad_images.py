"""Hostile images, as files of an image folder and as cells of a Parquet file: read as meant, or refused."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from acclimate.adapters.images import read_images
from acclimate.adapters.tables import Limits
from acclimate.errors import DataError
from acclimate.nn.images import decode, pixel_key
from acclimate.ports import RawTable

VALUES = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
PICTURE = Image.fromarray(VALUES)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<html><script>alert(1)</script></html>"


def saved(image: Image.Image = PICTURE, form: str = "PNG", **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 8
    return saved(PICTURE.transpose(Image.Transpose.ROTATE_270), exif=exif)


def bomb(side: int = 50_000) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(1 << 20))) + chunk(b"IEND", b"")


def in_folder(root: Path, raw: bytes, name: str) -> tuple[Path, str]:
    for label in ("cat", "dog"):
        (root / "data" / label).mkdir(parents=True)
        (root / "data" / label / "good.png").write_bytes(saved())
    (root / "data/cat" / name).write_bytes(raw)
    return root / "data", f"data/cat/{name}"


def in_parquet(root: Path, raw: bytes, name: str) -> tuple[Path, str]:
    cells = [{"bytes": cell, "path": name} for cell in (saved(), raw, saved())]
    pq.write_table(pa.table({"image": cells, "label": ["cat", "cat", "dog"]}), root / "data.parquet")
    return root / "data.parquet", "data.parquet:2"


def read(path: Path, root: Path, **settings: object) -> RawTable:
    return read_images(path, required=["label"], root=root, **settings)


@pytest.fixture(params=[in_folder, in_parquet], ids=["folder", "parquet"])
def placed(request: pytest.FixtureRequest) -> object:
    return request.param


REFUSED = [
    ("0 bytes", b"", "a.png", "0 bytes"),
    ("truncated PNG", saved()[:200], "a.png", "damaged"),
    ("truncated JPEG", saved(form="JPEG")[:-40], "a.jpg", "damaged"),
    ("truncated WebP", saved(form="WEBP")[:-40], "a.webp", "damaged"),
    ("header only", saved()[:12], "a.png", "damaged"),
    ("bomb", bomb(), "a.png", "too large"),
    ("small bomb", bomb(9_000), "a.png", "too large"),
    ("SVG named .png", SVG, "a.png", "SVG"),
    ("HTML named .jpg", HTML, "a.jpg", "HTML"),
    ("HTML, then a JPEG", HTML + saved(form="JPEG"), "a.jpg", "HTML"),
    ("PDF", b"%PDF-1.7\n%%EOF", "a.png", "PDF"),
    ("icon", saved(form="ICO"), "a.png", "no known image format"),
    ("animated GIF", saved(form="GIF", save_all=True, append_images=[Image.new("RGB", (16, 12))]), "a.gif", "frames"),
    ("animated PNG", saved(save_all=True, append_images=[Image.new("RGB", (16, 12))]), "a.png", "frames"),
    ("TIFF of two pages", saved(form="TIFF", save_all=True, append_images=[PICTURE]), "a.tif", "pages"),
]


@pytest.mark.parametrize(("raw", "name", "says"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused_at_its_place(placed: object, tmp_path: Path, raw: bytes, name: str, says: str) -> None:
    path, where = placed(tmp_path, raw, name)
    with pytest.raises(DataError) as caught:
        read(path, tmp_path)
    assert (caught.value.code, caught.value.where) == ("E-DATA-060", where)
    assert says in str(caught.value)
    assert caught.value.hint


CMYK = Image.new("CMYK", (16, 12), (255, 0, 0, 0))
DEEP = Image.fromarray((VALUES[..., 0].astype(np.uint16) << 8) + 7)
GREY = np.repeat(VALUES[..., :1], 3, axis=2)
VEIL = Image.fromarray(np.dstack([VALUES, np.zeros((12, 16), np.uint8)]))
ACCEPTED = [
    ("PNG named .jpg", saved(), "a.jpg", VALUES),
    ("CMYK", saved(CMYK, "TIFF"), "a.tif", np.full((12, 16, 3), [0, 255, 255], np.uint8)),
    ("16 bit", saved(DEEP), "a.png", GREY),
    ("alpha", saved(VEIL), "a.png", np.full((12, 16, 3), 255, np.uint8)),
    ("turned by EXIF", turned(), "a.png", VALUES),
    ("JPEG, then HTML", saved(form="JPEG") + HTML, "a.jpg", np.asarray(decode(saved(form="JPEG")))),
    ("PNG, then ZIP", saved() + b"PK\x03\x04" + bytes(100), "a.png", VALUES),
]


@pytest.mark.parametrize(("raw", "name", "values"), [case[1:] for case in ACCEPTED], ids=[case[0] for case in ACCEPTED])
def test_read_as_meant(placed: object, tmp_path: Path, raw: bytes, name: str, values: np.ndarray) -> None:
    path, where = placed(tmp_path, raw, name)
    table = read(path, tmp_path)
    (row,) = [row for row in range(3) if table.place(row) == where]
    assert table.columns["image"][row] == pixel_key(Image.fromarray(values))
    assert table.images is not None
    assert table.images[row] == raw


def test_an_svg_is_passed_over_and_told(tmp_path: Path) -> None:
    path, _ = in_folder(tmp_path, SVG, "a.svg")
    table = read(path, tmp_path)
    assert len(table.lines) == 2
    assert table.warnings == ["data: passed over 1 files that don't end like an image, e.g. cat/a.svg"]


def test_too_many_bytes_for_one_image(placed: object, tmp_path: Path) -> None:
    path, _ = placed(tmp_path, saved() + bytes(10_000), "a.png")
    with pytest.raises(DataError) as caught:
        read(path, tmp_path, limits=Limits(field_chars=9_000))
    assert caught.value.code == "E-DATA-016"


def test_a_huge_image_is_refused_unread(tmp_path: Path) -> None:
    path, where = in_folder(tmp_path, b"", "a.png")
    with (path / "cat/a.png").open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError) as caught:
        read(path, tmp_path)
    assert (caught.value.code, caught.value.where) == ("E-DATA-016", where)


def test_one_image_repeated_takes_the_memory_of_one(tmp_path: Path) -> None:
    raw = saved() + bytes(1 << 20)
    pq.write_table(pa.table({"image": [raw] * 300, "label": ["cat"] * 300}), tmp_path / "data.parquet")
    table = read(tmp_path / "data.parquet", tmp_path)
    assert len(table.lines) == 300
    assert len({id(image) for image in table.images or []}) == 1
