"""The low-rank change between two matrices, found again from the matrices alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

# rounding of the sum, of the product that was added, and of an average of such sums
ROUNDINGS = 4


@dataclass(frozen=True)
class LowRank:
    """A matrix [m, n] as a product.

    Args:
        up: [m, r].
        down: [r, n].
    """

    up: FloatArray
    down: FloatArray

    @property
    def rank(self) -> int:
        """The number of directions, r."""
        return int(self.up.shape[1])


def low_rank_change(before: npt.NDArray[np.float32], after: npt.NDArray[np.float32]) -> LowRank:
    """The change of a weight matrix with as many directions as float32 can tell from rounding.

    Adding a product of rank r to a matrix in float32 rounds each entry by at most 2^-24 of it, so that no singular
    value of the difference moves further than 2^-24 of the matrix's Frobenius norm (Weyl 1912); what is not larger
    than :data:`ROUNDINGS` times that is left out. The halves share each singular value's root evenly.

    Args:
        before: [m, n].
        after: [m, n].

    Returns:
        The product; of rank 0 where nothing but rounding lies between them.
    """
    left, values, right = np.linalg.svd(after.astype(np.float64) - before.astype(np.float64), full_matrices=False)
    bound = ROUNDINGS * 2.0**-24 * max(np.linalg.norm(before), np.linalg.norm(after))
    rank = int((values > bound).sum())
    roots = np.sqrt(values[:rank])
    return LowRank(left[:, :rank] * roots, roots[:, None] * right[:rank])
