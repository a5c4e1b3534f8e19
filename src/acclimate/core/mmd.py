"""Maximum mean discrepancy between two samples, with a permutation test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Two labellings that give the same partition may differ by rounding; in permutation sd.
_TIE = 1e-6


@dataclass(frozen=True)
class MmdTest:
    """The test's outcome.

    Args:
        statistic: largest unbiased MMD^2 over the bandwidths, each in permutation standard deviations.
        p_value: (1 + number of permutations that reach the statistic) / (1 + permutations).
        squared: unbiased MMD^2 at the bandwidth as given; 0 is no difference, may be negative.
    """

    statistic: float
    p_value: float
    squared: float


def squared_distances(rows: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances between all rows.

    Args:
        rows: float [n, d].

    Returns:
        [n, n] of the same dtype, >= 0, zero diagonal.
    """
    centred = rows - rows.mean(axis=0)
    norms = np.einsum("ij,ij->i", centred, centred)
    distances = norms[:, None] + norms[None, :] - 2 * (centred @ centred.T)
    np.maximum(distances, 0, out=distances)
    np.fill_diagonal(distances, 0)
    return np.asarray(distances)


def median_bandwidth(rows: np.ndarray) -> float:
    """Median distance between two different rows of the pooled sample.

    Args:
        rows: float [n, d], n >= 2.

    Returns:
        The bandwidth h of exp(-d^2 / (2 h^2)); 1.0 where more than half of the pairs are copies.

    Source: Gretton et al. 2012, section 8.
    """
    distances = squared_distances(rows.astype(np.float64))
    median = float(np.sqrt(np.median(distances[np.triu_indices(len(rows), k=1)])))
    return median if median > 0 else 1.0


def mmd_test(rows: np.ndarray, labellings: np.ndarray, bandwidth: float) -> MmdTest:
    """Test whether two samples come from one distribution, by unbiased MMD^2.

    RBF kernels of half, one and two bandwidths; each MMD^2 is divided by its standard deviation
    over the labellings, and the largest is taken for every labelling alike.

    Args:
        rows: float [n, d], both samples one after the other; finite.
        labellings: bool [n, 1 + B] of :func:`acclimate.core.labellings.permuted_labellings`;
            at least two rows on either side in each column.
        bandwidth: h > 0, fixed without looking at the labels.

    Source: Gretton et al. 2012, eq. 3 (unbiased estimate) and section 5 (permutation); the maximum
    over standardised kernels as Schrab et al. 2023. Checked against a double loop over pairs.
    """
    weights = labellings.astype(np.float32)
    distances = squared_distances(rows.astype(np.float32))
    # The kernel of twice the bandwidth; its 4th and 16th power are those of one and of half.
    wide = np.exp(distances * np.float32(-1 / (8 * bandwidth**2)))
    middle = np.square(np.square(wide))
    by_kernel = np.stack([_unbiased(kernel, weights) for kernel in (np.square(np.square(middle)), middle, wide)])
    # The observed labelling stays out of the spread: with it, no statistic could exceed sqrt(B).
    spread = by_kernel[:, 1:].std(axis=1, keepdims=True)
    # A spread of pure rounding means that every labelling is alike.
    flat = spread <= 1e-9
    standardised = np.where(flat, 0.0, by_kernel / np.where(flat, 1.0, spread)).max(axis=0)  # [1 + B]
    reached = int((standardised[1:] >= standardised[0] - _TIE).sum())
    return MmdTest(float(standardised[0]), (1 + reached) / standardised.size, float(by_kernel[1, 0]))


def _unbiased(kernel: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Unbiased MMD^2 of every labelling: kernel [n, n], weights [n, B] of 0 and 1 -> [B]."""
    n = len(kernel)
    np.fill_diagonal(kernel, 0)
    # A constant added off the diagonal cancels out; without it fp32 keeps its digits.
    kernel -= kernel.sum(dtype=np.float64) / (n * (n - 1))
    np.fill_diagonal(kernel, 0)
    row_sums = kernel.sum(axis=1, dtype=np.float64)
    within_x = (weights * (kernel @ weights)).sum(axis=0, dtype=np.float64)
    from_x = row_sums @ weights
    within_y = row_sums.sum() - 2 * from_x + within_x
    n_x = weights.sum(axis=0, dtype=np.float64)
    n_y = n - n_x
    between = (from_x - within_x) / (n_x * n_y)
    return np.asarray(within_x / (n_x * (n_x - 1)) + within_y / (n_y * (n_y - 1)) - 2 * between)
