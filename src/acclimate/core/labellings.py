"""Relabellings of a two-sample problem: who would be in which sample if the null hypothesis held."""

from __future__ import annotations

import numpy as np


def permuted_labellings(
    in_first: np.ndarray, groups: np.ndarray | None, permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """Permute labels over rows, or over whole groups.

    Args:
        in_first: bool [n], True where a row belongs to the first sample.
        groups: int [n], group of each row; a group lies in one sample. None: every row is its own.
        permutations: number of random relabellings.
        rng: source of randomness.

    Returns:
        bool [n, 1 + permutations]; column 0 is the labelling as given. With groups of different
        sizes the number of True rows differs between columns; the number of True groups does not.
    """
    if groups is None:
        unit_labels, unit_of_row = in_first, np.arange(in_first.size)
    else:
        _, first_row, unit_of_row = np.unique(groups, return_index=True, return_inverse=True)
        unit_labels = in_first[first_row]
    shuffled = rng.permuted(np.tile(unit_labels, (permutations, 1)), axis=1)
    return np.ascontiguousarray(np.vstack([unit_labels, shuffled])[:, unit_of_row].T)
