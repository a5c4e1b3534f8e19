"""Reads the files of a table into columns, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from acclimate.adapters.tables.columns import Columns, RowReader, Rows
from acclimate.adapters.tables.csv_rows import csv_rows, tsv_rows
from acclimate.adapters.tables.jsonl_rows import jsonl_rows
from acclimate.adapters.tables.source_files import (
    Header,
    Limits,
    TableFile,
    check_inside,
    find_files,
    recorded,
    shown_uri,
)
from acclimate.adapters.tables.texts import Texts
from acclimate.adapters.tables.wanted import Wanted
from acclimate.errors import DataError
from acclimate.ports import RawTable


def _parquet(file: TableFile, wanted: Wanted, header: Header) -> Rows:
    from acclimate.adapters.tables.parquet_rows import parquet_rows

    return parquet_rows(file, wanted, header)


READERS: dict[str, RowReader] = {"csv": csv_rows, "tsv": tsv_rows, "jsonl": jsonl_rows, "parquet": _parquet}


def read_table(
    path: Path,
    *,
    name: str = "target",
    text: str,
    answer: str | None = None,
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
    encoding: str = "utf-8",
    format: str | None = None,  # noqa: A002
    root: Path,
    allow_outside: bool = False,
    limits: Limits | None = None,
    shown: Callable[[Path], str] | None = None,
) -> RawTable:
    """Read a table of examples: the port :class:`acclimate.ports.TableReader`.

    Args:
        path: a file, or a folder of files of one format and one schema; read in the order of their names.
        name: section of the configuration, for hints.
        text: column that holds the text, kept exactly as read; None where missing.
        answer: column that holds answers, kept exactly as read, which must be there; None reads none.
        required: further columns that must be there. Their values come in one spelling, see
            :func:`acclimate.adapters.tables.values.canonical`.
        optional: columns that may be absent.
        encoding: of text files; a UTF-8 BOM is accepted.
        format: csv, tsv, jsonl or parquet; None tells by the ending.
        root: project root; files are shown relative to it and must lie in it.
        allow_outside: files may lie outside of it.
        limits: what the table may hold; by default 2 million rows, 1 G characters.
        shown: how a path is shown; by default relative to ``root``.

    Raises:
        DataError: E-DATA-001 to -034, at the file and line.
        AccessError: E-DATA-008.
    """
    limits = limits or Limits()
    columns = Columns(Wanted(text, required, optional, answer=answer), limits, Texts(limits))
    return fill(
        columns,
        path,
        name=name,
        encoding=encoding,
        format=format,
        root=root,
        allow_outside=allow_outside,
        shown=shown,
    )


def fill(
    columns: Columns,
    path: Path,
    *,
    name: str,
    encoding: str = "utf-8",
    format: str | None,  # noqa: A002
    root: Path,
    allow_outside: bool,
    shown: Callable[[Path], str] | None,
) -> RawTable:
    """Read all files of a table into empty columns; see :func:`read_table`."""

    def uri(file: Path) -> str:
        return shown(file) if shown else shown_uri(file, root)

    paths, form, warnings = find_files(path, format, name, uri)
    for file_path in paths:
        if not allow_outside:
            check_inside(file_path, root, uri(file_path))
        file = TableFile(file_path, uri(file_path), name, encoding, columns.limits)
        with recorded(file) as record:
            columns.read(file, record, READERS[form])
    if not columns.lines:
        raise DataError("E-DATA-011", "there are no rows", where=uri(path), hint="a header alone is no data")
    return columns.raw(warnings)
