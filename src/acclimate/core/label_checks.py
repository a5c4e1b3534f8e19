"""Whether labels can be learnt and judged: few distinct ones, enough rows of each in every split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from acclimate.core.row_identity import Split
from acclimate.errors import DataError, Problem

MAX_LABELS = 1_000
MIN_ROWS = 5
#: Of a table without classes.
MIN_SPLIT_ROWS: dict[Split, int] = {"train": 20, "validation": 10, "test": 10}
_SHOWN = 20


def check_label_column(counts: Mapping[str, int], column: str, where: str) -> None:
    """Refuse a column that does not hold classes.

    Args:
        counts: rows of each label.
        column: its name.
        where: place for the error.

    Raises:
        DataError: E-DATA-044 there is one class only, E-DATA-046 too many distinct values.
    """
    rows = sum(counts.values())
    if len(counts) == 1:
        name = next(iter(counts))
        message = f"all rows have the one label {name[:60]!r}"
        raise DataError("E-DATA-044", message, where=where, hint="classification needs at least two classes")
    if len(counts) > MAX_LABELS or len(counts) > rows / 2:
        message = f"{column[:60]!r} has {len(counts):,} distinct values in {rows:,} rows"
        hint = "this looks like an identifier, free text or a measured quantity: name a column of classes"
        raise DataError("E-DATA-046", message, where=where, hint=hint)


def check_classes(counts: Mapping[Split, Mapping[str, int]], labels: Iterable[str], where: str, *, given: bool) -> None:
    """Refuse a split in which a class has too few rows to be fitted, chosen by or judged.

    Args:
        counts: rows of each label in each split.
        labels: all labels, those too of which no row was kept.
        where: place for the error.
        given: the splits come with the data.

    Raises:
        DataError: E-DATA-045, one problem for each class and split.
    """
    problems = []
    for label in labels:
        total = sum(of_split.get(label, 0) for of_split in counts.values())
        for split, of_split in counts.items():
            rows = of_split.get(label, 0)
            if rows < MIN_ROWS:
                message = f"the class {label[:60]!r} has {rows} rows in {split}, at least {MIN_ROWS} are needed"
                problems.append(Problem("E-DATA-045", message, where, _too_few_hint(total, given=given)))
    if problems:
        raise DataError.of(problems[:_SHOWN])


def check_split_rows(rows: Mapping[Split, int], where: str, *, given: bool) -> None:
    """Refuse a split with too few rows to be trained on, chosen by or judged; for tables without classes.

    Args:
        rows: rows of each split.
        where: place for the error.
        given: the splits come with the data.

    Raises:
        DataError: E-DATA-050, one problem for each split.
    """
    total = sum(rows.values())
    advice = (
        "move rows between the given splits, or leave target.split out" if given else "about 100 are safe: add rows"
    )
    hint = f"there are {total:,} rows in all after copies were dropped; {advice}"
    problems = [
        Problem("E-DATA-050", f"{split} has {rows[split]} rows, at least {least} are needed", where, hint)
        for split, least in MIN_SPLIT_ROWS.items()
        if rows[split] < least
    ]
    if problems:
        raise DataError.of(problems)


def _too_few_hint(total: int, *, given: bool) -> str:
    rows = f"it has {total} rows in all after copies were dropped"
    if given:
        return f"{rows}; move rows between the given splits, or leave target.split out"
    return f"{rows}, about 50 are safe: label more, merge it with another class, or leave it out"


def lookalikes(labels: Iterable[str]) -> list[tuple[str, ...]]:
    """Labels that differ only in case or blanks, together."""
    same: dict[str, list[str]] = {}
    for label in sorted(labels):
        same.setdefault(" ".join(label.casefold().split()), []).append(label)
    return [tuple(group) for group in same.values() if len(group) > 1]
