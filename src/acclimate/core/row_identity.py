"""What identifies a row, and which split it belongs to: functions of the row alone, never of the other rows."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Literal

SPLIT_SALT = "acclimate-split-v1"
TRAIN_SHARE = 0.6
VALIDATION_SHARE = 0.2

Split = Literal["train", "validation", "test"]
_SPELLINGS: dict[str, Split] = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid", "dev", "development"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}


def row_id(text: str, label: str | None, group: str | None, slices: Sequence[tuple[str, str]]) -> str:
    """Content digest of a row.

    Args:
        text: exactly as read.
        label: its name, None without one.
        group: its name, None without one.
        slices: slice columns and their values; their order doesn't matter.

    Returns:
        sha256 over the fields, each with its length, so that no two rows share an encoding; hexadecimal.
    """
    digest = hashlib.sha256()
    for field in (text, label, group, *(part for pair in sorted(slices) for part in pair)):
        if field is None:
            digest.update(b"-")
        else:
            data = field.encode("utf-8")
            digest.update(b"%d:" % len(data))
            digest.update(data)
    return digest.hexdigest()


class _KeptCharacters(dict[int, int | None]):
    """Translation table, filled as needed: letters, marks, numbers and pictures stay, all else goes."""

    def __missing__(self, code: int) -> int | None:
        category = unicodedata.category(chr(code))
        self[code] = code if category[0] in "LMN" or category == "So" else None
        return self[code]


_KEPT = _KeptCharacters()


def normal_form(text: str) -> str:
    """The text without case, blanks and punctuation; the text itself where nothing else is in it.

    Two texts of one normal form are near-duplicates.
    """
    folded = text.casefold() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return folded.translate(_KEPT) or text


def split_of(text: str, group: str | None) -> Split:
    """The split of a row: 60/20/20 by a hash of its group, or of its text's normal form where it has no group.

    Near-duplicates without groups thus stay in one split, labels don't matter, and a row never moves when others come.
    """
    share = _place(text, group)
    if share < TRAIN_SHARE:
        return "train"
    return "validation" if share < TRAIN_SHARE + VALIDATION_SHARE else "test"


def is_for_validation(text: str, group: str | None) -> bool:
    """Whether a training row becomes validation where only training and test rows are given: a quarter, as above."""
    return _place(text, group) >= TRAIN_SHARE / (TRAIN_SHARE + VALIDATION_SHARE)


def _place(text: str, group: str | None) -> float:
    """A number in 0..1 that rows of one group, or of one text, share."""
    key = f"text {normal_form(text)}" if group is None else f"group {group}"
    digest = hashlib.sha256(f"{SPLIT_SALT} {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def spelled_split(value: str) -> Split | None:
    """The split that a given name means, e.g. ``dev`` validation; None for an unknown name."""
    return _SPELLINGS.get(value.strip().lower())


def table_digest(rows: Iterable[str]) -> str:
    """sha256 over the sorted rows (ids, with the split where it was given): the order of rows doesn't matter."""
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()
