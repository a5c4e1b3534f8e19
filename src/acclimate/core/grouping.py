"""Groups of rows of two tables, as numbers that can be sampled, permuted and held out together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Groups:
    """Group numbers of two tables; no number is in both.

    Args:
        target: int [n_target].
        reference: int [n_reference].
        given: False where every row is a group of its own in both tables.
    """

    target: np.ndarray
    reference: np.ndarray
    given: bool

    @property
    def pooled(self) -> np.ndarray | None:
        """Groups of the target's rows, then the reference's; None where every row is its own."""
        return np.concatenate([self.target, self.reference]) if self.given else None

    @property
    def largest(self) -> int:
        """Rows of the largest group of either table."""
        return max(int(np.bincount(side - side.min()).max()) for side in (self.target, self.reference))


def group_numbers(names: Sequence[str] | None, rows: int) -> np.ndarray:
    """Number the groups of one table from 0: int [rows]; every row its own where ``names`` is None."""
    return np.arange(rows) if names is None else np.unique(list(names), return_inverse=True)[1]


def number_groups(
    target: Sequence[str] | None, target_rows: int, reference: Sequence[str] | None, reference_rows: int
) -> Groups:
    """Number the groups of two tables.

    A name that occurs in both tables is a group of its own in each: it could not be permuted as a whole.

    Args:
        target: group of each target row; None without groups.
        target_rows: rows of the target, at least 1.
        reference: group of each reference row; None without groups.
        reference_rows: rows of the reference, at least 1.
    """
    first, second = group_numbers(target, target_rows), group_numbers(reference, reference_rows)
    return Groups(first, second + first.max() + 1, given=target is not None or reference is not None)
