"""The tables that ``benchmarks/recipes.py`` hands to all: the same rows, split once, and the same test rows."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from acclimate.core.label_checks import MIN_ROWS
from acclimate.nn.job import IntArray
from benchmarks.labelled_rows import LabelledData

VALIDATION_SHARE = 0.2
COLUMNS = ("text", "label", "split")


def with_validation(classes: IntArray, share: float = VALIDATION_SHARE, least: int = MIN_ROWS) -> list[str]:
    """The split of each row: of each class its last rows are validation, a share of them, and as many as ingest asks.

    Args:
        classes: class of each row, in random order within a class.
        share: share of each class's rows that is validation.
        least: rows of each class in each of the two splits.

    Raises:
        SystemExit: a class has too few rows for both.
    """
    splits = np.full(len(classes), "train", dtype=object)
    for label in np.unique(classes):
        own = np.flatnonzero(classes == label)
        held_out = max(least, round(share * len(own)))
        if len(own) - held_out < least:
            raise SystemExit(f"a class has {len(own)} rows; train and validation need {least} each")
        splits[own[-held_out:]] = "validation"
    return splits.tolist()


def hand_over(read: LabelledData, train: IntArray, test: IntArray, folder: Path) -> None:
    """Write ``train.csv``, ``all.csv`` (those rows, and the test rows for ours to judge by) and ``test.csv``.

    ``test.csv`` has texts alone: what is answered once a model is saved.
    """
    splits = with_validation(read.classes[train])
    given = list(_rows(read, train, splits))
    tested = list(_rows(read, test, ["test"] * len(test)))
    folder.mkdir(parents=True)
    write_csv(folder / "train.csv", COLUMNS, given)
    write_csv(folder / "all.csv", COLUMNS, [*given, *tested])
    write_csv(folder / "test.csv", COLUMNS[:1], [row[:1] for row in tested])


def _rows(read: LabelledData, chosen: IntArray, splits: Sequence[str]) -> Iterable[tuple[str, ...]]:
    names = [read.labels[label] for label in read.classes[chosen]]
    return zip(read.some_texts(chosen), names, splits, strict=True)


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
