"""Rows of CSV and TSV files: quoted fields may hold line ends; every row has as many fields as the header."""

from __future__ import annotations

import csv
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager

from acclimate.adapters.tables.source_files import Header, TableFile
from acclimate.adapters.tables.text_lines import text_lines
from acclimate.adapters.tables.wanted import Wanted
from acclimate.errors import DataError

Row = tuple[int, list[object]]
_DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def csv_rows(file: TableFile, wanted: Wanted, header: Header, delimiter: str = ",") -> Generator[Row]:
    """Yield the line where each row starts, and its wanted values as text; formulas are text like any other.

    Args:
        file: the file.
        wanted: columns to read.
        header: filled with the file's column names.
        delimiter: between fields.

    Raises:
        DataError: E-DATA-012 to -019.
    """
    with _field_limit(file.limits.field_chars), closing(text_lines(file)) as lines:
        rows = _records(file, lines, delimiter)
        _, names = next(rows, (0, []))
        if not names:
            raise file.error("E-DATA-011", "the file has no header", "the first line must name the columns")
        _check_delimiter(file, wanted, names, delimiter)
        wanted.check_header(names, file)
        header.update(dict.fromkeys(names, ""))
        positions = [names.index(name) if name in names else None for name in wanted.names]
        for line, fields in rows:
            if len(fields) != len(names):
                message = f"{len(fields)} fields where the header has {len(names)}"
                hint = f"put quotes around text that holds {_DELIMITERS[delimiter]}, quotes or line ends"
                raise file.error("E-DATA-014", message, hint, line)
            yield line, [None if at is None else fields[at] for at in positions]


def tsv_rows(file: TableFile, wanted: Wanted, header: Header) -> Generator[Row]:
    """The same for fields between tabs."""
    return csv_rows(file, wanted, header, delimiter="\t")


@contextmanager
def _field_limit(limit: int) -> Iterator[None]:
    before = csv.field_size_limit(limit)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _records(file: TableFile, lines: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        start = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _csv_error(file, str(error), start) from error
        if fields:
            yield start, fields


def _csv_error(file: TableFile, says: str, line: int) -> DataError:
    if "field limit" in says:
        message = f"a field has over {file.limits.field_chars:,} characters"
        return file.error("E-DATA-016", message, "is a quote never closed in this row? else cut the text", line)
    hint = 'inside a quoted field, write a quote as two: ""'
    if "unexpected end" in says:
        return file.error("E-DATA-015", "a quote is never closed", hint, line)
    return file.error("E-DATA-015", f"broken quoting: {says}", hint, line)


def _check_delimiter(file: TableFile, wanted: Wanted, names: list[str], delimiter: str) -> None:
    if len(names) > 1 or not set(wanted.needed) - set(names):
        return
    for other, plural in _DELIMITERS.items():
        if other != delimiter and other in names[0]:
            hint = f"set {file.section}.format to {'tsv' if other == chr(9) else 'csv'}"
            if other in ";|":
                hint = "save it with commas (pandas: read_csv(..., sep=None), then to_csv(index=False))"
            raise file.error("E-DATA-019", f"the fields seem to be separated by {plural}", hint, 1)
