from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acclimate.adapters.tables import Limits, read_table
from acclimate.adapters.tables.values import canonical
from acclimate.errors import DataError
from acclimate.ports import RawTable

COLUMNS = ("label", "author")


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def read(path: Path, **settings: object) -> RawTable:
    root = path if path.is_dir() else path.parent
    return read_table(path, **{"text": "text", "required": ["label"], "root": root, **settings})


def error_of(path: Path, **settings: object) -> DataError:
    with pytest.raises(DataError) as caught:
        read(path, **settings)
    return caught.value


class TestCsv:
    def test_quoted_fields_keep_delimiters_quotes_and_line_ends(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", 'text,label\n"a, ""b""\r\nc",x\nplain,y\n\n"last\n\nline",z\n')
        table = read(path)
        assert table.columns == {"text": ['a, "b"\r\nc', "plain", "last\n\nline"], "label": ["x", "y", "z"]}
        assert [table.place(row) for row in range(3)] == ["a.csv:2", "a.csv:4", "a.csv:6"]

    def test_mixed_line_ends(self, tmp_path: Path) -> None:
        table = read(write(tmp_path, "a.csv", "text,label\r\na,x\nb,y\rc,z\r\n"))
        assert table.columns["text"] == ["a", "b", "c"]

    @pytest.mark.parametrize(("ending", "encoding"), [("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("utf-16", "utf-16")])
    def test_byte_order_marks_are_no_part_of_the_header(self, tmp_path: Path, ending: str, encoding: str) -> None:
        path = write(tmp_path, "a.csv", "text,label\nñandú,é\n".encode(ending))
        assert read(path, encoding=encoding).columns == {"text": ["ñandú"], "label": ["é"]}

    def test_latin_1_when_asked_for(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", "text,label\ncafé,x\n".encode("latin-1"))
        assert read(path, encoding="latin-1").columns["text"] == ["café"]

    def test_a_byte_of_another_encoding_is_located(self, tmp_path: Path) -> None:
        path = write(tmp_path, "a.csv", b"text,label\n" + b"ok,x\n" * 300_000 + "café,x\n".encode("latin-1"))
        error = error_of(path)
        assert error.code == "E-DATA-012"
        assert error.where == "a.csv:300002"
        assert "byte 1,500,014 (0xe9)" in str(error)
        assert "latin-1" in error.hint

    def test_formulas_are_text(self, tmp_path: Path) -> None:
        assert read(write(tmp_path, "a.csv", "text,label\n=cmd|' /C calc'!A0,x\n")).columns["text"] == [
            "=cmd|' /C calc'!A0"
        ]

    def test_tsv_and_configured_format(self, tmp_path: Path) -> None:
        assert read(write(tmp_path, "a.tsv", "text\tlabel\na,b\tx\n")).columns["text"] == ["a,b"]
        assert read(write(tmp_path, "a.dat", "text\tlabel\na,b\tx\n"), format="tsv").columns["text"] == ["a,b"]

    def test_field_limit_of_the_csv_module_is_left_as_it_was(self, tmp_path: Path) -> None:
        import csv

        before = csv.field_size_limit()
        text = "x" * 200_000
        assert read(write(tmp_path, "a.csv", f"text,label\n{text},x\n")).columns["text"] == [text]
        assert csv.field_size_limit() == before


class TestJsonLines:
    def test_absent_keys_and_nulls_are_missing_values(self, tmp_path: Path) -> None:
        lines = ['{"text": "a", "label": 1}', "", '{"text": "b"}', '{"text": null, "label": null}']
        table = read(write(tmp_path, "a.jsonl", "\n".join(lines)))
        assert table.columns == {"text": ["a", "b", None], "label": ["1", None, None]}
        assert list(table.lines) == [1, 3, 4]

    def test_nested_values_elsewhere_do_not_matter(self, tmp_path: Path) -> None:
        table = read(write(tmp_path, "a.jsonl", '{"text": "a", "label": "x", "meta": {"deep": [1, [2]]}}\n'))
        assert table.columns["label"] == ["x"]

    def test_line_separators_inside_a_text_end_no_line(self, tmp_path: Path) -> None:
        table = read(write(tmp_path, "a.jsonl", '{"text": "a\u2028b\x85c", "label": "x"}\n'))
        assert table.columns["text"] == ["a\u2028b\x85c"]


class TestParquet:
    @pytest.mark.parametrize(
        ("kind", "values", "expected"),
        [
            (pa.int64(), [1, 0, None], ["1", "0", None]),
            (pa.float64(), [1.0, 0.0, float("nan")], ["1", "0", None]),
            (pa.bool_(), [True, False, None], ["true", "false", None]),
            (pa.string(), ["1.0", "0", ""], ["1", "0", None]),
            (pa.large_string(), ["x", "y", None], ["x", "y", None]),
            (pa.dictionary(pa.int8(), pa.string()), ["x", "y", None], ["x", "y", None]),
            (pa.float32(), [1.0, 2.0, None], ["1", "2", None]),
        ],
    )
    def test_labels_of_any_scalar_type(self, tmp_path: Path, kind: pa.DataType, values: list, expected: list) -> None:
        table = pa.table({"text": ["a", "b", "c"], "label": pa.array(values, kind)})
        pq.write_table(table, tmp_path / "a.parquet")
        assert read(tmp_path / "a.parquet").columns == {"text": ["a", "b", "c"], "label": expected}

    def test_several_row_groups_are_numbered_through(self, tmp_path: Path) -> None:
        texts = [f"text {i}" for i in range(20_000)]
        pq.write_table(pa.table({"text": texts, "label": ["x"] * 20_000}), tmp_path / "a.parquet", row_group_size=3000)
        table = read(tmp_path / "a.parquet")
        assert table.columns["text"] == texts
        assert list(table.lines) == list(range(1, 20_001))

    def test_flipped_bytes_are_read_or_refused_but_nothing_else(self, tmp_path: Path) -> None:
        rows = pa.table({"text": [f"some words {i % 7}" for i in range(50)], "label": ["x", "y"] * 25})
        pq.write_table(rows, tmp_path / "a.parquet")
        whole = (tmp_path / "a.parquet").read_bytes()
        refused = 0
        for position in range(0, len(whole), 5):
            broken = bytearray(whole)
            broken[position] ^= 0xFF
            try:
                read(write(tmp_path, "b.parquet", bytes(broken)))
            except DataError:
                refused += 1
        assert refused > 20


class TestFolder:
    def test_files_are_read_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        write(tmp_path, "b.csv", "text,label\nb,y\n")
        write(tmp_path, "a.csv", "label,text\nx,a\n")
        write(tmp_path, ".hidden.csv", "nonsense")
        write(tmp_path, "_SUCCESS", "")
        table = read(tmp_path)
        assert table.columns == {"text": ["a", "b"], "label": ["x", "y"]}
        assert [file.uri for file in table.files] == ["a.csv", "b.csv"]
        assert table.place(1) == "b.csv:2"
        assert table.warnings == []

    def test_what_is_passed_over_is_said(self, tmp_path: Path) -> None:
        write(tmp_path, "a.csv", "text,label\na,x\n")
        write(tmp_path, "notes.md", "")
        (warning,) = read(tmp_path).warnings
        assert "notes.md" in warning

    def test_several_formats_need_one_named(self, tmp_path: Path) -> None:
        write(tmp_path, "a.csv", "text,label\na,x\n")
        write(tmp_path, "b.jsonl", '{"text": "b", "label": "y"}')
        assert error_of(tmp_path).code == "E-DATA-004"
        assert read(tmp_path, format="jsonl").columns["text"] == ["b"]

    def test_a_link_out_of_the_project_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "data").mkdir()
        outside = write(tmp_path, "secret.csv", "text,label\na,x\n")
        (tmp_path / "data" / "a.csv").symlink_to(outside)
        assert error_of(tmp_path / "data").code == "E-DATA-007"
        assert read(tmp_path / "data", allow_outside=True).columns["text"] == ["a"]


def test_the_same_rows_read_the_same_from_every_format(tmp_path: Path) -> None:
    texts, labels, authors = ["a, b", "ü\nv", "=1+1"], [1, 0, 1], [True, False, True]
    rows = [dict(zip(("text", *COLUMNS), row, strict=True)) for row in zip(texts, labels, authors, strict=True)]
    write(tmp_path, "a.jsonl", "\n".join(json.dumps(row) for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    write(tmp_path, "a.csv", 'text,label,author\n"a, b",1.0,True\n"ü\nv",0.0,False\n=1+1,1.0,True\n')
    tables = [read(tmp_path / f"a.{ending}", required=COLUMNS).columns for ending in ("jsonl", "parquet", "csv")]
    assert tables[0] == tables[1] == tables[2]
    assert tables[0]["label"] == ["1", "0", "1"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1.10", "1.10"),
        ("01", "01"),
        ("-0.0", "0"),
        (-0.0, "0"),
        ("1e5", "1e5"),
        (0.5, "0.5"),
        (" x ", " x "),
        ("  ", None),
        (10**20, "100000000000000000000"),
        ("TRUE", "true"),
    ],
)
def test_canonical_spelling_changes_no_more_than_it_must(value: object, expected: str | None) -> None:
    assert canonical(value) == expected


def test_an_optional_column_may_be_absent(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "text,other\na,1\n")
    table = read(path, required=[], optional=["label"])
    assert table.columns == {"text": ["a"]}
    assert table.header == ["text", "other"]


def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from acclimate.adapters.tables import source_files

    path = write(tmp_path, "a.csv", "text,label\na,x\n")
    digest = source_files.file_digest

    def digest_then_append(file: Path) -> str:
        found = digest(file)
        with file.open("a") as stream:
            stream.write("b,y\n")
        return found

    monkeypatch.setattr(source_files, "file_digest", digest_then_append)
    assert error_of(path).code == "E-DATA-006"


@pytest.mark.parametrize("limits", [Limits(rows=3), Limits(text_chars=6)])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_limits_hold_for_every_format(tmp_path: Path, limits: Limits, ending: str) -> None:
    write(tmp_path, "a.csv", "text,label\n" + "ab,x\n" * 10)
    pq.write_table(pa.table({"text": ["ab"] * 10, "label": ["x"] * 10}), tmp_path / "a.parquet")
    error = error_of(tmp_path / f"a.{ending}", limits=limits)
    assert error.code in {"E-DATA-005", "E-DATA-034"}
    assert error.hint
