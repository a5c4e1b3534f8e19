"""Rows of JSON lines: one object a line."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from typing import Any, NoReturn

from acclimate.adapters.tables.source_files import Header, TableFile
from acclimate.adapters.tables.text_lines import text_lines
from acclimate.adapters.tables.wanted import Wanted
from acclimate.errors import DataError

_MAX_COLUMNS = 10_000


class _DuplicateKeyError(ValueError):
    """An object has a key twice."""


class _NotJsonError(ValueError):
    """NaN or an infinity: Python reads them, JSON has no such thing."""


def jsonl_rows(file: TableFile, wanted: Wanted, header: Header) -> Generator[tuple[int, list[object]]]:
    """Yield the line of each row, and its wanted values; a key that is absent is a missing value.

    Args:
        file: the file.
        wanted: columns to read.
        header: filled with all keys that occur.

    Raises:
        DataError: E-DATA-012, -013, -016 and -020 to -024; E-DATA-018 when no row has a wanted key.
    """
    names = wanted.names
    own: Header = {}
    rows = 0
    with closing(text_lines(file)) as lines:
        for line, text in enumerate(lines, 1):
            if text.isspace():
                continue
            row = _parse(file, text, line)
            rows += 1
            own.update(dict.fromkeys(row, ""))
            if len(own) > _MAX_COLUMNS:
                message = f"the objects have over {_MAX_COLUMNS:,} different keys"
                raise file.error("E-DATA-018", message, "one object a row, its keys the columns", line)
            yield line, [row.get(name) for name in names]
    if rows:
        wanted.check_header(list(own), file)
    header.update(own)


def _parse(file: TableFile, text: str, line: int) -> dict[str, Any]:
    try:
        row = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise file.error("E-DATA-022", "nested too deeply", "flatten it: the columns are at the top", line) from error
    except _DuplicateKeyError as error:
        raise file.error("E-DATA-024", f"the key {error} is there twice", "keep one of them", line) from error
    except _NotJsonError as error:
        raise file.error("E-DATA-023", f"{error} is not JSON", "write null for a missing value", line) from error
    except ValueError as error:
        raise _bad_line(file, text, line, error) from error
    if not isinstance(row, dict):
        raise _not_an_object(file, row, line)
    return row


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise _DuplicateKeyError(repr(key[:60]))
            seen.add(key)
    return row


def _refuse_constant(name: str) -> NoReturn:
    raise _NotJsonError(name)


def _bad_line(file: TableFile, text: str, line: int, error: ValueError) -> DataError:
    if line == 1 and text.lstrip().startswith("["):
        return _array(file, line)
    says = (
        f"{error.msg} at character {error.pos + 1}" if isinstance(error, json.JSONDecodeError) else "a number too long"
    )
    if line == 1 and text.strip() == "{":
        says += "; the object spans several lines"
    return file.error("E-DATA-020", f"not valid JSON: {says}", "write one complete object on each line", line)


def _not_an_object(file: TableFile, row: object, line: int) -> DataError:
    if isinstance(row, list) and line == 1:
        return _array(file, line)
    kind = {"list": "an array", "str": "a text", "NoneType": "null"}.get(type(row).__name__, "a single value")
    return file.error("E-DATA-021", f"the line holds {kind}, not an object", 'write {"text": ..., "label": ...}', line)


def _array(file: TableFile, line: int) -> DataError:
    hint = f"one object a line instead: jq -c '.[]' {file.path.name[:80]} > rows.jsonl"
    return file.error("E-DATA-021", "the file holds one array", hint, line)
