"""Frozen features plus a small head: logistic regression on standardised features, and nearest neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from acclimate.core.folds import stratified_part
from acclimate.core.metrics import BoolArray, FloatArray, IntArray, score

# a dimension whose spread is below this share of the median spread counts as constant
RELATIVE_FLOOR = 0.01
_ABSENT_LOGIT = -1e3
_ITERATIONS = 1000

Features = npt.NDArray[np.floating]
Setting = TypeVar("Setting", int, float)


@dataclass(frozen=True)
class Probe:
    """A linear head on raw features; the standardisation is folded in.

    Args:
        weight: float64 ``[C, d]``.
        bias: float64 ``[C]``.
    """

    weight: FloatArray
    bias: FloatArray

    def logits(self, features: Features) -> FloatArray:
        """Scores of each class, float64 ``[n, C]``, from features ``[n, d]``."""
        return np.asarray(features, dtype=np.float64) @ self.weight.T + self.bias

    def predict(self, features: Features) -> IntArray:
        """Class indices, int64 ``[n]``."""
        return np.asarray(self.logits(features).argmax(axis=1), dtype=np.int64)


@dataclass(frozen=True)
class ProbeChoice:
    """A cross-validated probe.

    Args:
        c: the inverse penalty that scored best; the smallest of equals.
        scores: out-of-fold score of every inverse penalty.
        predicted: out-of-fold predictions at ``c``, int64 ``[n]``.
        rows: mean number of rows a fold was trained on.
    """

    c: float
    scores: dict[float, float]
    predicted: IntArray
    rows: int


@dataclass(frozen=True)
class NeighboursChoice:
    """A cross-validated nearest-neighbour head; see :class:`ProbeChoice`."""

    neighbours: int
    scores: dict[int, float]
    predicted: IntArray


def spread(features: Features) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    """Scale to divide each dimension by, with a floor for near-constant ones.

    Dividing by a standard deviation of 1e-32 and folding that into the head gives weights, and later gradients, of
    1e30. Below ``RELATIVE_FLOOR`` of the median spread (or of float32's resolution at the dimension's mean) the floor
    stands in.

    Args:
        features: ``[n, d]``, finite.

    Returns:
        Scale, float64 ``[d]``, above 0; and which dimensions are near-constant, bool ``[d]``.
    """
    values = np.asarray(features, dtype=np.float64)
    deviation = values.std(axis=0)
    typical = float(np.median(deviation))
    if typical == 0.0:
        typical = float(deviation.max())
    floor = np.maximum(RELATIVE_FLOOR * typical, 1e-6 * np.abs(values.mean(axis=0)))
    floor[floor == 0.0] = 1.0
    near_constant = deviation < floor
    return np.where(near_constant, floor, deviation), near_constant


def _fit_path(features: Features, labels: IntArray, n_classes: int, c_grid: Sequence[float]) -> dict[float, Probe]:
    """Probes for each C, from the strongest penalty on, each started where the last one ended."""
    scale, _ = spread(features)
    center = np.asarray(features, dtype=np.float64).mean(axis=0)
    standardised = (np.asarray(features, dtype=np.float64) - center) / scale
    # the same optimum as LBFGS, which took 5 to 10 times as long here
    solver = LogisticRegression(solver="newton-cg", tol=1e-6, max_iter=_ITERATIONS, warm_start=True)
    probes = {}
    for c in sorted(c_grid):
        solver.set_params(C=c).fit(standardised, labels)
        weight, bias = np.zeros((n_classes, features.shape[1])), np.full(n_classes, _ABSENT_LOGIT)
        if len(solver.classes_) == 2:
            # one vector for two classes: half of it for one, minus half for the other, is the same softmax
            fitted, offset = np.vstack([-solver.coef_, solver.coef_]) / 2, np.tile(solver.intercept_, 2) * [-0.5, 0.5]
        else:
            fitted, offset = solver.coef_, solver.intercept_
        weight[solver.classes_] = fitted / scale
        bias[solver.classes_] = offset - weight[solver.classes_] @ center
        probes[c] = Probe(weight, bias)
    return probes


def fit_probe(features: Features, labels: IntArray, n_classes: int, *, c: float) -> Probe:
    """Multinomial logistic regression on standardised features, folded into one linear head.

    Args:
        features: ``[n, d]``, finite.
        labels: class indices, ``[n]``; at least two classes occur.
        n_classes: number of classes C; one that does not occur gets a weight of 0 and is never predicted.
        c: inverse penalty, as in scikit-learn.

    Returns:
        The head on *raw* features.

    Source:
        Checked against scikit-learn's pipeline of StandardScaler and LogisticRegression.
    """
    return _fit_path(features, labels, n_classes, [c])[c]


def cross_validate_probe(
    features: Features,
    labels: IntArray,
    n_classes: int,
    *,
    c_grid: Sequence[float],
    folds: IntArray,
    metric: str,
    share: float = 1.0,
    seed: int = 0,
    scored: BoolArray | None = None,
) -> ProbeChoice:
    """Choose the penalty by out-of-fold score.

    Args:
        features: ``[n, d]``, finite.
        labels: class indices, ``[n]``.
        n_classes: number of classes C.
        c_grid: inverse penalties to try.
        folds: fold of each row, see :func:`acclimate.core.folds.assign_folds`.
        metric: see :func:`acclimate.core.metrics.score`.
        share: part of each fold's training rows that is used (stratified), for learning curves.
        seed: seed of that part.
        scored: rows whose predictions are scored, ``[n]``; None: all.
    """
    predicted = {c: np.empty(len(labels), dtype=np.int64) for c in sorted(c_grid)}
    sizes = []
    for fold in range(int(folds.max()) + 1):
        train, held_out = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        if share < 1.0:
            train = train[stratified_part(labels[train], share, seed=seed + fold)]
        sizes.append(len(train))
        for c, probe in _fit_path(features[train], labels[train], n_classes, c_grid).items():
            predicted[c][held_out] = probe.predict(features[held_out])
    scores = _scores(predicted, metric, labels, n_classes, scored)
    best = max(scores, key=lambda c: scores[c])
    return ProbeChoice(best, scores, predicted[best], round(float(np.mean(sizes))))


def _scores(
    predicted: Mapping[Setting, IntArray], metric: str, labels: IntArray, n_classes: int, scored: BoolArray | None
) -> dict[Setting, float]:
    rows = slice(None) if scored is None else scored
    return {setting: score(metric, labels[rows], found[rows], n_classes) for setting, found in predicted.items()}


def predict_neighbours(
    features: Features, labels: IntArray, queries: Features, n_classes: int, *, neighbours: Sequence[int]
) -> dict[int, IntArray]:
    """Classes by majority of the nearest rows in cosine distance; ties go to the nearer rows.

    Args:
        features: ``[n, d]``.
        labels: class indices, ``[n]``.
        queries: ``[m, d]``.
        n_classes: number of classes C.
        neighbours: numbers of neighbours k; more than n count as n.

    Returns:
        Class indices, int64 ``[m]``, by k.
    """
    most = min(max(neighbours), len(labels))
    index = NearestNeighbors(n_neighbors=most).fit(_unit(features))
    distance, nearest = index.kneighbors(_unit(queries))  # [m, most]; squared = 2 (1 - cosine)
    one_hot = np.eye(n_classes)[labels[nearest]]  # [m, most, C]
    # below 1 in sum over all neighbours, so closeness decides between equal votes only
    closeness = (4.0 - distance**2) / (8.0 * most)
    found = {}
    for k in neighbours:
        votes = (one_hot[:, :k] * (1.0 + closeness[:, :k, None])).sum(axis=1)
        found[k] = votes.argmax(axis=1).astype(np.int64)
    return found


def _unit(features: Features) -> Features:
    norm = np.linalg.norm(features, axis=1, keepdims=True)
    return np.asarray(features / np.where(norm == 0.0, 1.0, norm), dtype=np.float64)


def cross_validate_neighbours(
    features: Features,
    labels: IntArray,
    n_classes: int,
    *,
    neighbours: Sequence[int],
    folds: IntArray,
    metric: str,
    scored: BoolArray | None = None,
) -> NeighboursChoice:
    """Choose k by out-of-fold score, the smallest of equals; arguments as :func:`cross_validate_probe`."""
    predicted = {k: np.empty(len(labels), dtype=np.int64) for k in sorted(neighbours)}
    for fold in range(int(folds.max()) + 1):
        train, held_out = folds != fold, folds == fold
        found = predict_neighbours(
            features[train], labels[train], features[held_out], n_classes, neighbours=sorted(neighbours)
        )
        for k, rows in found.items():
            predicted[k][held_out] = rows
    scores = _scores(predicted, metric, labels, n_classes, scored)
    best = max(scores, key=lambda k: scores[k])
    return NeighboursChoice(best, scores, predicted[best])
