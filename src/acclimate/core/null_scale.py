"""Gap units: a distance on the scale of what distances between samples of one domain look like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BOOTSTRAPS = 2000


@dataclass(frozen=True)
class NullScale:
    """Distances between pairs of source samples.

    Args:
        sample: float64 [pairs], at least two different values.
    """

    sample: np.ndarray

    @property
    def median(self) -> float:
        """Distance that counts as 0 gap units."""
        return float(np.median(self.sample))

    @property
    def q95(self) -> float:
        """Distance that counts as 1 gap unit."""
        return float(np.quantile(self.sample, 0.95))

    def units(self, statistic: float) -> float:
        """Gap units g of a distance: at most 1 is noise within the source; may be negative."""
        return (statistic - self.median) / (self.q95 - self.median)


@dataclass(frozen=True)
class Units:
    """Gap units with a 95 % interval."""

    point: float
    low: float
    high: float


def units_interval(null: NullScale, drawn: np.ndarray, *, target_share: float, source_share: float, seed: int) -> Units:
    """Gap units of the mean over draws, with an interval for the finite data and the finite null sample.

    Draws of m rows out of n overlap, so their spread shows only 1 - m/n of the sampling variance on that side,
    and their mean keeps m/n of it. Both sides taken as equally variable, a mean over draws of which each has
    variance v keeps v (f_t + f_s) / (2 - f_t - f_s), with f the shares; the null scale is bootstrapped.

    Args:
        null: the scale.
        drawn: float64 [draws], the distance of each draw; a single one is given the null's variance.
        target_share: m / n_target, in (0, 1].
        source_share: m / n_source, in (0, 0.5].
        seed: of the bootstrap.

    Source: finite population correction of a mean (Cochran 1977, eq. 2.14), for the linear part of the distance.
    """
    shares = target_share + source_share
    if drawn.size > 1:
        variance = float(drawn.var(ddof=1)) * (shares / (2 - shares) + 1 / drawn.size)
    else:
        variance = float(null.sample.var(ddof=1))
    rng = np.random.default_rng(seed)
    resampled = rng.choice(null.sample, size=(_BOOTSTRAPS, null.sample.size))
    median, q95 = np.quantile(resampled, [0.5, 0.95], axis=1)
    statistic = drawn.mean() + np.sqrt(variance) * rng.standard_normal(_BOOTSTRAPS)
    wide = q95 > median
    low, high = np.quantile((statistic - median)[wide] / (q95 - median)[wide], [0.025, 0.975])
    point = null.units(float(drawn.mean()))
    return Units(point, min(point, float(low)), max(point, float(high)))


def holm(p_values: list[float]) -> list[float]:
    """P-values adjusted for their number, in the order given.

    Source: Holm 1979; checked against the closure of Bonferroni tests over all subsets.
    """
    adjusted, highest = [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted
