"""Whether a slice is served worse than the other rows: at its own mix of classes, with its groups as the units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

from acclimate.core.metrics import BoolArray, FloatArray, IntArray


@dataclass(frozen=True)
class SliceGap:
    """Mean row score of a slice less that of the other rows of the same classes.

    Args:
        point: below 0 where the slice is served worse.
        low: of the two-sided 95 % interval.
        high: of the same.
        p_value: one-sided, of a slice that is served no worse.
    """

    point: float
    low: float
    high: float
    p_value: float


def slice_gap(
    scores: FloatArray, classes: IntArray, inside: BoolArray, groups: Sequence[str] | None = None
) -> SliceGap | None:
    """How a slice's rows fare against the other rows, class by class, weighted as the classes lie in the slice.

    A score such as macro-F1 depends on which classes a slice has; this difference does not. It is tested as under equal
    service, each class's rows pooled; half a success and half a failure more keep a slice without a miss from being
    taken for certain. With groups their sums are the units, and Student's t has a degree of freedom for each group in
    the slice but one.

    Args:
        scores: score of each row in [0, 1], ``[n]``: 1 where the model is right.
        classes: true class of each row, ``[n]``; all the same where there are none.
        inside: whether a row is in the slice, ``[n]``.
        groups: group of each row; None without groups.

    Returns:
        None where there is nothing to compare: no row outside has a class of the slice, or the slice lies in one group.

    Source:
        Direct standardisation, e.g. Rothman, Greenland and Lash, Modern Epidemiology, 3rd edition, chapter 3;
        cluster-robust variance: Liang and Zeger 1986.
    """
    shared = np.intersect1d(classes[inside], classes[~inside])
    kept = np.isin(classes, shared)
    rows = int((inside & kept).sum())
    if rows == 0:
        return None
    point, variance, pooled, pull = 0.0, 0.0, 0.0, np.zeros(len(scores))
    for one in shared:
        own, rest = inside & (classes == one), ~inside & (classes == one)
        weight = own.sum() / rows
        point += weight * float(scores[own].mean() - scores[rest].mean())
        for part, sign in ((own, 1.0), (rest, -1.0)):
            count = int(part.sum())
            variance += weight**2 * _spread(scores[part]) / count
            pooled += weight**2 * _spread(scores[own | rest]) / count
            pull[part] = sign * weight * (scores[part] - scores[part].mean()) / count
    freedom = float("inf")
    if groups is not None:
        names, group = np.unique(np.asarray(groups, dtype=str), return_inverse=True)
        freedom = len(np.unique(group[inside & kept])) - 1
        if freedom < 1:
            return None
        sums = np.bincount(group, weights=pull, minlength=len(names))
        units = len(np.unique(group[kept]))
        clustered = units / (units - 1) * float((sums**2).sum())
        variance, pooled = max(variance, clustered), max(pooled, clustered)
    half = float(t.ppf(0.975, freedom) * np.sqrt(variance))
    return SliceGap(point, point - half, point + half, float(t.cdf(point / np.sqrt(pooled), freedom)))


def _spread(scores: FloatArray) -> float:
    """Variance of a score in [0, 1] by its mean: that of a proportion, and no less than that of anything between."""
    mean = (scores.sum() + 0.5) / (len(scores) + 1)
    return float(mean * (1 - mean))
