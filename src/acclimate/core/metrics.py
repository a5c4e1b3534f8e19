"""Scores of a classifier, all computed from counts per class."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

# hits, predicted and true rows of each class [..., C] -> score [...]
CountsToScore = Callable[[FloatArray, FloatArray, FloatArray], FloatArray]


def _macro_f1(hits: FloatArray, predicted: FloatArray, true: FloatArray) -> FloatArray:
    total = predicted + true
    f1 = 2.0 * hits / np.maximum(total, 1.0)
    return np.asarray(f1.sum(axis=-1) / np.maximum((total > 0).sum(axis=-1), 1))


def _accuracy(hits: FloatArray, predicted: FloatArray, true: FloatArray) -> FloatArray:  # noqa: ARG001
    return np.asarray(hits.sum(axis=-1) / np.maximum(true.sum(axis=-1), 1.0))


def _balanced_accuracy(hits: FloatArray, predicted: FloatArray, true: FloatArray) -> FloatArray:  # noqa: ARG001
    recall = hits / np.maximum(true, 1.0)
    return np.asarray(recall.sum(axis=-1) / np.maximum((true > 0).sum(axis=-1), 1))


METRICS: dict[str, CountsToScore] = {
    "macro_f1": _macro_f1,
    "accuracy": _accuracy,
    "balanced_accuracy": _balanced_accuracy,
}


def as_classes(values: npt.ArrayLike, n_classes: int) -> IntArray:
    """Class indices as a checked int64 vector.

    Args:
        values: class indices, ``[n]``.
        n_classes: number of classes C.

    Raises:
        ValueError: no rows, not one-dimensional, not whole numbers, or outside ``0 .. C - 1``.
    """
    array = np.asarray(values)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"class indices must be a vector with rows, not of shape {array.shape}")
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"class indices must be integers, not {array.dtype}")
    if array.min() < 0 or array.max() >= n_classes:
        raise ValueError(f"class indices must lie in 0..{n_classes - 1}, not {array.min()}..{array.max()}")
    return array.astype(np.int64, copy=False)


def confusion(truth: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int) -> IntArray:
    """Rows by true and predicted class.

    Args:
        truth: class indices, ``[n]``.
        predicted: class indices, ``[n]``.
        n_classes: number of classes C.

    Returns:
        Counts, int64 ``[C, C]``; first axis truth, second prediction.

    Raises:
        ValueError: no rows, unequal lengths or indices out of range.
    """
    rows, columns = as_classes(truth, n_classes), as_classes(predicted, n_classes)
    if len(rows) != len(columns):
        raise ValueError(f"{len(rows)} true classes but {len(columns)} predicted ones")
    counts = np.bincount(rows * n_classes + columns, minlength=n_classes * n_classes)
    return counts.reshape(n_classes, n_classes).astype(np.int64)


def score_of_counts(metric: str, hits: FloatArray, predicted: FloatArray, true: FloatArray) -> FloatArray:
    """Score of many prediction sets at once.

    Args:
        metric: a key of :data:`METRICS`.
        hits: right predictions of each class, ``[..., C]``.
        predicted: rows predicted as each class, ``[..., C]``.
        true: rows of each class, ``[..., C]``.

    Returns:
        Scores 0..1 of shape ``[...]``.

    Raises:
        ValueError: unknown metric.
    """
    if metric not in METRICS:
        raise ValueError(f"unknown metric {metric!r}: one of {', '.join(METRICS)}")
    return METRICS[metric](hits, predicted, true)


def score(metric: str, truth: npt.ArrayLike, predicted: npt.ArrayLike, n_classes: int) -> float:
    """Score of one prediction set.

    ``macro_f1`` averages F1 over the classes that occur in truth or prediction, ``balanced_accuracy``
    averages recall over the classes that occur in truth.

    Args:
        metric: ``macro_f1``, ``accuracy`` or ``balanced_accuracy``.
        truth: class indices, ``[n]``.
        predicted: class indices, ``[n]``.
        n_classes: number of classes C.

    Returns:
        0 (nothing right) .. 1 (all right).

    Raises:
        ValueError: unknown metric, no rows, unequal lengths or indices out of range.

    Source:
        Checked against scikit-learn's ``f1_score(average="macro")``, ``accuracy_score`` and
        ``balanced_accuracy_score``.
    """
    counts = confusion(truth, predicted, n_classes).astype(np.float64)
    return float(score_of_counts(metric, np.diagonal(counts), counts.sum(axis=0), counts.sum(axis=1)))
