"""A row as a reader of the report sees it."""

from __future__ import annotations

from typing import TypedDict

from acclimate.nn.images import thumbnail


class Shown(TypedDict):
    """The fields of a record that show a row."""

    text: str
    image: str | None


def shown(row: str | bytes, length: int | None = None) -> Shown:
    """A text, cut after ``length`` characters, or a small copy of an image."""
    if isinstance(row, str):
        return {"text": row[:length], "image": None}
    return {"text": "", "image": thumbnail(row)}
