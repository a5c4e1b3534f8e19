"""Texts of a table, kept exactly as they were read."""

from __future__ import annotations

from acclimate.adapters.tables.source_files import Limits, TableFile
from acclimate.adapters.tables.values import is_encodable


class Texts:
    """Takes the texts of a table: an :class:`acclimate.adapters.tables.columns.Content`."""

    unit = "characters of text"

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.size = 0

    def take(self, file: TableFile, value: object, line: int | None) -> str | None:
        """The text itself.

        Raises:
            DataError: E-DATA-016 it is too long, -025 it is no Unicode, -026 it is no text.
        """
        if value is None:
            return None
        if not isinstance(value, str):
            message = f"the text is {kind_of(value)}, not text"
            raise file.error("E-DATA-026", message, "put it in quotes, or name the column that holds text", line)
        if len(value) > self.limits.field_chars:
            message = f"a text has over {self.limits.field_chars:,} characters"
            raise file.error("E-DATA-016", message, "cut it, or split it into rows", line)
        self.size += len(value)
        return encodable(file, value, line)


def kind_of(value: object) -> str:
    """What a value is, in words."""
    kinds = {list: "a list", dict: "an object", bool: "true or false", int: "a number", float: "a number"}
    return kinds.get(type(value), type(value).__name__)


def encodable(file: TableFile, value: str, line: int | None) -> str:
    """The text, where it can be written as UTF-8.

    Raises:
        DataError: E-DATA-025.
    """
    if not value.isascii() and not is_encodable(value):
        message = "a character is half of a surrogate pair"
        raise file.error("E-DATA-025", message, "write the text again as UTF-8 from where it came from", line)
    return value
