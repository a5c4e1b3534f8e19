"""Rows that a source model was fitted on before do not tell how it does on others."""

from __future__ import annotations

import numpy as np

from acclimate.core.label_checks import MIN_ROWS
from acclimate.core.metrics import BoolArray, IntArray

#: fewer rows give intervals that can't be trusted, see the gate's ``min_test_rows``
MIN_NEW_ROWS = 30


def enough_to_score(new: BoolArray, labels: IntArray | None) -> bool:
    """Whether the new rows alone can stand for all: 30 of them, and 5 of each class.

    Args:
        new: the source was not fitted on that row, ``[n]``.
        labels: class indices, ``[n]``; None without classes.
    """
    if int(new.sum()) < MIN_NEW_ROWS:
        return False
    if labels is None:
        return True
    counts = np.bincount(labels)
    found = np.bincount(labels[new], minlength=len(counts))
    return bool((found[counts > 0] >= MIN_ROWS).all())
