"""Columns that grow file by file, in bounded memory."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator
from contextlib import closing
from typing import Protocol

from acclimate.adapters.tables.source_files import Header, Limits, TableFile
from acclimate.adapters.tables.texts import encodable, kind_of
from acclimate.adapters.tables.values import canonical
from acclimate.adapters.tables.wanted import Wanted
from acclimate.errors import DataError
from acclimate.ports import RawTable
from acclimate.records import InputFile

Rows = Generator[tuple[int, list[object]]]
RowReader = Callable[[TableFile, Wanted, Header], Rows]

_MISSING_COLUMN = "E-DATA-018"
_ONE_SCHEMA = "write all files of a folder with one schema"


class Content(Protocol):
    """Checks what the first column holds, value by value."""

    unit: str
    """What ``size`` counts, e.g. characters of text."""
    size: int
    """Of all values so far."""

    def take(self, file: TableFile, value: object, line: int | None) -> str | None:
        """The value as the column keeps it; None where it is missing.

        Raises:
            DataError: it can't be used, at its place.
        """


class Columns:
    """The wanted columns of a table.

    Args:
        wanted: their names.
        limits: what the table may hold.
        content: takes the values of the first column.
    """

    def __init__(self, wanted: Wanted, limits: Limits, content: Content) -> None:
        self.wanted = wanted
        self.limits = limits
        self.content = content
        self.contents: list[str | None] = []
        self.others: list[list[str | None]] = [[] for _ in wanted.names[1:]]
        self.lines = array("q")
        self.file_of = array("i")
        self.files: list[InputFile] = []
        self.headers: list[Header] = []
        # Labels and the like repeat: keep one object of each.
        self._known: dict[str, str] = {}

    def read(self, file: TableFile, record: InputFile, reader: RowReader) -> None:
        """Take all rows of a file.

        Raises:
            DataError: a row, a value or the schema can't be used, or the table gets too large.
        """
        index = len(self.files)
        self.files.append(record)
        header: Header = {}
        with closing(self._rows(file, reader, header)) as rows:
            for line, (content, *others) in rows:
                self.contents.append(self.content.take(file, content, line))
                for column, value, name in zip(self.others, others, self.wanted.names[1:], strict=True):
                    column.append(self._other(file, value, name, line))
                self.lines.append(line)
                self.file_of.append(index)
                if len(self.lines) > self.limits.rows or self.content.size > self.limits.text_chars:
                    message = f"over {self.limits.rows:,} rows, or {self.limits.text_chars:,} {self.content.unit}"
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

    def _other(self, file: TableFile, value: object, column: str, line: int) -> str | None:
        if self.wanted.is_text(column):
            return self.content.take(file, value, line)
        return self._name(file, value, column, line)

    def _name(self, file: TableFile, value: object, column: str, line: int) -> str | None:
        try:
            name = canonical(value)
        except TypeError as error:
            message = f"{column[:60]!r} holds {kind_of(value)}, not a single value"
            raise file.error("E-DATA-026", message, "flatten it to one value a row", line) from error
        except ValueError as error:
            message = f"{column[:60]!r} holds a number that is not finite"
            raise file.error("E-DATA-023", message, "write null for a missing value", line) from error
        if name is None:
            return None
        if len(name) > self.limits.name_chars:
            message = f"{column[:60]!r} holds a value of over {self.limits.name_chars:,} characters"
            raise file.error("E-DATA-016", message, "is this the right column? labels and groups are short", line)
        return self._known.setdefault(name, encodable(file, name, line))

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
        """The table."""
        names = self.wanted.names
        columns = dict(zip(names, [self.contents, *self.others], strict=True))
        present = {name: values for name, values in columns.items() if name in self.headers[0]}
        header = list(self.headers[0])
        return RawTable(present, self.lines, self.file_of, self.files, header, warnings)
