"""Reads the files of a table into columns, in bounded memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from pathlib import Path

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
from acclimate.adapters.tables.values import canonical, is_encodable
from acclimate.adapters.tables.wanted import Wanted
from acclimate.errors import DataError
from acclimate.ports import RawTable
from acclimate.records import InputFile

Rows = Generator[tuple[int, list[object]]]
RowReader = Callable[[TableFile, Wanted, Header], Rows]


_MISSING_COLUMN = "E-DATA-018"
_ONE_SCHEMA = "write all files of a folder with one schema"


def _parquet(file: TableFile, wanted: Wanted, header: Header) -> Rows:
    from acclimate.adapters.tables.parquet_rows import parquet_rows

    return parquet_rows(file, wanted, header)


READERS: dict[str, RowReader] = {"csv": csv_rows, "tsv": tsv_rows, "jsonl": jsonl_rows, "parquet": _parquet}


def read_table(
    path: Path,
    *,
    name: str = "target",
    text: str,
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

    def uri(file: Path) -> str:
        return shown(file) if shown else shown_uri(file, root)

    limits = limits or Limits()
    paths, form, warnings = find_files(path, format, name, uri)
    table = _Table(Wanted(text, required, optional), limits)
    for file_path in paths:
        if not allow_outside:
            check_inside(file_path, root, uri(file_path))
        file = TableFile(file_path, uri(file_path), name, encoding, limits)
        with recorded(file) as record:
            table.read(file, record, READERS[form])
    if not table.lines:
        raise DataError("E-DATA-011", "there are no rows", where=uri(path), hint="a header alone is no data")
    return table.raw(warnings)


class _Table:
    """Columns that grow file by file."""

    def __init__(self, wanted: Wanted, limits: Limits) -> None:
        self.wanted = wanted
        self.limits = limits
        self.texts: list[str | None] = []
        self.others: list[list[str | None]] = [[] for _ in wanted.names[1:]]
        self.lines = array("q")
        self.file_of = array("i")
        self.files: list[InputFile] = []
        self.headers: list[Header] = []
        self._text_chars = 0
        # Labels and the like repeat: keep one object of each.
        self._known: dict[str, str] = {}

    def read(self, file: TableFile, record: InputFile, reader: RowReader) -> None:
        index = len(self.files)
        self.files.append(record)
        header: Header = {}
        with closing(self._rows(file, reader, header)) as rows:
            for line, (text, *others) in rows:
                self.texts.append(self._text(file, text, line))
                for column, value, name in zip(self.others, others, self.wanted.names[1:], strict=True):
                    column.append(self._name(file, value, name, line))
                self.lines.append(line)
                self.file_of.append(index)
                if len(self.lines) > self.limits.rows or self._text_chars > self.limits.text_chars:
                    message = f"over {self.limits.rows:,} rows, or {self.limits.text_chars:,} characters of text"
                    raise file.error("E-DATA-005", f"the table is too large: {message}", "take a sample", line)
        self.headers.append(header)
        self._check_same_schema(file)

    def _rows(self, file: TableFile, reader: RowReader, header: Header) -> Rows:
        try:
            yield from reader(file, self.wanted, header)
        except DataError as error:
            if error.code != _MISSING_COLUMN or not self.headers:
                raise
            raise file.error("E-DATA-032", f"{error}, unlike in {self.files[0].uri}", _ONE_SCHEMA, 1) from error

    def _text(self, file: TableFile, value: object, line: int) -> str | None:
        if value is None:
            return None
        if not isinstance(value, str):
            message = f"the text is {_kind(value)}, not text"
            raise file.error("E-DATA-026", message, "put it in quotes, or name the column that holds text", line)
        if len(value) > self.limits.field_chars:
            message = f"a text has over {self.limits.field_chars:,} characters"
            raise file.error("E-DATA-016", message, "cut it, or split it into rows", line)
        self._text_chars += len(value)
        return _encodable(file, value, line)

    def _name(self, file: TableFile, value: object, column: str, line: int) -> str | None:
        try:
            name = canonical(value)
        except TypeError as error:
            message = f"{column[:60]!r} holds {_kind(value)}, not a single value"
            raise file.error("E-DATA-026", message, "flatten it to one value a row", line) from error
        except ValueError as error:
            message = f"{column[:60]!r} holds a number that is not finite"
            raise file.error("E-DATA-023", message, "write null for a missing value", line) from error
        if name is None:
            return None
        if len(name) > self.limits.name_chars:
            message = f"{column[:60]!r} holds a value of over {self.limits.name_chars:,} characters"
            raise file.error("E-DATA-016", message, "is this the right column? labels and groups are short", line)
        return self._known.setdefault(name, _encodable(file, name, line))

    def _check_same_schema(self, file: TableFile) -> None:
        first, last = self.headers[0], self.headers[-1]
        for name in self.wanted.names:
            if (name in first) != (name in last):
                message = f"the column {name[:60]!r} is in {'the first' if name in first else 'this'} file only"
                raise file.error("E-DATA-032", message, _ONE_SCHEMA, 1)
            if first.get(name) and last.get(name) and first[name] != last[name]:
                message = f"the column {name[:60]!r} holds {last[name]}, in {self.files[0].uri} {first[name]}"
                raise file.error("E-DATA-032", message, _ONE_SCHEMA, 1)

    def raw(self, warnings: list[str]) -> RawTable:
        names = self.wanted.names
        columns = dict(zip(names, [self.texts, *self.others], strict=True))
        present = {name: values for name, values in columns.items() if name in self.headers[0]}
        header = list(self.headers[0])
        return RawTable(present, self.lines, self.file_of, self.files, header, warnings)


def _kind(value: object) -> str:
    kinds = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)


def _encodable(file: TableFile, value: str, line: int) -> str:
    if not value.isascii() and not is_encodable(value):
        message = "a character is half of a surrogate pair"
        raise file.error("E-DATA-025", message, "write the text again as UTF-8 from where it came from", line)
    return value
