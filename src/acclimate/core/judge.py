"""Scores and differences of predictions on one set of rows, all judged the same way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.core.metrics import FloatArray, IntArray, score
from acclimate.core.paired import Bounds, PairedDifference, bootstrap_score, paired_difference
from acclimate.core.paired_means import bootstrap_mean, paired_mean_difference


@dataclass(frozen=True)
class Judge:
    """What predictions are compared with and how.

    Args:
        metric: what is measured.
        truth: class indices, int64 ``[n]``.
        n_classes: number of classes.
        bootstraps: samples of each interval.
        seed: seed of the bootstrap; the same for all, so that all see the same samples.
        groups: group of each row, resampled whole; None without groups.
    """

    metric: str
    truth: IntArray
    n_classes: int
    bootstraps: int
    seed: int
    groups: Sequence[str] | None

    def score(self, predicted: IntArray) -> Bounds:
        """Score of predictions with its interval; see :func:`~acclimate.core.paired.bootstrap_score`."""
        return bootstrap_score(
            self.metric,
            self.truth,
            predicted,
            self.n_classes,
            bootstraps=self.bootstraps,
            seed=self.seed,
            groups=self.groups,
        )

    def point(self, predicted: IntArray) -> float:
        """Score of predictions alone."""
        return score(self.metric, self.truth, predicted, self.n_classes)

    def difference(self, a: IntArray, b: IntArray) -> PairedDifference:
        """Score of a - score of b; see :func:`~acclimate.core.paired.paired_difference`."""
        return paired_difference(
            self.metric,
            self.truth,
            a,
            b,
            self.n_classes,
            bootstraps=self.bootstraps,
            seed=self.seed,
            groups=self.groups,
        )


@dataclass(frozen=True)
class MeanJudge:
    """How scores of rows, 0..1, are averaged and compared.

    Args:
        bootstraps: samples of each interval.
        seed: seed of the bootstrap; the same for all, so that all see the same samples.
        groups: group of each row, resampled whole; None without groups.
    """

    bootstraps: int
    seed: int
    groups: Sequence[str] | None

    def score(self, rows: FloatArray) -> Bounds:
        """Mean with its interval; see :func:`~acclimate.core.paired_means.bootstrap_mean`."""
        return bootstrap_mean(rows, bootstraps=self.bootstraps, seed=self.seed, groups=self.groups)

    def point(self, rows: FloatArray) -> float:
        """Mean alone."""
        return float(rows.mean())

    def difference(self, a: FloatArray, b: FloatArray) -> PairedDifference:
        """Mean of a - mean of b; see :func:`~acclimate.core.paired_means.paired_mean_difference`."""
        return paired_mean_difference(a, b, bootstraps=self.bootstraps, seed=self.seed, groups=self.groups)
