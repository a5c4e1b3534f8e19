"""Principal components of a sample, and how far rows lie from their nearest neighbours in another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PrincipalAxes:
    """Directions of largest variance.

    Args:
        mean: float64 [d].
        axes: float64 [d, k], orthonormal columns, the largest variance first; the largest entry of
            each is positive, so that signs don't depend on the solver.
        spread: float64 [k], standard deviation along each axis.
    """

    mean: np.ndarray
    axes: np.ndarray
    spread: np.ndarray

    def project(self, rows: np.ndarray) -> np.ndarray:
        """Coordinates of float rows [n, d] on the axes: float64 [n, k]."""
        return np.asarray((rows - self.mean) @ self.axes)


def principal_axes(rows: np.ndarray, count: int) -> PrincipalAxes:
    """Principal components by the covariance's eigenvectors.

    Args:
        rows: float [n, d], n >= 2, finite.
        count: how many axes, at most d.

    Source: checked against scikit-learn's PCA.
    """
    exact = rows.astype(np.float64)
    mean = exact.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(exact - mean, rowvar=False).reshape(mean.size, mean.size))
    axes = vectors[:, ::-1][:, :count]
    axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1.0, 1.0)
    return PrincipalAxes(mean, axes, np.sqrt(np.maximum(values[::-1][:count], 0)))


def neighbour_distance(rows: np.ndarray, others: np.ndarray, neighbours: int) -> np.ndarray:
    """Mean cosine distance of each row to its nearest rows in another sample.

    Args:
        rows: float [n, d].
        others: float [m, d], m >= 1.
        neighbours: how many; all of ``others`` where there are fewer.

    Returns:
        float64 [n], 0 (same directions) to 2 (opposite). A zero row is at distance 1 from everything.
    """
    similarity = _unit(rows) @ _unit(others).T
    nearest = min(neighbours, len(others))
    closest = np.partition(similarity, len(others) - nearest, axis=1)[:, -nearest:]
    return np.asarray(np.clip(1 - closest.mean(axis=1), 0, 2))


def _unit(rows: np.ndarray) -> np.ndarray:
    exact = rows.astype(np.float64)
    length = np.linalg.norm(exact, axis=1, keepdims=True)
    return np.asarray(exact / np.where(length > 0, length, 1.0))
