"""Drift: whether fresh rows still come from where the champion's target rows came from.

The champion was fitted on its training rows, so fresh rows are compared with its held-out ones. Under the null
hypothesis both are draws from one distribution, so that every relabelling of the pool is equally likely and p is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, sqrt
from typing import Literal

import numpy as np

from acclimate.core.domain_gap import MIN_ROWS_MEASURED, PooledRows, pool_rows
from acclimate.core.grouping import Groups
from acclimate.core.labellings import permuted_labellings
from acclimate.core.mmd import MmdTest, mmd_test
from acclimate.core.null_scale import NullScale, Units, units_interval
from acclimate.core.projection import neighbour_distance
from acclimate.core.sample_plan import Pair, plan_samples

Verdict = Literal["DRIFTED", "NONE", "UNDERPOWERED"]

ALPHA = 0.01
MIN_ROWS = 100
PERMUTATIONS = 499
NULL_PAIRS = 60
DRAWS = 10
SCALE_PERMUTATIONS = 99
NEIGHBOURS = 10
OUTSIDE_QUANTILE = 0.95
# One-sided 80 % power, in standard normal units.
_POWER_Z = 0.8416


@dataclass(frozen=True)
class Compared:
    """Which rows are compared: row numbers, int64, ascending.

    Args:
        fresh: of the fresh rows.
        held: of the held-out rows.
    """

    fresh: np.ndarray
    held: np.ndarray


def without_copies(fresh: np.ndarray, held: np.ndarray, known: np.ndarray) -> Compared:
    """Leave out texts that stand on both sides, so that what is left is exchangeable.

    A fresh row that the champion's data hold already says nothing new. A text that people keep writing is found there
    again and again; taken from the fresh side alone, only the held-out rows would have such texts, and that would look
    like drift. So it goes from both sides, unless most held-out rows would go: then the fresh rows are a later copy of
    the same table, and only its new rows are compared.

    Args:
        fresh: int [n], digest of each fresh text.
        held: int [m], digest of each held-out text, all different.
        known: int [k], digests of texts in the champion's data, held-out ones or not.
    """
    _, first = np.unique(fresh, return_index=True)
    new = np.sort(first[~np.isin(fresh[first], np.concatenate([held, known]))])
    alone = np.flatnonzero(~np.isin(held, fresh))
    return Compared(new, alone if 2 * alone.size >= held.size else np.arange(held.size))


@dataclass(frozen=True)
class Drift:
    """How far fresh rows lie from held-out ones.

    Args:
        test: permutation test of all fresh against all held-out rows.
        rows_compared: m, rows a side behind the units; None where there are no units.
        units: the distance in gap units: 0 is the median between held-out samples, 1 their 95 % quantile; None where
            there are too few rows for a scale, or held-out rows don't differ.
        share_outside: share of fresh rows further from the held-out ones than 95 % of those are from each other;
            .05 is no difference.
        spread_ratio: total variance of fresh over that of held-out rows; under 1 they are narrower; None without
            variance.
        rows_needed: fresh rows that would show a distance like this one; None where it was shown, there is none, or the
            held-out rows are too few for any number.
    """

    test: MmdTest
    rows_compared: int | None
    units: Units | None
    share_outside: float
    spread_ratio: float | None
    rows_needed: int | None


def measure_drift(
    fresh: np.ndarray,
    held: np.ndarray,
    groups: Groups | None = None,
    *,
    alpha: float = ALPHA,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> Drift | None:
    """Measure the distance of fresh rows from held-out ones.

    Args:
        fresh: float [n, d], finite.
        held: float [m, d], finite, rounded as ``fresh`` is.
        groups: fresh rows as the target, held-out ones as the reference; None where no rows belong together.
        alpha: level at which drift is told, for ``rows_needed``.
        permutations: relabellings; at least 1 / alpha - 1, else nothing can reach the level.
        seed: of relabellings and draws.

    Returns:
        The distance; None with fewer than 20 rows, or two groups, on a side.
    """
    groups = groups or Groups(np.arange(len(fresh)), len(fresh) + np.arange(len(held)), given=False)
    units = min(np.unique(groups.target).size, np.unique(groups.reference).size)
    if min(len(fresh), len(held)) < MIN_ROWS_MEASURED or units < 2:
        return None
    pooled = pool_rows(fresh, held, groups.pooled, min(len(fresh), len(held)))
    test = drift_test(pooled, permutations=permutations, seed=seed)
    scale = _scale(pooled, groups, seed)
    return Drift(
        test=test,
        rows_compared=scale.rows_compared if scale else None,
        units=scale.units if scale else None,
        share_outside=share_outside(fresh, held),
        spread_ratio=_spread_ratio(fresh, held),
        rows_needed=None
        if scale is None or test.p_value <= alpha
        else rows_needed(test.statistic, scale.limit(alpha), len(fresh), len(held)),
    )


def drift_test(pooled: PooledRows, *, permutations: int, seed: int) -> MmdTest:
    """MMD of all fresh rows against all held-out ones, over relabellings of the pool.

    Args:
        pooled: fresh rows as the target, held-out ones as the source.
        permutations: relabellings.
        seed: of the relabellings.
    """
    is_fresh = np.arange(len(pooled.rows)) < pooled.n_target
    rng = np.random.default_rng(seed)
    labellings = permuted_labellings(is_fresh, pooled.groups, permutations, rng)
    if pooled.groups is not None:
        # Groups differ in size: a side of fewer than two rows has no unbiased MMD.
        inside = labellings.sum(axis=0)
        labellings = labellings[:, (inside >= 2) & (inside <= len(labellings) - 2)]
    return mmd_test(pooled.rows, labellings, pooled.bandwidth)


@dataclass(frozen=True)
class _Scale:
    rows_compared: int
    null: NullScale
    units: Units

    def limit(self, alpha: float) -> float:
        return float(np.quantile(self.null.sample, 1 - alpha))


def _scale(pooled: PooledRows, groups: Groups, seed: int) -> _Scale | None:
    plan = plan_samples(groups.target, groups.reference, null_pairs=NULL_PAIRS, draws=DRAWS, seed=seed)
    m = plan.rows_compared
    if m < MIN_ROWS_MEASURED or groups.largest >= m:
        return None
    null = NullScale(_statistics(pooled, plan.null_pairs, seed))
    if null.q95 <= null.median:
        return None
    drawn = _statistics(pooled, plan.draws, seed)
    shares = {"target_share": m / groups.target.size, "source_share": min(0.5, m / groups.reference.size)}
    return _Scale(m, null, units_interval(null, drawn, **shares, seed=seed))


def _statistics(pooled: PooledRows, pairs: list[Pair], seed: int) -> np.ndarray:
    """MMD of each pair of samples: float64 [pairs]."""
    found = []
    for pair in pairs:
        chosen = np.concatenate(pair)
        groups = None if pooled.groups is None else pooled.groups[chosen]
        in_first = np.arange(chosen.size) < pair[0].size
        labellings = permuted_labellings(in_first, groups, SCALE_PERMUTATIONS, np.random.default_rng(seed))
        found.append(mmd_test(pooled.rows[chosen], labellings, pooled.bandwidth).statistic)
    return np.array(found)


def share_outside(fresh: np.ndarray, held: np.ndarray) -> float:
    """Share of fresh rows further from the held-out rows than 95 % of those are from each other.

    Args:
        fresh: float [n, d], n >= 1.
        held: float [m, d], m >= 2.

    Returns:
        0..1; about .05 where both come from one distribution.
    """
    neighbours = min(NEIGHBOURS, len(held) - 1)
    # Each row is its own nearest neighbour, at distance 0: one more is looked at, and left out of the mean.
    own = neighbour_distance(held, held, neighbours + 1) * (neighbours + 1) / neighbours
    limit = np.quantile(own, OUTSIDE_QUANTILE)
    return float((neighbour_distance(fresh, held, neighbours) > limit + 1e-9).mean())


def _spread_ratio(fresh: np.ndarray, held: np.ndarray) -> float | None:
    wide = float(held.astype(np.float64).var(axis=0, ddof=1).sum())
    return float(fresh.astype(np.float64).var(axis=0, ddof=1).sum()) / wide if wide > 0 else None


def rows_needed(statistic: float, limit: float, fresh: int, held: int) -> int | None:
    """Fresh rows with which a distance like the observed one would be found in about 80 % of samples.

    MMD^2 over its permutation standard deviation grows like 1 / (1/n + 1/m). A shift along one direction is the case
    that needs most rows: there the statistic is (chi^2 - 1) / sqrt(2), of variance 1 + 2 sqrt(2) times its mean.

    Args:
        statistic: as observed, in permutation standard deviations.
        limit: what it would have to exceed.
        fresh: n, fresh rows there were.
        held: m, held-out rows there are.

    Returns:
        The number, at least ``fresh``; None where the statistic is not above 0, or no number suffices.

    Source: Gretton et al. 2012, theorem 12 (the unbiased estimate is a weighted sum of centred chi^2 under the null
    hypothesis). Checked by simulation.
    """
    if statistic <= 0:
        return None
    limit = max(limit, 0.0)
    middle = limit + sqrt(2) * _POWER_Z**2
    wanted = middle + sqrt(middle**2 - limit**2 + _POWER_Z**2)
    share = (1 / fresh + 1 / held) * statistic / wanted - 1 / held
    return max(fresh, ceil(1 / share)) if share > 1e-9 else None


def drift_verdict(drift: Drift | None, *, fresh: int, held: int, alpha: float = ALPHA) -> Verdict:
    """Judge: by MMD's p alone. Where few rows show nothing, no absence is claimed.

    Args:
        drift: what was measured; None where nothing could be.
        fresh: fresh rows compared.
        held: held-out rows compared.
        alpha: level of the test.
    """
    if drift is not None and drift.test.p_value <= alpha:
        return "DRIFTED"
    return "UNDERPOWERED" if drift is None or min(fresh, held) < MIN_ROWS else "NONE"
