"""Rows that a source model was fitted on before do not tell how it does on others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from acclimate.core.label_checks import MIN_ROWS
from acclimate.core.metrics import BoolArray, IntArray

#: fewer rows, or groups, give intervals that can't be trusted: as the gate's ``min_test_rows`` and ``min_test_groups``
MIN_NEW_ROWS = 30
MIN_NEW_GROUPS = 10


def enough_to_score(new: BoolArray, labels: IntArray | None, groups: Sequence[str] | None) -> bool:
    """Whether the new rows alone can stand for all: 30 of them, of 10 groups, and 5 of each class.

    Args:
        new: the source was not fitted on that row, ``[n]``.
        labels: class indices, ``[n]``; None without classes.
        groups: group of each row; None without groups.
    """
    if int(new.sum()) < MIN_NEW_ROWS:
        return False
    if groups is not None:
        own = {group for group, is_new in zip(groups, new, strict=True) if is_new}
        if len(own) < MIN_NEW_GROUPS:
            return False
    if labels is None:
        return True
    counts = np.bincount(labels)
    found = np.bincount(labels[new], minlength=len(counts))
    return bool((found[counts > 0] >= MIN_ROWS).all())
