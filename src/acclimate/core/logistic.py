"""Many small binary logistic regressions on shared rows, fitted together by Newton's method."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

_STEPS = 50
_HALVINGS = 30


def fit_logistic(rows: np.ndarray, truth: np.ndarray, used: np.ndarray, penalty: float) -> np.ndarray:
    """Fit one L2-penalised logistic regression for each set of rows.

    Minimises sum of log losses + penalty / 2 |w|^2, the intercept unpenalised: scikit-learn's
    ``LogisticRegression(C=1 / penalty)``.

    Args:
        rows: float64 [n, d], finite; about unit scale.
        truth: bool [n].
        used: bool [fits, n], the rows each fit is trained on; both classes among them.
        penalty: > 0, which makes the solution unique.

    Returns:
        float64 [fits, d + 1]; the last column is the intercept.

    Source: iteratively reweighted least squares with step halving; checked against scikit-learn.
    """
    design = np.hstack([rows, np.ones((len(rows), 1))])
    ridge = np.full(design.shape[1], penalty)
    ridge[-1] = 0.0
    mask = used.T.astype(np.float64)  # [n, fits]
    sign = np.where(truth, 1.0, -1.0)[:, None]
    weights = np.zeros((used.shape[0], design.shape[1]))
    scores = design @ weights.T  # [n, fits]
    loss = _loss(scores, sign, mask, weights, ridge)
    for _ in range(_STEPS):
        probability = expit(scores)
        gradient = (design.T @ (mask * (probability - truth[:, None]))).T + ridge * weights
        if np.abs(gradient).max() < 1e-6:
            break
        curvature = mask * probability * (1 - probability)
        hessian = design.T @ (curvature.T[:, :, None] * design) + np.diag(ridge)  # [fits, d + 1, d + 1]
        hessian[:, -1, -1] += 1e-12
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        weights, scores, loss = _descend(design, sign, mask, ridge, weights, step, loss)
    return weights


def _descend(
    design: np.ndarray,
    sign: np.ndarray,
    mask: np.ndarray,
    ridge: np.ndarray,
    weights: np.ndarray,
    step: np.ndarray,
    loss: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take the step, halved for those fits whose loss it would raise."""
    length = np.ones((len(weights), 1))
    for _ in range(_HALVINGS):
        moved = weights - length * step
        scores = design @ moved.T
        reached = _loss(scores, sign, mask, moved, ridge)
        worse = reached > loss * (1 + 1e-12)
        if not worse.any():
            break
        length[worse] /= 2
    return moved, scores, reached


def _loss(scores: np.ndarray, sign: np.ndarray, mask: np.ndarray, weights: np.ndarray, ridge: np.ndarray) -> np.ndarray:
    """Penalised loss of every fit: [fits]."""
    return np.asarray((mask * np.logaddexp(0, -sign * scores)).sum(axis=0) + (ridge * weights**2).sum(axis=1) / 2)
