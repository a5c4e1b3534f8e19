"""Folds of a cross-validation, and stratified parts of a training set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from acclimate.core.metrics import IntArray
from acclimate.errors import DataError


def assign_folds(labels: IntArray, groups: Sequence[str] | None, *, folds: int, seed: int) -> IntArray:
    """Fold in which each row is held out: stratified by label, whole groups together.

    Args:
        labels: class indices, ``[n]``; at least 2 rows of each class that occurs.
        groups: group of each row, or None.
        folds: wanted number; fewer when the smallest class has fewer rows, or there are fewer groups.
        seed: seed of the shuffling.

    Returns:
        Fold of each row, int64 ``[n]``, from 0; every fold has rows.

    Raises:
        DataError: E-BASELINE-001, outside some fold a class that occurs has no rows, so it could not be learned there.
    """
    counts = np.bincount(labels)
    number = max(2, min(folds, int(counts[counts > 0].min())))
    if groups is None:
        parts = StratifiedKFold(number, shuffle=True, random_state=seed).split(labels[:, None], labels)
    else:
        number = min(number, len(set(groups)))
        if number < 2:
            raise _inseparable("all training rows are of one group")
        splitter = StratifiedGroupKFold(number, shuffle=True, random_state=seed)
        parts = splitter.split(labels[:, None], labels, np.asarray(groups))
    fold = np.zeros(len(labels), dtype=np.int64)
    for i, (_, held_out) in enumerate(parts):
        fold[held_out] = i
    fold = np.unique(fold, return_inverse=True)[1].astype(np.int64)
    for i in range(int(fold.max()) + 1):
        absent = np.setdiff1d(labels, labels[fold != i])
        if len(absent) > 0:
            raise _inseparable(f"all training rows of class {int(absent[0])} are in one fold")
    return fold


def _inseparable(why: str) -> DataError:
    return DataError(
        "E-BASELINE-001",
        f"{why}: the baseline can't be cross-validated",
        hint="each class needs rows in two groups at least; drop target.group if groups follow the labels",
    )


def stratified_part(labels: IntArray, share: float, *, seed: int) -> npt.NDArray[np.int64]:
    """Rows of a stratified random part of a training set.

    Args:
        labels: class indices, ``[n]``.
        share: how much of each class is kept, 0..1; at least 2 rows of it, or all there are.
        seed: seed of the choice. A smaller share with the same seed is a subset of a larger one.

    Returns:
        Row indices, ascending.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    kept = []
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        kept.append(rows[: max(2, round(share * len(rows)))])
    return np.sort(np.concatenate(kept)).astype(np.int64)
