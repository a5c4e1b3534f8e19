"""Bootstrap intervals of the mean of a score that every row has, and of the paired difference of two; the sign test.

Rows are drawn with replacement or, with groups, whole groups; percentile intervals as in :mod:`acclimate.core.paired`.
A sample of rows is one multinomial draw over the distinct scores. Where scores are 0 and 1 this is the bootstrap of an
accuracy with all rows in one stratum, and the sign test is exact McNemar.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acclimate.core.metrics import FloatArray, IntArray
from acclimate.core.paired import Bounds, PairedDifference, mcnemar_exact
from acclimate.core.resampling import (
    Groups,
    group_counts,
    group_sums,
    outward,
    stratified_counts,
    whichever_comes_first,
)
from acclimate.core.slice_range import Answered, range_by_chance


@dataclass(frozen=True)
class SignTest:
    """Exact two-sided sign test: p, and the rows on which one of the two is higher."""

    p_value: float
    a_higher: int
    b_higher: int


def bootstrap_mean(
    scores: npt.ArrayLike, *, bootstraps: int, seed: int, groups: Groups | None = None, level: float = 0.95
) -> Bounds:
    """Mean with its percentile bootstrap interval.

    Args:
        scores: score of each row, 0..1, ``[n]``.
        bootstraps: number of bootstrap samples.
        seed: seed of the resampling.
        groups: group of each row, ``[n]``; given, whole groups are drawn, else rows.
        level: confidence, 0..1.

    Returns:
        Point and both ends, 0..1.

    Raises:
        ValueError: no rows, unequal lengths, scores outside 0..1, no bootstraps.

    Source:
        Efron & Tibshirani 1993, ch. 13 (percentile interval).
    """
    columns = _columns(scores)
    means = _bootstrap(columns, bootstraps=bootstraps, seed=seed, groups=groups)[:, 0]
    return Bounds(float(columns.mean()), *outward(means, (1.0 - level) / 2.0, groups))


def paired_mean_difference(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    *,
    bootstraps: int,
    seed: int,
    groups: Groups | None = None,
    alpha: float = 0.05,
) -> PairedDifference:
    """Mean of a - mean of b, both on the same bootstrap samples.

    Args:
        a: scores of the first model's rows, 0..1, ``[n]``.
        b: scores of the second's on the same rows, ``[n]``.
        bootstraps: number of bootstrap samples.
        seed: seed of the resampling.
        groups: group of each row, ``[n]``; given, whole groups are drawn, else rows.
        alpha: error rate: two-sided for ``low`` and ``high``, one-sided for the other two bounds.

    Returns:
        Differences, -1..1; 0 means equal.

    Raises:
        ValueError: no rows, unequal lengths, scores outside 0..1, no bootstraps.

    Source:
        Efron & Tibshirani 1993, ch. 13; Koehn 2004 (paired bootstrap of two systems).
    """
    columns = _columns(a, b)
    means = _bootstrap(columns, bootstraps=bootstraps, seed=seed, groups=groups)
    differences = means[:, 0] - means[:, 1]
    mean_a, mean_b = columns.mean(axis=0)
    bounds = *outward(differences, alpha / 2.0, groups), *outward(differences, alpha, groups)
    return PairedDifference(float(mean_a - mean_b), *bounds, float(differences.std()))


def slice_mean_range(
    scores: npt.ArrayLike, slices: Sequence[IntArray], *, bootstraps: int, seed: int, groups: Groups | None = None
) -> float:
    """What (mean of the best - mean of the worst slice) stays below in 95 % of cases where all are answered alike.

    Args:
        scores: score of each row, 0..1, ``[n]``.
        slices: positions of each slice's rows; no row is in two, and there are two slices or more.
        bootstraps: number of bootstrap samples.
        seed: seed of the resampling.
        groups: group of each row, ``[n]``; given, whole groups are drawn.

    Returns:
        A difference, 0..1; see :func:`acclimate.core.slice_range.range_by_chance`, also for what is assumed.

    Raises:
        ValueError: no rows, scores outside 0..1, no bootstraps, fewer than two slices.
    """
    values, cell_of_row = np.unique(_columns(scores), return_inverse=True)
    answered = Answered(
        cell_of_row.ravel(),
        np.zeros(len(values), dtype=np.int64),
        np.column_stack([values, np.ones(len(values))]),
        lambda totals: np.asarray(totals[:, 0] / totals[:, 1]),
    )
    return range_by_chance(answered, slices, bootstraps=bootstraps, seed=seed, groups=groups)


def sign_test(a: npt.ArrayLike, b: npt.ArrayLike) -> SignTest:
    """Exact two-sided sign test of equally many rows on which either is higher; ties don't count.

    Args:
        a: scores of the first model's rows, 0..1, ``[n]``.
        b: scores of the second's on the same rows, ``[n]``.

    Returns:
        p in (0, 1] (1 where all rows are ties), and the rows on which a and b are higher.

    Raises:
        ValueError: no rows, unequal lengths, scores outside 0..1.

    Source:
        Dixon & Mood 1946. Checked against ``scipy.stats.binomtest``.
    """
    first, second = _columns(a, b).T
    found = mcnemar_exact(np.ones(len(first), dtype=bool), first > second, second > first)
    return SignTest(found.p_value, found.only_a, found.only_b)


def _columns(*scores: npt.ArrayLike) -> FloatArray:
    """Checked scores side by side, ``[n, models]``."""
    vectors = [np.asarray(values, dtype=np.float64) for values in scores]
    if any(vector.ndim != 1 or vector.size == 0 for vector in vectors):
        raise ValueError(f"scores must be vectors with rows, not of shape {[vector.shape for vector in vectors]}")
    if len({len(vector) for vector in vectors}) > 1:
        raise ValueError(f"unequal numbers of rows: {[len(vector) for vector in vectors]}")
    columns = np.stack(vectors, axis=1)
    if not np.all((columns >= 0.0) & (columns <= 1.0)):
        raise ValueError("scores must lie in 0..1")
    return columns


def _bootstrap(columns: FloatArray, *, bootstraps: int, seed: int, groups: Groups | None) -> FloatArray:
    """Bootstrap means ``[bootstraps, models]`` of scores ``[n, models]``."""
    if bootstraps < 1:
        raise ValueError(f"bootstraps must be at least 1, not {bootstraps}")
    rng = np.random.default_rng(seed)
    if groups is None:
        cells, rows = np.unique(columns, axis=0, return_counts=True)
        if columns.shape[1] == 2:
            order = whichever_comes_first(cells, rows)
            cells, rows = cells[order], rows[order]
        blocks = stratified_counts(np.zeros(len(cells), dtype=np.int64), rows, bootstraps, rng)
        return np.concatenate([counts @ cells / len(columns) for counts in blocks])
    sums = group_sums(np.column_stack([columns, np.ones(len(columns))]), groups)  # [groups, models + 1]
    totals = np.concatenate([counts @ sums for counts in group_counts(len(sums), bootstraps, rng)])
    return np.asarray(totals[:, :-1] / totals[:, -1:])
