"""Bootstrap intervals of a score and of the paired difference of two, exact McNemar, and power.

What is resampled: without groups, rows within each true class (stratified: the class counts of every bootstrap
sample are those of the data); with groups, whole groups with replacement, so class counts vary. Rows enter only by
their cell (true class, prediction of a, prediction of b), so a stratum's sample is one multinomial draw over its
occupied cells: the same distribution as drawing row indices, at a cost that does not grow with the rows.

Intervals are percentile intervals, expanded where groups are drawn; quantiles are rounded outwards to a bootstrap
value, which matters where the scores take few values. If no row is wrong, the bootstrap can't see any spread and the
interval has no width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from acclimate.core.metrics import FloatArray, IntArray, as_classes, score, score_of_counts
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
class Bounds:
    """A score and the two ends of its interval."""

    point: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedDifference:
    """Score of a - score of b on the same rows.

    Args:
        point: the difference on the data, -1..1; 0 means equal.
        low: lower end of the two-sided interval of level 1 - alpha.
        high: its upper end.
        low_one_sided: one-sided lower bound of level 1 - alpha; above 0 shows that a is better.
        high_one_sided: one-sided upper bound; below 0 shows that a is worse.
        standard_error: standard deviation of the bootstrap's differences.
    """

    point: float
    low: float
    high: float
    low_one_sided: float
    high_one_sided: float
    standard_error: float


@dataclass(frozen=True)
class McNemar:
    """Exact two-sided McNemar test: p, and the rows only one of the two got right."""

    p_value: float
    only_a: int
    only_b: int


def _unit_counts(codes: IntArray, n_classes: int) -> FloatArray:
    """Per occupied cell, what it adds to hits, predicted and true rows of each class.

    Args:
        codes: truth in column 0, predictions in the others, ``[cells, 1 + models]``.
        n_classes: number of classes C.

    Returns:
        ``[cells, (1 + 2 * models) * C]``: true, then hits and predicted of each model.
    """
    one_hot = np.eye(n_classes)
    true = one_hot[codes[:, 0]]
    blocks = [true]
    for column in codes.T[1:]:
        predicted = one_hot[column]
        blocks += [true * predicted, predicted]
    return np.concatenate(blocks, axis=1)


def _scores(metric: str, totals: FloatArray, n_classes: int) -> FloatArray:
    """Scores ``[samples, models]`` of totals ``[samples, (1 + 2 * models) * C]``."""
    true, *rest = np.split(totals, totals.shape[1] // n_classes, axis=1)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return np.stack([score_of_counts(metric, hits, predicted, true) for hits, predicted in pairs], axis=1)


def _bootstrap(
    metric: str, codes: IntArray, n_classes: int, *, bootstraps: int, seed: int, groups: Groups | None
) -> FloatArray:
    """Bootstrap scores ``[bootstraps, models]`` of codes ``[n, 1 + models]``."""
    if bootstraps < 1:
        raise ValueError(f"bootstraps must be at least 1, not {bootstraps}")
    rng = np.random.default_rng(seed)
    cells, cell_of_row, rows = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    units = _unit_counts(cells, n_classes)
    if groups is None:
        order = whichever_comes_first(cells, rows) if codes.shape[1] == 3 else np.arange(len(cells))
        units = units[order]
        blocks = stratified_counts(cells[order, 0], rows[order], bootstraps, rng)
    else:
        units = group_sums(units[cell_of_row.ravel()], groups)
        blocks = group_counts(len(units), bootstraps, rng)
    return np.concatenate([_scores(metric, counts @ units, n_classes) for counts in blocks])


def slice_range(
    metric: str,
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    slices: Sequence[IntArray],
    n_classes: int,
    *,
    bootstraps: int,
    seed: int,
    groups: Groups | None = None,
) -> float:
    """What (score of the best - score of the worst slice) stays below in 95 % of cases where all are answered alike.

    Args:
        metric: see :func:`acclimate.core.metrics.score`.
        truth: class indices, ``[n]``.
        predicted: class indices, ``[n]``.
        slices: positions of each slice's rows; no row is in two, and there are two slices or more.
        n_classes: number of classes C.
        bootstraps: number of bootstrap samples.
        seed: seed of the resampling.
        groups: group of each row, ``[n]``; given, whole groups are drawn.

    Returns:
        A difference, 0..1; see :func:`acclimate.core.slice_range.range_by_chance`, also for what is assumed.

    Raises:
        ValueError: unknown metric, no rows, unequal lengths, indices out of range, no bootstraps; one slice.
    """
    cells, cell_of_row = np.unique(_codes(n_classes, truth, predicted), axis=0, return_inverse=True)
    answered = Answered(
        cell_of_row.ravel(),
        cells[:, 0],
        _unit_counts(cells, n_classes),
        lambda totals: _scores(metric, totals, n_classes)[:, 0],
    )
    return range_by_chance(answered, slices, bootstraps=bootstraps, seed=seed, groups=groups)


def _codes(n_classes: int, *columns: npt.ArrayLike) -> IntArray:
    checked = [as_classes(column, n_classes) for column in columns]
    if len({len(column) for column in checked}) > 1:
        raise ValueError(f"unequal numbers of rows: {[len(column) for column in checked]}")
    return np.stack(checked, axis=1)


def bootstrap_score(
    metric: str,
    truth: npt.ArrayLike,
    predicted: npt.ArrayLike,
    n_classes: int,
    *,
    bootstraps: int,
    seed: int,
    groups: Groups | None = None,
    level: float = 0.95,
) -> Bounds:
    """Score with its percentile bootstrap interval.

    Args:
        metric: see :func:`acclimate.core.metrics.score`.
        truth: class indices, ``[n]``.
        predicted: class indices, ``[n]``.
        n_classes: number of classes C.
        bootstraps: number of bootstrap samples.
        seed: seed of the resampling.
        groups: group of each row, ``[n]``; given, whole groups are drawn, else rows within each true class.
        level: confidence, 0..1.

    Returns:
        Point and both ends, 0..1.

    Raises:
        ValueError: unknown metric, no rows, unequal lengths, indices out of range, no bootstraps.

    Source:
        Efron & Tibshirani 1993, ch. 13 (percentile interval).
    """
    codes = _codes(n_classes, truth, predicted)
    values = _bootstrap(metric, codes, n_classes, bootstraps=bootstraps, seed=seed, groups=groups)[:, 0]
    return Bounds(score(metric, codes[:, 0], codes[:, 1], n_classes), *outward(values, (1.0 - level) / 2.0, groups))


def paired_difference(
    metric: str,
    truth: npt.ArrayLike,
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    n_classes: int,
    *,
    bootstraps: int,
    seed: int,
    groups: Groups | None = None,
    alpha: float = 0.05,
) -> PairedDifference:
    """Score of a - score of b, both scored on the same bootstrap samples.

    Args:
        metric: see :func:`acclimate.core.metrics.score`.
        truth: class indices, ``[n]``.
        a: class indices predicted by the first model, ``[n]``.
        b: class indices predicted by the second, ``[n]``.
        n_classes: number of classes C.
        bootstraps: number of bootstrap samples.
        seed: seed of the resampling.
        groups: group of each row, ``[n]``; given, whole groups are drawn, else rows within each true class.
        alpha: error rate: two-sided for ``low`` and ``high``, one-sided for the other two bounds.

    Returns:
        Differences, -1..1; 0 means equal. Those of b and a are their mirror image.

    Raises:
        ValueError: unknown metric, no rows, unequal lengths, indices out of range, no bootstraps.

    Source:
        Efron & Tibshirani 1993, ch. 13; Koehn 2004 (paired bootstrap of two systems).
    """
    codes = _codes(n_classes, truth, a, b)
    values = _bootstrap(metric, codes, n_classes, bootstraps=bootstraps, seed=seed, groups=groups)
    differences = values[:, 0] - values[:, 1]
    point = score(metric, codes[:, 0], codes[:, 1], n_classes) - score(metric, codes[:, 0], codes[:, 2], n_classes)
    bounds = *outward(differences, alpha / 2.0, groups), *outward(differences, alpha, groups)
    return PairedDifference(point, *bounds, float(differences.std()))


def mcnemar_exact(truth: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike) -> McNemar:
    """Exact two-sided McNemar test of equal accuracy.

    Args:
        truth: class indices, ``[n]``.
        a: class indices predicted by the first model, ``[n]``.
        b: class indices predicted by the second, ``[n]``.

    Returns:
        p in (0, 1] (1 without discordant rows), and the rows only a and only b got right.

    Source:
        McNemar 1947; the exact binomial form. Checked against ``scipy.stats.binomtest``.
    """
    right_a, right_b = np.asarray(a) == np.asarray(truth), np.asarray(b) == np.asarray(truth)
    only_a, only_b = int(np.sum(right_a & ~right_b)), int(np.sum(right_b & ~right_a))
    tail = float(stats.binom.cdf(min(only_a, only_b), only_a + only_b, 0.5))
    return McNemar(min(1.0, 2.0 * tail), only_a, only_b)


def _needed(alpha: float, power: float) -> float:
    return float(stats.norm.ppf(1.0 - alpha) + stats.norm.ppf(power)) ** 2


def detectable_effect(rows: int, disagreement: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest difference of two accuracies that a paired one-sided test finds.

    Args:
        rows: test rows, at least 1.
        disagreement: share of rows that exactly one of the two gets right, 0..1.
        alpha: one-sided error rate.
        power: share of true differences of that size that are found.

    Returns:
        The difference, a share of rows; 0 without disagreement. The inverse of :func:`rows_needed`.

    Source:
        Normal approximation of McNemar's test (Connor 1987) for small differences:
        n = (z_alpha + z_power)^2 d / delta^2, about 6.2 d / delta^2.
    """
    return math.sqrt(_needed(alpha, power) * disagreement / rows)


def detectable_by(standard_error: float, *, alpha: float = 0.05, power: float = 0.8) -> float:
    """Smallest difference that a one-sided test finds whose estimate has a known standard error.

    Args:
        standard_error: of the difference; of grouped rows that of the cluster bootstrap.
        alpha: one-sided error rate.
        power: share of true differences of that size that are found.

    Returns:
        The difference, in the score's own unit.

    Source:
        Normal approximation: (z_alpha + z_power) times the standard error.
    """
    return math.sqrt(_needed(alpha, power)) * standard_error


def rows_needed(effect: float, disagreement: float, *, alpha: float = 0.05, power: float = 0.8) -> int:
    """Test rows that a paired one-sided test needs to find a difference of two accuracies.

    Args:
        effect: the difference, a share of rows, not 0; its sign does not matter.
        disagreement: share of rows that exactly one of the two gets right, 0..1.
        alpha: one-sided error rate.
        power: share of true differences of that size that are found.

    Returns:
        Rows, at least 1. The inverse of :func:`detectable_effect`.

    Raises:
        ValueError: the effect is 0, which no number of rows shows.
    """
    if effect == 0:
        raise ValueError("no number of rows shows a difference of 0")
    return max(1, math.ceil(_needed(alpha, power) * disagreement / effect**2))
