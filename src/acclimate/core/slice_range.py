"""How far apart the best and the worst of several slices come by chance alone.

The best and the worst were picked, so that their difference is above 0 whatever the model does. What it reaches where
all slices are answered alike is drawn here.

Without groups a slice's rows of each class are drawn from the answers that rows of that class got in all of the slices:
how many rows of which class it has stays as it is. With groups, which may span slices, whole groups are drawn for all
slices at once and each slice's score is taken relative to its own: groups are assumed to be independent of each other,
and each slice to have rows of many.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from acclimate.core.metrics import FloatArray, IntArray
from acclimate.core.resampling import Groups, group_counts, group_sums, stratified_counts

LEVEL = 0.95


@dataclass(frozen=True)
class Answered:
    """Rows by what a score sees of them.

    Args:
        cell_of_row: rows of the same cell are scored alike, ``[n]``.
        class_of_cell: their true class; all the same where rows have none, ``[cells]``.
        units: what a row of each cell adds to the totals that a score is computed from, ``[cells, values]``.
        score: scores ``[samples]`` of totals ``[samples, values]`` of at least one row.
    """

    cell_of_row: IntArray
    class_of_cell: IntArray
    units: FloatArray
    score: Callable[[FloatArray], FloatArray]


def range_by_chance(
    answered: Answered, slices: Sequence[IntArray], *, bootstraps: int, seed: int, groups: Groups | None = None
) -> float:
    """What (best - worst slice) stays below in 95 % of cases where all slices are answered alike.

    Args:
        answered: the rows.
        slices: positions of each slice's rows, at least one; no row is in two.
        bootstraps: number of samples.
        seed: seed of the resampling.
        groups: group of each row, ``[n]``; given, whole groups are drawn.

    Returns:
        A difference of scores, at least 0, rounded upwards to one that was drawn.

    Raises:
        ValueError: fewer than two slices, no bootstraps.

    Source:
        Tukey 1953: the range as the test of all pairs at once; its null is drawn (Westfall & Young 1993, ch. 2).
    """
    if len(slices) < 2 or bootstraps < 1:
        raise ValueError(f"{len(slices)} slices and {bootstraps} bootstraps: at least 2 and 1 are needed")
    rng = np.random.default_rng(seed)
    if groups is None:
        scores = _drawn_from_all(answered, slices, bootstraps, rng)
    else:
        scores = _around_their_own(answered, slices, np.asarray(groups), bootstraps, rng)
    return float(np.quantile(np.nanmax(scores, axis=1) - np.nanmin(scores, axis=1), LEVEL, method="higher"))


def _drawn_from_all(
    answered: Answered, slices: Sequence[IntArray], bootstraps: int, rng: np.random.Generator
) -> FloatArray:
    """Scores ``[bootstraps, slices]`` of slices whose rows are drawn from those of all."""
    occupied, rows = np.unique(answered.cell_of_row[np.concatenate(slices)], return_counts=True)
    classes, units = answered.class_of_cell[occupied], answered.units[occupied]
    found = []
    for part in slices:
        own = answered.class_of_cell[answered.cell_of_row[part]]
        wanted = {int(name): int((own == name).sum()) for name in np.unique(classes)}
        blocks = stratified_counts(classes, rows, bootstraps, rng, wanted)
        found.append(np.concatenate([answered.score(counts @ units) for counts in blocks]))
    return np.stack(found, axis=1)


def _around_their_own(
    answered: Answered, slices: Sequence[IntArray], groups: np.ndarray, bootstraps: int, rng: np.random.Generator
) -> FloatArray:
    """Scores ``[bootstraps, slices]`` less each slice's own; NaN where none of its groups was drawn."""
    names = np.unique(groups[np.concatenate(slices)])
    parts = [(np.searchsorted(names, np.unique(groups[part])), _sums(answered, part, groups)) for part in slices]
    found = np.concatenate(
        [
            np.stack([_scores(answered, counts[:, present] @ sums) for present, sums in parts], axis=1)
            for counts in group_counts(len(names), bootstraps, rng)
        ]
    )
    own = np.stack([_scores(answered, sums.sum(axis=0, keepdims=True)) for _, sums in parts], axis=1)
    return np.asarray(found - own)


def _sums(answered: Answered, part: IntArray, groups: np.ndarray) -> FloatArray:
    """Totals and rows of a slice's groups, ``[groups, values + 1]``, by name."""
    units = answered.units[answered.cell_of_row[part]]
    return group_sums(np.column_stack([units, np.ones(len(part))]), groups[part])


def _scores(answered: Answered, totals: FloatArray) -> FloatArray:
    """Scores ``[samples]`` of totals and rows ``[samples, values + 1]``; NaN without rows."""
    drawn = totals[:, -1] > 0
    scores = np.full(len(totals), np.nan)
    scores[drawn] = answered.score(totals[drawn, :-1])
    return scores
