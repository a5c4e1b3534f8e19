"""How far target embeddings lie from source embeddings: distances on their null scale, with power."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from acclimate.core.c2st import separation, separation_p_value
from acclimate.core.detectable_shift import smallest_found
from acclimate.core.labellings import permuted_labellings
from acclimate.core.mmd import MmdTest, median_bandwidth, mmd_test
from acclimate.core.null_scale import NullScale, Units, units_interval
from acclimate.core.projection import principal_axes
from acclimate.core.sample_plan import Pair, SamplePlan

MIN_ROWS_MEASURED = 20
POWER_DRAWS = 50
LEVEL = 0.05
_BANDWIDTH_ROWS = 2000

Report = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Distance:
    """One distance between the domains.

    Args:
        name: which.
        statistic: mean over the draws.
        null: the same between source samples.
        units: the statistic in gap units.
        p_value: permutation test on the first draw.
        extra: the distance in its usual units.
    """

    name: Literal["mmd", "c2st"]
    statistic: float
    null: NullScale
    units: Units
    p_value: float
    extra: dict[str, float]


@dataclass(frozen=True)
class DomainGap:
    """Both distances, and the smallest mean shift the tests would have found (sd; None: none up to 1)."""

    distances: tuple[Distance, Distance]
    detectable_shift: float | None


@dataclass(frozen=True)
class PooledRows:
    """Target rows, then source rows, in the space they are compared in.

    Args:
        rows: float32 [n_target + n_source, k].
        n_target: rows of the target.
        groups: int [n], no group in both domains; None where no rows belong together.
        bandwidth: of the middle RBF kernel.
    """

    rows: np.ndarray
    n_target: int
    groups: np.ndarray | None
    bandwidth: float


def pool_rows(target: np.ndarray, source: np.ndarray, groups: np.ndarray | None, rows_compared: int) -> PooledRows:
    """Reduce both sides together to m / 10 principal components where m < 10 d.

    Args:
        target: float [n_target, d], finite.
        source: float [n_source, d], finite.
        groups: int [n_target + n_source], or None.
        rows_compared: m, at least 20.
    """
    rows = np.vstack([target, source]).astype(np.float32)
    if rows_compared < 10 * rows.shape[1]:
        rows = principal_axes(rows, rows_compared // 10).project(rows).astype(np.float32)
    step = max(1, len(rows) // _BANDWIDTH_ROWS)
    return PooledRows(rows, len(target), groups, median_bandwidth(rows[::step]))


@dataclass
class GapMeter:
    """Measures pairs of samples, all in one space, with one bandwidth and one number of permutations.

    Args:
        pooled: both domains.
        permutations: relabellings of each test.
        seed: of relabellings and folds.
        report: told (step, done, of).
    """

    pooled: PooledRows
    permutations: int
    seed: int
    report: Report
    _shared: dict[int, np.ndarray] = field(default_factory=dict)

    def measure(self, plan: SamplePlan) -> DomainGap | None:
        """Measure the gap.

        Returns:
            The gap, or None where source samples don't differ among themselves, so that there is no scale.
        """
        null = np.array([self._both(i, pair) for i, pair in self._watched("null_scale", plan.null_pairs)])
        drawn = np.array([self._both(i, pair) for i, pair in self._watched("observed", plan.draws)])
        scales = NullScale(null[:, 0]), NullScale(null[:, 1])
        if any(scale.q95 <= scale.median for scale in scales):
            return None
        p_mmd, p_c2st = self._p_values(plan.draws[0])
        mmd = self._distance("mmd", plan, drawn[:, 0], scales[0], p_mmd, {"mmd2": drawn[:, 2].mean()})
        c2st = self._distance(
            "c2st", plan, drawn[:, 1], scales[1], p_c2st, {"auc": drawn[:, 1].mean(), "pad": drawn[:, 3].mean()}
        )
        return DomainGap((mmd, c2st), self._detectable_shift(plan.null_pairs[:POWER_DRAWS], scales))

    def _distance(
        self,
        name: Literal["mmd", "c2st"],
        plan: SamplePlan,
        drawn: np.ndarray,
        null: NullScale,
        p_value: float,
        extra: dict[str, float],
    ) -> Distance:
        n_target, m = self.pooled.n_target, plan.rows_compared
        n_source = len(self.pooled.rows) - n_target
        units = units_interval(null, drawn, target_share=m / n_target, source_share=m / n_source, seed=self.seed)
        plain = {key: float(value) for key, value in extra.items()}
        return Distance(name, float(drawn.mean()), null, units, p_value, plain)

    def _watched(self, step: str, pairs: list[Pair]) -> Iterator[tuple[int, Pair]]:
        for i, pair in enumerate(pairs):
            yield i, pair
            self.report(step, i + 1, len(pairs))

    def _both(self, i: int, pair: Pair) -> tuple[float, float, float, float]:
        """MMD statistic, AUC, plain MMD^2, PAD."""
        rows, groups = self._samples(pair)
        mmd = self._mmd(rows, groups)
        apart = separation(rows, _in_first(rows), groups, self.seed + i)
        return mmd.statistic, apart.auc, mmd.squared, apart.pad

    def _p_values(self, pair: Pair) -> tuple[float, float]:
        rows, groups = self._samples(pair)
        labellings = self._labellings(len(rows), groups)
        self.report("permutations", 0, 1)
        p_values = self._mmd(rows, groups).p_value, separation_p_value(rows, labellings, groups, self.seed)
        self.report("permutations", 1, 1)
        return p_values

    def _detectable_shift(self, pairs: list[Pair], scales: tuple[NullScale, NullScale]) -> float | None:
        # Holm finds something when the smaller of two p-values is at most half the level.
        limits = [float(np.quantile(scale.sample, 1 - LEVEL / 2)) for scale in scales]
        axis = principal_axes(self.pooled.rows[self.pooled.n_target :], 1)
        direction = (axis.axes[:, 0] * axis.spread[0]).astype(np.float32)

        def share_found(shift: float) -> float:
            found = 0
            for i, pair in self._watched("detectable_shift", pairs):
                rows, groups = self._samples(pair)
                rows[: len(rows) // 2] += np.float32(shift) * direction
                found += (
                    self._mmd(rows, groups).statistic > limits[0]
                    or separation(rows, _in_first(rows), groups, self.seed + i).auc > limits[1]
                )
            return found / len(pairs)

        return smallest_found(share_found)

    def _samples(self, pair: Pair) -> tuple[np.ndarray, np.ndarray | None]:
        chosen = np.concatenate(pair)
        return self.pooled.rows[chosen], None if self.pooled.groups is None else self.pooled.groups[chosen]

    def _mmd(self, rows: np.ndarray, groups: np.ndarray | None) -> MmdTest:
        return mmd_test(rows, self._labellings(len(rows), groups), self.pooled.bandwidth)

    def _labellings(self, n: int, groups: np.ndarray | None) -> np.ndarray:
        """Relabellings; without groups the same serve every pair."""
        rng = np.random.default_rng(self.seed)
        if groups is not None:
            return permuted_labellings(np.arange(n) < n // 2, groups, self.permutations, rng)
        if n not in self._shared:
            self._shared[n] = permuted_labellings(np.arange(n) < n // 2, None, self.permutations, rng)
        return self._shared[n]


def _in_first(rows: np.ndarray) -> np.ndarray:
    return np.arange(len(rows)) < len(rows) // 2
