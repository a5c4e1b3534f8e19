"""Keeping a pool of unlabelled texts apart from the rows that models are chosen and tested on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from acclimate.core.row_identity import Split, normal_form


@dataclass(frozen=True)
class KnownRows:
    """The target's rows, by what a text of the pool could share with them.

    Args:
        held_out: normal forms of validation and test texts.
        train: those of training texts.
        groups: groups of validation and test rows.
    """

    held_out: frozenset[str]
    train: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def of(cls, texts: Sequence[str], groups: Sequence[str | None], splits: Sequence[Split]) -> KnownRows:
        """The rows of a target, column by column."""
        forms = [normal_form(text) for text in texts]
        return cls(
            frozenset(form for form, split in zip(forms, splits, strict=True) if split != "train"),
            frozenset(form for form, split in zip(forms, splits, strict=True) if split == "train"),
            frozenset(name for name, split in zip(groups, splits, strict=True) if name and split != "train"),
        )


@dataclass(frozen=True)
class Apart:
    """What became of the rows of a pool.

    Args:
        kept: rows that stay, in their order.
        held_out: rows that are or nearly are a validation or test row, or belong to a group of one.
        copies: of the others those that are or nearly are a training row, which is read anyway.
    """

    kept: list[int]
    held_out: list[int]
    copies: list[int]


def apart(rows: Iterable[int], texts: Sequence[str], groups: Sequence[str | None], known: KnownRows) -> Apart:
    """Part a pool's rows by whether the target has them.

    Args:
        rows: indices of the rows to look at.
        texts: text of every row.
        groups: group of every row, None without one.
        known: the target's rows.
    """
    found = Apart([], [], [])
    for row in rows:
        form = normal_form(texts[row])
        if form in known.held_out or groups[row] in known.groups:
            found.held_out.append(row)
        else:
            (found.copies if form in known.train else found.kept).append(row)
    return found


def overlap_rows(test: Iterable[str], pool: Iterable[str]) -> int:
    """Test texts that a text of the pool equals but for case, blanks and punctuation."""
    known = {normal_form(text) for text in pool}
    return sum(normal_form(text) in known for text in test)
