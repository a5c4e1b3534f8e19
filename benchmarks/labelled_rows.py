"""Labelled rows of a CSV file for the benchmarks: distinct texts, in parts that share none."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from acclimate.core.row_identity import normal_form
from acclimate.nn.job import IntArray, LabelledRows


@dataclass(frozen=True)
class LabelledData:
    """Texts with class indices, and the class names in index order."""

    texts: list[str]
    classes: IntArray
    labels: tuple[str, ...]

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.texts)

    def some(self, chosen: Sequence[int] | IntArray) -> LabelledRows:
        """The rows of these numbers, as a training takes them."""
        return LabelledRows(self.some_texts(chosen), self.classes[np.asarray(chosen, int)])

    def some_texts(self, chosen: Sequence[int] | IntArray) -> list[str]:
        """The texts of the rows of these numbers."""
        return [self.texts[row] for row in chosen]


def read_rows(path: Path) -> LabelledData:
    """The rows of a CSV file with the columns text and label, sorted by text.

    Near-duplicates count once, so that no text of one part stands in another.
    """
    with path.open(encoding="utf-8", newline="") as file:
        read = sorted((row["text"], row["label"]) for row in csv.DictReader(file))
    distinct = sorted({normal_form(text): (text, label) for text, label in read}.values())
    labels = sorted({label for _, label in distinct})
    indices = np.array([labels.index(label) for _, label in distinct], dtype=np.int64)
    return LabelledData([text for text, _ in distinct], indices, tuple(labels))


def parts(rows: int, sizes: Sequence[int], seed: int) -> list[IntArray]:
    """Row numbers of random parts of these sizes, none in two of them.

    Raises:
        SystemExit: there are fewer rows than the parts need.
    """
    if sum(sizes) > rows:
        raise SystemExit(f"the parts need {sum(sizes)} rows, the file has {rows} distinct ones: ask for fewer")
    order = np.random.default_rng(seed).permutation(rows).astype(np.int64)
    return np.split(order, np.cumsum(sizes))[: len(sizes)]


def of_each_class(labels: IntArray, among: IntArray, sizes: Sequence[int], seed: int) -> list[IntArray]:
    """Like :func:`parts`, with so many rows of each class, drawn from ``among``.

    The first part of a smaller size is a subset of that of a larger one with the same seed.
    """
    order = np.random.default_rng(seed).permutation(among)
    by_class = [order[labels[order] == label] for label in np.unique(labels)]
    if any(len(rows) < sum(sizes) for rows in by_class):
        raise SystemExit(f"the parts need {sum(sizes)} rows of each class, one has {min(map(len, by_class))}")
    ends = [0, *np.cumsum(sizes).tolist()]
    return [np.concatenate([rows[start:end] for rows in by_class]) for start, end in pairwise(ends)]
