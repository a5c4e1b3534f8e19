"""Classifier two-sample test: how well a linear classifier tells two samples apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from acclimate.core.logistic import fit_logistic

FOLDS = 5
REPEATS = 2
PENALTY = 1.0


@dataclass(frozen=True)
class Separation:
    """How far apart a classifier finds two samples, out of fold.

    Args:
        auc: area under the ROC curve, 0..1, mean over folds; 0.5 is chance.
        pad: proxy A-distance 2 (1 - 2 error), -2..2; about 0 is chance, 2 is apart.
    """

    auc: float
    pad: float


def separation(rows: np.ndarray, in_first: np.ndarray, groups: np.ndarray | None, seed: int) -> Separation:
    """Classify one sample against the other by repeated stratified cross-validation.

    Args:
        rows: float [n, d], both samples; finite. They are standardised together, without the labels.
        in_first: bool [n], which sample a row is from; at least two groups on either side.
        groups: int [n]; whole groups go into one fold. None: every row is its own.
        seed: of the folds.

    Source: Lopez-Paz & Oquab 2017; Ben-David et al. 2010 (proxy A-distance). Checked against
    scikit-learn's LogisticRegression on the same folds.
    """
    rng = np.random.default_rng(seed)
    scaled = _standardise(rows)
    per_repeat = [_one_repeat(scaled, in_first, fold_of_rows(in_first, groups, rng)) for _ in range(REPEATS)]
    auc, error = np.mean(per_repeat, axis=0)
    return Separation(auc=float(auc), pad=float(2 * (1 - 2 * error)))


def separation_p_value(rows: np.ndarray, labellings: np.ndarray, groups: np.ndarray | None, seed: int) -> float:
    """P-value of the AUC, by refitting on permuted labels.

    Args:
        rows: float [n, d].
        labellings: bool [n, 1 + B] of :func:`acclimate.core.labellings.permuted_labellings`.
        groups: int [n], or None; as the labellings were made with.
        seed: of the folds; each labelling gets its own.

    Returns:
        (1 + number of permutations that reach the AUC) / (1 + B).
    """
    observed, *null = (separation(rows, labelling, groups, seed + i).auc for i, labelling in enumerate(labellings.T))
    reached = sum(value >= observed for value in null)
    return (1 + reached) / int(labellings.shape[1])


def fold_of_rows(in_first: np.ndarray, groups: np.ndarray | None, rng: np.random.Generator) -> np.ndarray:
    """Deal the groups of each sample to folds in random order.

    Args:
        in_first: bool [n].
        groups: int [n], or None.
        rng: source of randomness.

    Returns:
        int [n], fold of each row; fewer than :data:`FOLDS` folds where a sample has fewer groups.
    """
    units = np.arange(in_first.size) if groups is None else groups
    by_side = [np.unique(units[side]) for side in (in_first, ~in_first)]
    folds = min(FOLDS, *(side.size for side in by_side))
    fold = np.empty(in_first.size, dtype=np.int64)
    for side, members in zip((in_first, ~in_first), by_side, strict=True):
        dealt = rng.permutation(np.arange(members.size) % folds)
        fold[side] = dealt[np.searchsorted(members, units[side])]
    return fold


def _standardise(rows: np.ndarray) -> np.ndarray:
    centred = rows.astype(np.float64) - rows.mean(axis=0, dtype=np.float64)
    spread = centred.std(axis=0)
    # Near-constant dimensions carry rounding only; blown up to unit scale they would look like signal.
    floor = 1e-6 * spread.max()
    return np.asarray(centred / np.where(spread > floor, spread, 1.0))


def _one_repeat(rows: np.ndarray, in_first: np.ndarray, fold: np.ndarray) -> tuple[float, float]:
    """AUC averaged over folds, and the error over all rows."""
    folds = int(fold.max()) + 1
    held_out = np.arange(folds)[:, None] == fold  # [folds, n]
    weights = fit_logistic(rows, in_first, ~held_out, PENALTY)
    scores = (rows @ weights[:, :-1].T + weights[:, -1])[np.arange(fold.size), fold]
    auc = np.mean([_auc(scores[rows_out], in_first[rows_out]) for rows_out in held_out])
    return float(auc), float(np.mean((scores > 0) != in_first))


def _auc(scores: np.ndarray, positive: np.ndarray) -> float:
    ranks = rankdata(scores)
    n_positive = int(positive.sum())
    n_negative = positive.size - n_positive
    above = ranks[positive].sum() - n_positive * (n_positive + 1) / 2
    return float(above / (n_positive * n_negative))
