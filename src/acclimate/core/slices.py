"""Which test rows belong to which slice, and what a slice is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from acclimate.core.metrics import IntArray

LENGTH_COLUMN = "length"


@dataclass(frozen=True)
class Slice:
    """Rows that share a value of a column: their positions, int64, ascending."""

    column: str
    value: str
    rows: IntArray


def length_terciles(texts: Sequence[str]) -> list[str]:
    """Name of each text's third by length in characters.

    Args:
        texts: n texts, at least one.

    Returns:
        One name a text, e.g. ``2 (36-80 characters)``; where many texts are equally long there are fewer names.
    """
    lengths = np.array([len(text) for text in texts])
    edges = np.quantile(lengths, [1 / 3, 2 / 3], method="lower")
    third = np.searchsorted(edges, lengths, side="left")
    names = {
        int(part): f"{part + 1} ({lengths[third == part].min()}-{lengths[third == part].max()} characters)"
        for part in np.unique(third)
    }
    return [names[int(part)] for part in third]


def too_small(columns: Mapping[str, Sequence[str]], min_rows: int) -> int:
    """How many values of the columns have fewer rows than ``min_rows``: what :func:`slices_of` leaves out."""
    counts = [np.unique(np.asarray(values, dtype=str), return_counts=True)[1] for values in columns.values()]
    return sum(int(np.sum(rows < min_rows)) for rows in counts)


def slices_of(columns: Mapping[str, Sequence[str]], min_rows: int) -> list[Slice]:
    """Slices by every column's values.

    Args:
        columns: values of each column, one a row.
        min_rows: smaller slices are left out: their interval says nothing.

    Returns:
        Slices ordered by column (length last), then value.
    """
    found = []
    for column in sorted(columns, key=lambda name: (name == LENGTH_COLUMN, name)):
        values = np.asarray(columns[column], dtype=str)
        for value in np.unique(values):
            rows = np.flatnonzero(values == value)
            if len(rows) >= min_rows:
                found.append(Slice(column, str(value), rows))
    return found
