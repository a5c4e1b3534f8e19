"""How far predicted probabilities can be trusted: temperature, debiased calibration error, NLL, Brier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.special import softmax as _softmax

from acclimate.core.metrics import FloatArray, IntArray, as_classes

_TEMPERATURE_RANGE = (0.05, 20.0)
_SMALLEST_PROBABILITY = 1e-12


@dataclass(frozen=True)
class Bin:
    """One bin of the reliability diagram: mean confidence, share of right predictions, rows."""

    confidence: float
    accuracy: float
    rows: int


def softmax(logits: npt.ArrayLike) -> FloatArray:
    """Probabilities of logits.

    Args:
        logits: ``[n, C]``, finite.

    Returns:
        float64 ``[n, C]``, each row summing to 1.
    """
    return np.asarray(_softmax(np.asarray(logits, dtype=np.float64), axis=1))


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Temperature that minimises the negative log likelihood of softmax(logits / T).

    Args:
        logits: ``[n, C]``, finite; rows the model was not fitted on.
        labels: class indices, ``[n]``.

    Returns:
        T in 0.05..20; above 1 the model was too sure. 1 if no row is wrong: then the likelihood grows without end
        as T falls, and the rows say nothing about how sure the model may be.

    Raises:
        ValueError: no rows, shapes that don't fit, logits that aren't finite.

    Source:
        Guo et al. 2017, sect. 4.2.
    """
    scores, index = checked(logits, labels)
    if np.all(scores.argmax(axis=1) == index):
        return 1.0
    rows = np.arange(len(index))

    def loss(log_temperature: float) -> float:
        return float(-log_softmax(scores / np.exp(log_temperature), axis=1)[rows, index].mean())

    low, high = np.log(_TEMPERATURE_RANGE)
    found = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def nll(prob: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Mean negative log likelihood, in nats.

    Args:
        prob: probabilities, ``[n, C]``; below 1e-12 they count as 1e-12.
        labels: class indices, ``[n]``.

    Returns:
        0 (sure and right) .. 27.6; log C for uniform probabilities.

    Source:
        Checked against scikit-learn's ``log_loss``.
    """
    return float(nll_of_rows(*checked(prob, labels)).mean())


def nll_of_rows(prob: FloatArray, labels: IntArray) -> FloatArray:
    """Negative log likelihood of each row, nats, ``[n]``."""
    rows: FloatArray = -np.log(np.maximum(prob[np.arange(len(labels)), labels], _SMALLEST_PROBABILITY))
    return rows


def brier(prob: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """Brier score: mean squared distance of the probabilities to the truth, summed over classes.

    Args:
        prob: probabilities, ``[n, C]``.
        labels: class indices, ``[n]``.

    Returns:
        0 (sure and right) .. 2 (sure and wrong).

    Source:
        Brier 1950; twice the form common for two classes. Checked against scikit-learn.
    """
    return float(brier_of_rows(*checked(prob, labels)).mean())


def brier_of_rows(prob: FloatArray, labels: IntArray) -> FloatArray:
    """Squared distance to the truth of each row, ``[n]``."""
    truth = np.zeros_like(prob)
    truth[np.arange(len(labels)), labels] = 1.0
    rows: FloatArray = ((prob - truth) ** 2).sum(axis=1)
    return rows


def reliability_bins(prob: npt.ArrayLike, labels: npt.ArrayLike, bins: int) -> list[Bin]:
    """Reliability diagram of the predicted class, in bins of equal size.

    Args:
        prob: probabilities, ``[n, C]``.
        labels: class indices, ``[n]``.
        bins: wanted bins; fewer when there are less than two rows a bin.

    Returns:
        Bins in order of confidence; their rows differ by at most one.
    """
    p, index = checked(prob, labels)
    confidence, right = p.max(axis=1), p.argmax(axis=1) == index
    parts = parts_by_confidence(p, bins)
    return [Bin(float(confidence[part].mean()), float(right[part].mean()), len(part)) for part in parts]


def parts_by_confidence(prob: FloatArray, bins: int) -> list[IntArray]:
    """Positions of the rows of each bin, in order of confidence."""
    order = np.argsort(prob.max(axis=1), kind="stable")
    return np.array_split(order, max(1, min(bins, len(order) // 2)))


def ece_debiased(prob: npt.ArrayLike, labels: npt.ArrayLike, bins: int) -> float:
    """Calibration error of the predicted class, root mean square over bins of equal size, bias removed.

    The plain estimate is above 0 even for a calibrated model, the more so the fewer rows a bin has: the sampling
    variance of each bin's accuracy is taken off its squared gap.

    Args:
        prob: probabilities, ``[n, C]``.
        labels: class indices, ``[n]``.
        bins: wanted bins; fewer when there are less than two rows a bin.

    Returns:
        0 (no error that shows) .. 1, in units of probability.

    Raises:
        ValueError: fewer than two rows.

    Source:
        Kumar, Liang & Ma 2019, sect. 5 (debiased squared l2 error, its positive part's root here);
        the same correction as Ferro & Fricker 2012 makes to the reliability term of the Brier score.
    """
    parts = reliability_bins(prob, labels, bins)
    n = sum(part.rows for part in parts)
    if n < 2:
        raise ValueError("a calibration error needs at least two rows")
    squared = 0.0
    for part in parts:
        variance = part.accuracy * (1.0 - part.accuracy) / (part.rows - 1)
        squared += part.rows / n * ((part.confidence - part.accuracy) ** 2 - variance)
    return float(np.sqrt(max(0.0, squared)))


def checked(values: npt.ArrayLike, labels: npt.ArrayLike) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Values ``[n, C]`` and class indices ``[n]`` as arrays.

    Raises:
        ValueError: shapes that don't fit, or values that aren't finite.
    """
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2 or not np.isfinite(matrix).all():
        raise ValueError(f"finite values [rows, classes] are needed, not of shape {matrix.shape}")
    index = as_classes(labels, matrix.shape[1])
    if len(index) != len(matrix):
        raise ValueError(f"{len(matrix)} rows but {len(index)} labels")
    return matrix, index
