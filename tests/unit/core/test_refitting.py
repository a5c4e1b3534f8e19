"""The probe on train and validation, and its temperature, against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acclimate.core.folds import assign_folds
from acclimate.core.probe import fit_probe
from acclimate.core.refitting import out_of_fold_logits, refit, with_validation

C = 0.1


def problem(rows: int, classes: int, seed: int, apart: float = 0.4) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping Gaussian classes in eight dimensions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    return rng.normal(size=(rows, 8)) + apart * rng.normal(size=(classes, 8))[labels], labels


@pytest.mark.parametrize("classes", [2, 4])
def test_the_head_is_fitted_on_all_rows_and_the_temperature_on_rows_held_out_in_turn(classes: int) -> None:
    features, labels = problem(200, classes, seed=classes)
    folds = with_validation(assign_folds(labels[:150], None, folds=4, seed=0), 50)
    found = refit(features, labels, classes, c=C, folds=folds)
    assert np.array_equal(found.probe.weight, fit_probe(features, labels, classes, c=C).weight)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=C, tol=1e-8, max_iter=5000))
    log_prob = cross_val_predict(pipeline, features, labels, cv=PredefinedSplit(folds), method="predict_log_proba")

    def loss(temperature: np.ndarray) -> float:
        scaled = log_prob / temperature[0]
        return float(np.mean(np.log(np.exp(scaled).sum(axis=1)) - scaled[np.arange(len(labels)), labels]))

    best = minimize(loss, [1.0], method="Nelder-Mead", options={"xatol": 1e-6}).x[0]
    assert found.temperature == pytest.approx(best, rel=1e-3)


@settings(max_examples=30, deadline=None)
@given(classes=st.integers(2, 4), seed=st.integers(0, 10_000), flipped=st.integers(0, 79))
def test_no_row_has_a_part_in_its_own_logits(classes: int, seed: int, flipped: int) -> None:
    features, labels = problem(80, classes, seed)
    folds = with_validation(assign_folds(labels[:56], None, folds=3, seed=seed), 24)
    before = out_of_fold_logits(features, labels, classes, c=C, folds=folds)
    other = labels.copy()
    other[flipped] = (other[flipped] + 1) % classes
    after = out_of_fold_logits(features, other, classes, c=C, folds=folds)
    same = folds == folds[flipped]
    assert np.array_equal(before[same], after[same])
    assert not np.allclose(before[~same], after[~same], atol=1e-9), "but it has one in all others'"


@settings(max_examples=50, deadline=None)
@given(rows=st.integers(4, 60), more=st.integers(1, 30), folds=st.integers(2, 6), seed=st.integers(0, 100))
def test_validation_is_a_fold_of_its_own_outside_which_all_classes_are(
    rows: int, more: int, folds: int, seed: int
) -> None:
    labels = np.arange(rows + more) % 2
    of_train = assign_folds(labels[:rows], None, folds=folds, seed=seed)
    found = with_validation(of_train, more)
    assert np.array_equal(found[:rows], of_train)
    assert set(found[rows:]) == {of_train.max() + 1}
    assert all(set(labels[found != fold]) == {0, 1} for fold in np.unique(found))
