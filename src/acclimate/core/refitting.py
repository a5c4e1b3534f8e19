"""The probe that is handed on: when nothing is left to choose, it is fitted on the validation rows too."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from acclimate.core.metrics import FloatArray, IntArray
from acclimate.core.probe import Features, Probe, fit_probe
from acclimate.core.reliability import fit_temperature


@dataclass(frozen=True)
class Refitted:
    """A probe on all rows.

    Args:
        probe: the head.
        temperature: of its probabilities, from the logits of :func:`out_of_fold_logits`.
    """

    probe: Probe
    temperature: float


def with_validation(folds: IntArray, validation_rows: int) -> IntArray:
    """Folds of train and validation together: those of train, and validation as one more.

    A class that has rows outside each of train's folds has them outside each of these.

    Args:
        folds: fold of each training row, from 0, see :func:`acclimate.core.folds.assign_folds`.
        validation_rows: how many rows come after them.

    Returns:
        Fold of each row, int64 ``[n + validation_rows]``.
    """
    return np.concatenate([folds, np.full(validation_rows, folds.max() + 1)]).astype(np.int64)


def out_of_fold_logits(
    features: Features, labels: IntArray, n_classes: int, *, c: float, folds: IntArray
) -> FloatArray:
    """Each row's logits by a probe that was fitted without the row's fold, float64 ``[n, C]``."""
    logits = np.empty((len(labels), n_classes))
    for fold in range(int(folds.max()) + 1):
        held_out = folds == fold
        probe = fit_probe(features[~held_out], labels[~held_out], n_classes, c=c)
        logits[held_out] = probe.logits(features[held_out])
    return logits


def refit(features: Features, labels: IntArray, n_classes: int, *, c: float, folds: IntArray) -> Refitted:
    """Fit a probe on all rows, with a temperature from rows that were held out in turn.

    Args:
        features: ``[n, d]``, finite.
        labels: class indices, ``[n]``.
        n_classes: number of classes C.
        c: inverse penalty, chosen before.
        folds: fold of each row, from 0; outside each every class has rows.

    Source:
        Temperature: Guo et al. 2017. What was chosen on held-out rows is fitted again on all: Hastie et al. 2009, sect.
        7.10.
    """
    logits = out_of_fold_logits(features, labels, n_classes, c=c, folds=folds)
    return Refitted(fit_probe(features, labels, n_classes, c=c), fit_temperature(logits, labels))
