"""What a learning curve promises for more data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def slope_per_doubling(rows: Sequence[int], scores: Sequence[float]) -> float:
    """Least-squares slope of the score over the binary logarithm of the training rows.

    Args:
        rows: training sizes, above 0.
        scores: score at each.

    Returns:
        Gain for each doubling of the rows; 0 with fewer than two different sizes.
    """
    x = np.log2(np.asarray(rows, dtype=np.float64))
    x = x - x.mean()
    spread = float(x @ x)
    return float(x @ np.asarray(scores, dtype=np.float64)) / spread if spread > 0 else 0.0


def score_at_double(last_score: float, slope: float) -> float:
    """Score expected with twice the rows: a straight line on, within 0..1.

    Args:
        last_score: score at all rows there are.
        slope: see :func:`slope_per_doubling`.
    """
    return float(np.clip(last_score + slope, 0.0, 1.0))
