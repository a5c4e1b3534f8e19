"""Copies of one text: which row is kept, which labels conflict, what leaks from split to split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from acclimate.core.row_identity import Split, normal_form

# A text in two groups stays where its use is strictest: else one run's test text could be trained on in the next.
_PREFERENCE = {"test": 0, "validation": 1, "train": 2}


@dataclass(frozen=True)
class Copies:
    """What became of rows that share a text.

    Args:
        kept: rows that stay, ascending.
        dropped: rows that were copies of a kept one.
        conflicts: rows of each text that has several labels, none of which is kept; of prompts the rows that are
            dropped because the prompt is in a stricter split too.
        across_splits: rows of each text that is in several splits.
    """

    kept: list[int]
    dropped: int
    conflicts: list[list[int]]
    across_splits: list[list[int]]


def resolve_copies(
    rows: Iterable[int],
    texts: Sequence[str | None],
    labels: Sequence[str | None],
    row_ids: Sequence[str],
    splits: Sequence[Split],
) -> Copies:
    """Keep one row of each text, and none where its labels conflict.

    The result is a function of the set of rows, not of their order: of several copies the one in the strictest split
    (test, validation, train) with the smallest row id is kept.

    Args:
        rows: indices of the rows to look at.
        texts: text of every row.
        labels: label of every row.
        row_ids: content digest of every row.
        splits: split of every row.
    """
    by_text: dict[str | None, int | list[int]] = {}
    for row in rows:
        known = by_text.setdefault(texts[row], row)
        if isinstance(known, list):
            known.append(row)
        elif known != row:
            by_text[texts[row]] = [known, row]
    kept: list[int] = []
    conflicts: list[list[int]] = []
    across: list[list[int]] = []
    dropped = 0
    for same in by_text.values():
        if isinstance(same, int):
            kept.append(same)
        elif len({labels[row] for row in same}) > 1:
            conflicts.append(same)
        else:
            if len({splits[row] for row in same}) > 1:
                across.append(same)
            kept.append(min(same, key=lambda row: (_PREFERENCE[splits[row]], row_ids[row])))
            dropped += len(same) - 1
    return Copies(sorted(kept), dropped, conflicts, across)


def resolve_answers(
    rows: Iterable[int],
    prompts: Sequence[str | None],
    answers: Sequence[str | None],
    row_ids: Sequence[str],
    splits: Sequence[Split],
) -> Copies:
    """Keep all answers to a prompt, each once, in one split: the strictest (test, validation, train) that has it.

    Only groups and given splits can put a prompt into several splits. The result is a function of the set of rows,
    not of their order.

    Args:
        rows: indices of the rows to look at.
        prompts: prompt of every row.
        answers: answer of every row.
        row_ids: content digest of every row.
        splits: split of every row.
    """
    by_prompt: dict[str | None, list[int]] = {}
    for row in rows:
        by_prompt.setdefault(prompts[row], []).append(row)
    kept: list[int] = []
    conflicts: list[list[int]] = []
    across: list[list[int]] = []
    dropped = 0
    for same in by_prompt.values():
        strictest = min((splits[row] for row in same), key=_PREFERENCE.__getitem__)
        if elsewhere := [row for row in same if splits[row] != strictest]:
            across.append(same)
            conflicts.append(elsewhere)
        first: dict[str | None, int] = {}
        for row in sorted(set(same) - set(elsewhere), key=lambda row: (row_ids[row], row)):
            first.setdefault(answers[row], row)
        kept += first.values()
        dropped += len(same) - len(elsewhere) - len(first)
    return Copies(sorted(kept), dropped, conflicts, across)


def near_duplicates_across_splits(texts: Iterable[str], splits: Iterable[Split]) -> int:
    """Rows whose text equals one of another split but for case, blanks and punctuation.

    Args:
        texts: all texts, each once.
        splits: their splits.
    """
    seen: dict[str, tuple[set[Split], int]] = {}
    for text, split in zip(texts, splits, strict=True):
        where, count = seen.get(form := normal_form(text), (set(), 0))
        seen[form] = (where | {split}, count + 1)
    return sum(count for where, count in seen.values() if len(where) > 1)


def names_across_splits(names: Iterable[str | None], splits: Iterable[Split]) -> list[str]:
    """Names, e.g. groups, that occur in several splits, sorted."""
    seen: dict[str, Split] = {}
    leaking = set()
    for name, split in zip(names, splits, strict=True):
        if name is not None and seen.setdefault(name, split) != split:
            leaking.add(name)
    return sorted(leaking)
