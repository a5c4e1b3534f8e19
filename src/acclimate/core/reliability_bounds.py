"""Bootstrap intervals of calibration error, negative log likelihood and Brier score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from acclimate.core.metrics import FloatArray
from acclimate.core.paired import Bounds
from acclimate.core.reliability import brier_of_rows, checked, nll_of_rows, parts_by_confidence
from acclimate.core.resampling import Groups, group_counts, group_sums, outward


@dataclass(frozen=True)
class ReliabilityBounds:
    """Each measure with its interval."""

    ece: Bounds
    nll: Bounds
    brier: Bounds


def reliability_bounds(
    prob: npt.ArrayLike,
    labels: npt.ArrayLike,
    bins: int,
    *,
    bootstraps: int,
    seed: int,
    groups: Groups | None = None,
    level: float = 0.95,
) -> ReliabilityBounds:
    """Intervals of :func:`~acclimate.core.reliability.ece_debiased` and the two scores on the same samples.

    Rows are drawn with replacement, with groups whole groups. The two scores are means and have percentile intervals.
    The squared calibration error does not: a sample's error counts the data's own chance once more. So its samples
    are taken around the plain squared error, which is what they estimate, and that spread is laid around the debiased
    one; bins stay those of the data.

    Args:
        prob: probabilities, ``[n, C]``.
        labels: class indices, ``[n]``.
        bins: wanted bins; fewer when there are less than two rows a bin.
        bootstraps: number of bootstrap samples.
        seed: seed of the resampling.
        groups: group of each row, ``[n]``; given, whole groups are drawn.
        level: confidence, 0..1.

    Returns:
        Points and both ends; of the calibration error 0..1.

    Raises:
        ValueError: fewer than two rows, shapes that don't fit, no bootstraps.

    Source:
        Efron & Tibshirani 1993, ch. 13; the pivot for the squared error is ours, its coverage is in the tests.
    """
    p, index = checked(prob, labels)
    n = len(index)
    if n < 2 or bootstraps < 1:
        raise ValueError(f"intervals need two rows and one bootstrap sample, not {n} and {bootstraps}")
    parts = parts_by_confidence(p, bins)
    bin_of_row = np.empty(n, dtype=np.int64)
    for number, rows in enumerate(parts):
        bin_of_row[rows] = number
    own_bin = np.eye(len(parts))[bin_of_row]  # [n, bins]
    confidence, right = p.max(axis=1), (p.argmax(axis=1) == index).astype(np.float64)
    # what a row adds: to its bin's rows, confidence and hits, and to the two scores
    units = np.concatenate(
        [
            own_bin,
            own_bin * confidence[:, None],
            own_bin * right[:, None],
            nll_of_rows(p, index)[:, None],
            brier_of_rows(p, index)[:, None],
        ],
        axis=1,
    )
    drawn = units if groups is None else group_sums(units, groups)
    rng = np.random.default_rng(seed)
    totals = np.concatenate([counts @ drawn for counts in group_counts(len(drawn), bootstraps, rng)])
    tail, whole = (1.0 - level) / 2.0, units.sum(axis=0)[None]
    debiased, plain = _squared_errors(whole, len(parts))
    spread = _squared_errors(totals, len(parts))[0] - plain
    low, high = outward(spread, tail, groups)
    rows = totals[:, : len(parts)].sum(axis=1)
    return ReliabilityBounds(
        Bounds(_root(debiased[0]), _root(debiased[0] - high), _root(debiased[0] - low)),
        Bounds(float(whole[0, -2] / n), *outward(totals[:, -2] / rows, tail, groups)),
        Bounds(float(whole[0, -1] / n), *outward(totals[:, -1] / rows, tail, groups)),
    )


def _squared_errors(totals: FloatArray, bins: int) -> tuple[FloatArray, FloatArray]:
    """Debiased and plain squared calibration error of each sample's totals ``[samples, 3 * bins + 2]``."""
    rows, confidence, hits = (totals[:, i * bins : (i + 1) * bins] for i in range(3))
    filled = np.maximum(rows, 1.0)
    accuracy = hits / filled
    gap = (confidence / filled - accuracy) ** 2
    # a bin of which a sample has one row says nothing of its variance
    variance = accuracy * (1.0 - accuracy) / np.maximum(rows - 1.0, 1.0)
    weight = rows / rows.sum(axis=1, keepdims=True)
    return (weight * (gap - variance)).sum(axis=1), (weight * gap).sum(axis=1)


def _root(squared: float) -> float:
    return float(np.sqrt(min(max(0.0, squared), 1.0)))
