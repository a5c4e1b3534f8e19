from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import acclimate.adapters.images.image_cells as cells
from acclimate.adapters.images import read_images
from acclimate.adapters.tables import Limits
from acclimate.errors import DataError
from acclimate.nn.images import decode, near_key, pixel_key
from acclimate.ports import RawTable


def image(seed: int = 0, form: str = "PNG", mode: str = "RGB", **how: object) -> bytes:
    values = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(values).convert(mode).save(out, form, **how)
    return out.getvalue()


def folder(root: Path, files: dict[str, bytes]) -> Path:
    for name, raw in files.items():
        path = root / "images" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    return root / "images"


def parquet(path: Path, cells: list, kind: pa.DataType | None = None, **columns: list) -> Path:
    labels = {"label": [index % 2 for index in range(len(cells))], **columns}
    pq.write_table(pa.table({"image": pa.array(cells, kind or pa.binary()), **labels}), path)
    return path


def read(path: Path, **settings: object) -> RawTable:
    return read_images(path, **{"required": ["label"], "root": path.parent, **settings})


def error_of(path: Path, **settings: object) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    assert caught.value.hint
    return caught.value


FOUR = {
    "cat/b.png": image(0),
    "dog/a.png": image(1),
    "cat/a/x.jpg": image(2, "JPEG"),
    "cat/B.bmp": image(3, "BMP"),
}
IN_ORDER = ["cat/B.bmp", "cat/a/x.jpg", "cat/b.png", "dog/a.png"]


class TestImageFolder:
    def test_each_folder_is_a_class(self, tmp_path: Path) -> None:
        table = read(folder(tmp_path, FOUR), required=["label", "file"])
        assert table.header == ["image", "label", "file"]
        assert table.columns == {
            "image": [pixel_key(decode(FOUR[name])) for name in IN_ORDER],
            "label": ["cat", "cat", "cat", "dog"],
            "file": IN_ORDER,
        }
        assert table.images == [FOUR[name] for name in IN_ORDER]
        assert table.near == [near_key(decode(FOUR[name])) for name in IN_ORDER]
        assert [table.place(row) for row in range(4)] == [f"images/{name}" for name in IN_ORDER]
        assert table.warnings == []

    def test_only_what_is_wanted_comes_back(self, tmp_path: Path) -> None:
        assert list(read(folder(tmp_path, FOUR), image="photo").columns) == ["photo", "label"]

    def test_the_record_is_that_of_all_files(self, tmp_path: Path) -> None:
        (record,) = read(folder(tmp_path, FOUR)).files
        lines = "".join(f"{name} {hashlib.sha256(FOUR[name]).hexdigest()}\n" for name in IN_ORDER)
        assert record.sha256 == hashlib.sha256(lines.encode()).hexdigest()
        assert record.size_bytes == sum(map(len, FOUR.values()))
        assert record.uri == "images"

    def test_the_order_of_the_directory_does_not_matter(self, tmp_path: Path) -> None:
        tables = []
        for name, files in (("one", FOUR), ("two", dict(reversed(FOUR.items())))):
            (tmp_path / name).mkdir()
            tables.append(read(folder(tmp_path / name, files), required=["label", "file"]))
        assert tables[0] == tables[1]

    def test_names_sort_by_their_bytes(self, tmp_path: Path) -> None:
        names = ["c/Z.png", "c/a.png", "c/é.png", "c/ﬀ.png", "c/😀.png"]
        table = read(folder(tmp_path, dict.fromkeys(names, image())))
        assert table.names == sorted(names, key=str.encode)

    @pytest.mark.parametrize("val", ["val", "validation", "dev"])
    def test_split_folders(self, tmp_path: Path, val: str) -> None:
        files = {"train/cat/a.png": image(0), f"{val}/cat/deep/b.png": image(1), "test/dog/c.png": image(2)}
        table = read(folder(tmp_path, {**files, "README.md": b"read me"}), required=["label", "split"])
        assert dict(zip(table.names or [], table.columns["split"], strict=True)) == {n: n.split("/")[0] for n in files}
        assert dict(zip(table.names or [], table.columns["label"], strict=True)) == {n: n.split("/")[1] for n in files}

    def test_classes_may_be_called_like_splits_where_others_are_not(self, tmp_path: Path) -> None:
        table = read(folder(tmp_path, {"train/a/x.png": image(0), "bus/y.png": image(1)}))
        assert table.columns["label"] == ["bus", "train"]
        assert "split" not in table.header
        assert error_of(tmp_path / "images", required=["split"]).code == "E-DATA-018"

    def test_what_is_passed_over_is_told(self, tmp_path: Path) -> None:
        more = {".DS_Store": b"x", "cat/._b.png": b"x", "_old/cat/z.png": b"x", "cat/notes.txt": b"x", "a.csv": b"x"}
        table = read(folder(tmp_path, {**FOUR, **more}))
        assert table.names == IN_ORDER
        assert table.warnings == [
            "images: passed over 3 hidden entries, e.g. .DS_Store",
            "images: passed over 2 files that don't end like an image, e.g. a.csv",
        ]

    def test_classes_that_differ_by_case_stay_apart(self, tmp_path: Path) -> None:
        table = read(folder(tmp_path, {"Cat/a.png": image(0), "cat/a.PNG": image(1)}))
        assert table.columns["label"] == ["Cat", "cat"]

    def test_one_image_in_two_formats_has_one_key(self, tmp_path: Path) -> None:
        table = read(folder(tmp_path, {"a/x.png": image(), "b/y.bmp": image(form="BMP")}))
        assert len(set(table.columns["image"])) == 1

    @pytest.mark.parametrize(
        ("files", "code", "says"),
        [
            ({"notes.txt": b"x"}, "E-DATA-061", "no images"),
            ({"cat/.hidden.png": image()}, "E-DATA-061", "no images"),
            ({"a.png": image(0), "b.png": image(1)}, "E-DATA-062", "2 of 2 images lie directly in the folder"),
            ({"a.png": image(0), "cat/b.png": image(1)}, "E-DATA-062", "1 of 2"),
            ({"train/cat/b.png": image(1), "test/a.png": image(0)}, "E-DATA-062", "in a split's folder"),
            ({"train/a.png": image(0), "test/b.png": image(1)}, "E-DATA-062", "2 of 2"),
        ],
    )
    def test_layouts_without_classes(self, tmp_path: Path, files: dict[str, bytes], code: str, says: str) -> None:
        error = error_of(folder(tmp_path, files))
        assert error.code == code
        assert says in str(error)
        assert error.where == "images"

    def test_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / "images").mkdir()
        assert error_of(tmp_path / "images").code == "E-DATA-061"

    def test_a_missing_column_names_those_that_are_there(self, tmp_path: Path) -> None:
        error = error_of(folder(tmp_path, FOUR), required=["labels"])
        assert error.code == "E-DATA-018"
        assert "image, label, file" in error.hint
        assert error.where == "images"

    @pytest.mark.parametrize(
        ("limits", "code"),
        [
            (Limits(rows=5), "E-DATA-005"),
            (Limits(text_chars=300), "E-DATA-005"),
            (Limits(field_chars=100), "E-DATA-016"),
        ],
    )
    def test_limits(self, tmp_path: Path, limits: Limits, code: str) -> None:
        assert error_of(folder(tmp_path, FOUR), limits=limits).code == code


class TestLinks:
    def test_a_link_inside_the_project_is_followed(self, tmp_path: Path) -> None:
        path = folder(tmp_path, FOUR)
        (path / "cat/link.png").symlink_to(path / "dog/a.png")
        (path / "wolf").symlink_to(path / "dog")
        assert read(path).names == [*IN_ORDER[:3], "cat/link.png", "dog/a.png", "wolf/a.png"]

    @pytest.mark.parametrize("name", ["cat/link.png", "bird"])
    def test_a_link_out_of_the_project_is_refused(self, tmp_path: Path, name: str) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "a.png").write_bytes(image())
        path = folder(tmp_path / "project", FOUR)
        (path / name).symlink_to(outside if name == "bird" else outside / "a.png")
        error = error_of(path)
        assert error.code == "E-DATA-007"
        assert error.where == f"images/{name}"
        assert len(read(path, allow_outside=True).lines) == 5

    def test_a_folder_out_of_the_project_is_refused(self, tmp_path: Path) -> None:
        assert error_of(folder(tmp_path, FOUR), root=tmp_path / "elsewhere").code == "E-DATA-007"

    def test_a_link_to_a_folder_above_is_refused(self, tmp_path: Path) -> None:
        path = folder(tmp_path, FOUR)
        (path / "cat/again").symlink_to(path)
        assert error_of(path).code == "E-DATA-064"

    def test_links_that_multiply_are_refused(self, tmp_path: Path) -> None:
        path = folder(tmp_path, FOUR)
        for level in range(12):
            for twin in "abcdef":
                (path / f"l{level}").mkdir(exist_ok=True)
                (path / f"l{level}" / twin).symlink_to(path / f"l{level + 1}")
        assert error_of(path, limits=Limits(rows=2_000)).code == "E-DATA-005"

    def test_a_dangling_link(self, tmp_path: Path) -> None:
        path = folder(tmp_path, FOUR)
        (path / "cat/link.png").symlink_to(path / "gone.png")
        error = error_of(path)
        assert (error.code, error.where) == ("E-DATA-002", "images/cat/link.png")

    def test_a_pipe_is_no_image(self, tmp_path: Path) -> None:
        path = folder(tmp_path, FOUR)
        os.mkfifo(path / "cat/pipe.png")
        error = error_of(path)
        assert (error.code, error.where) == ("E-DATA-002", "images/cat/pipe.png")

    def test_a_name_that_is_no_utf_8(self, tmp_path: Path) -> None:
        path = folder(tmp_path, FOUR)
        Path(os.fsdecode(os.fsencode(path) + b"/cat/caf\xe9.png")).write_bytes(image())
        error = error_of(path)
        assert error.code == "E-DATA-063"
        assert "caf\\\\xe9" in str(error)
        str(error).encode()


class TestChanges:
    """The files change while the first one is decoded."""

    @pytest.fixture
    def while_reading(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
        def do(change: Callable[[], object]) -> None:
            def decode_and_change(raw: bytes) -> Image.Image:
                change()
                return decode(raw)

            monkeypatch.setattr(cells, "decode", decode_and_change)

        return do

    def test_a_image_that_comes(self, tmp_path: Path, while_reading: Callable) -> None:
        path = folder(tmp_path, FOUR)
        while_reading(lambda: (path / "dog/new.png").write_bytes(b"x"))
        assert error_of(path).code == "E-DATA-006"

    def test_a_image_that_goes(self, tmp_path: Path, while_reading: Callable) -> None:
        path = folder(tmp_path, FOUR)
        while_reading(lambda: (path / "dog/a.png").unlink(missing_ok=True))
        error = error_of(path)
        assert (error.code, error.where) == ("E-DATA-002", "images/dog/a.png")

    def test_a_parquet_file_that_grows(self, tmp_path: Path, while_reading: Callable) -> None:
        path = parquet(tmp_path / "a.parquet", [image(0), image(1)])
        while_reading(lambda: os.utime(path, ns=(1, 1)))
        assert error_of(path).code == "E-DATA-006"


STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


class TestParquet:
    @pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
    def test_bytes(self, tmp_path: Path, kind: pa.DataType) -> None:
        raws = [image(0), None, image(2, "JPEG"), image(0)]
        table = read(parquet(tmp_path / "a.parquet", raws, kind))
        first, third = (pixel_key(decode(raws[row])) for row in (0, 2))
        assert table.columns == {"image": [first, None, third, first], "label": ["0", "1", "0", "1"]}
        assert table.images == [raws[0], b"", raws[2], raws[0]]
        assert table.near == [near_key(decode(raws[0])), "", near_key(decode(raws[2])), near_key(decode(raws[0]))]
        assert [table.place(row) for row in (0, 3)] == ["a.parquet:1", "a.parquet:4"]
        assert table.names is None

    @pytest.mark.parametrize("inner", [pa.binary(), pa.large_binary()])
    def test_a_struct_as_hugging_face_writes_it(self, tmp_path: Path, inner: pa.DataType) -> None:
        kind = pa.struct([("bytes", inner), ("path", pa.string())])
        rows = [{"bytes": image(0), "path": "x"}, None, {"bytes": None, "path": "../y.png"}, {"bytes": image(1)}]
        table = read(parquet(tmp_path / "a.parquet", rows, kind, split=["train", "test", "test", "train"]))
        assert table.images == [image(0), b"", b"", image(1)]
        assert [key is None for key in table.columns["image"]] == [False, True, True, False]
        assert table.header == ["image", "label", "split"]

    def test_all_null(self, tmp_path: Path) -> None:
        for kind in (pa.null(), STRUCT, pa.struct([("bytes", pa.null())])):
            assert read(parquet(tmp_path / "a.parquet", [None, None], kind)).columns["image"] == [None, None]

    def test_a_dictionary_of_images(self, tmp_path: Path) -> None:
        cells = pa.array([image(0), image(1), image(0)]).dictionary_encode()
        pq.write_table(pa.table({"image": cells, "label": [1, 2, 1]}), tmp_path / "a.parquet")
        assert read(tmp_path / "a.parquet").images == [image(0), image(1), image(0)]

    def test_a_folder_of_files(self, tmp_path: Path) -> None:
        (tmp_path / "shards").mkdir()
        for shard in (1, 0):
            parquet(tmp_path / f"shards/{shard}.parquet", [image(shard)])
        table = read(tmp_path / "shards")
        assert table.images == [image(0), image(1)]
        assert [table.place(row) for row in (0, 1)] == ["shards/0.parquet:1", "shards/1.parquet:1"]

    def test_large_images_come_in_small_batches(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("acclimate.adapters.tables.parquet_rows._BATCH_BYTES", 1000)
        raws = [image(seed) for seed in range(9)]
        assert read(parquet(tmp_path / "a.parquet", raws)).images == raws

    @pytest.mark.parametrize(
        ("cells", "kind"),
        [
            (["a.png"], pa.string()),
            ([[1, 2]], pa.list_(pa.uint8())),
            ([{"path": "a.png"}], pa.struct([("path", pa.string())])),
            ([{"bytes": "text"}], pa.struct([("bytes", pa.string())])),
            ([{"bytes": [1]}], pa.struct([("bytes", pa.list_(pa.uint8()))])),
            ([b"123"], pa.binary(3)),
            ([1], pa.int64()),
        ],
    )
    def test_other_types(self, tmp_path: Path, cells: list, kind: pa.DataType) -> None:
        error = error_of(parquet(tmp_path / "a.parquet", cells, kind))
        assert error.code == "E-DATA-033"
        assert "named bytes" in error.hint

    def test_a_label_of_bytes(self, tmp_path: Path) -> None:
        assert error_of(parquet(tmp_path / "a.parquet", [image()], label=[b"x"])).code == "E-DATA-033"

    def test_a_missing_image_column(self, tmp_path: Path) -> None:
        error = error_of(parquet(tmp_path / "a.parquet", [image()]), image="photo")
        assert error.code == "E-DATA-018"
        assert "target.image" in error.hint

    @pytest.mark.parametrize("kind", [pa.binary(), STRUCT])
    def test_a_broken_image_is_named_by_its_row(self, tmp_path: Path, kind: pa.DataType) -> None:
        raws = [image(0), image(1)[:60]]
        rows = [{"bytes": raw, "path": None} for raw in raws] if kind == STRUCT else raws
        error = error_of(parquet(tmp_path / "a.parquet", rows, kind))
        assert (error.code, error.where) == ("E-DATA-060", "a.parquet:2")

    @pytest.mark.parametrize(
        ("limits", "code"),
        [
            (Limits(rows=2), "E-DATA-005"),
            (Limits(text_chars=300), "E-DATA-034"),
            (Limits(field_chars=100), "E-DATA-016"),
        ],
    )
    def test_limits(self, tmp_path: Path, limits: Limits, code: str) -> None:
        path = parquet(tmp_path / "a.parquet", [image(0), image(1), image(2)])
        assert error_of(path, limits=limits).code == code

    def test_repeated_images_count_each_time(self, tmp_path: Path) -> None:
        path = parquet(tmp_path / "a.parquet", [image()] * 1000)
        assert path.stat().st_size < 20 * len(image())
        assert error_of(path, limits=Limits(text_chars=100 * len(image()))).code == "E-DATA-005"


class TestFormat:
    def test_nothing_there(self, tmp_path: Path) -> None:
        assert error_of(tmp_path / "gone").code == "E-DATA-001"

    @pytest.mark.parametrize(
        ("name", "form", "hint"), [("a.zip", None, "unpack"), ("a.png", None, "folder"), ("a.csv", "csv", "format")]
    )
    def test_other_files(self, tmp_path: Path, name: str, form: str | None, hint: str) -> None:
        (tmp_path / name).write_bytes(image())
        error = error_of(tmp_path / name, format=form)
        assert error.code == "E-DATA-003"
        assert hint in error.hint

    def test_the_format_may_be_said(self, tmp_path: Path) -> None:
        path = parquet(tmp_path / "images", [image()])
        assert read(path, format="parquet").images == [image()]
        assert error_of(path, format="image-folder").code == "E-DATA-003"
        folder(tmp_path / "b", FOUR)
        parquet(tmp_path / "b/images/x.parquet", [image()])
        assert len(read(tmp_path / "b/images", format="image-folder").lines) == 4
        assert len(read(tmp_path / "b/images").lines) == 1
        assert error_of(folder(tmp_path / "c", FOUR), format="parquet").code == "E-DATA-004"
