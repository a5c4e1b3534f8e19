"""The probe and the nearest neighbours against scikit-learn's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from acclimate.core.folds import assign_folds
from acclimate.core.probe import (
    cross_validate_neighbours,
    cross_validate_probe,
    fit_probe,
    predict_neighbours,
    spread,
)


def problem(n: int, d: int, classes: int, seed: int, apart: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes on dimensions of very different means and scales."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    features = rng.normal(size=(n, d)) + apart * rng.normal(size=(classes, d))[labels]
    return (features * np.geomspace(0.1, 10, d) + rng.normal(size=d) * 5).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("c", [0.001, 0.1, 10.0])
def test_the_folded_head_is_the_pipeline_on_raw_features(classes: int, c: float) -> None:
    features, labels = problem(240, 12, classes, seed=classes)
    probe = fit_probe(features, labels, classes, c=c)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-8, max_iter=5000))
    expected = pipeline.fit(features.astype(np.float64), labels).predict_proba(features)
    logits = probe.logits(features)
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(found / found.sum(axis=1, keepdims=True), expected, atol=1e-4)
    assert probe.weight.shape == (classes, 12)
    assert np.mean(probe.predict(features) == pipeline.predict(features)) > 0.99


@settings(max_examples=25, deadline=None)
@given(
    classes=st.integers(2, 5),
    d=st.integers(1, 12),
    apart=st.sampled_from([0.0, 1.0, 50.0]),
    c=st.sampled_from([1e-3, 1.0, 1e4]),
    seed=st.integers(0, 10_000),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
)
def test_the_head_is_finite_and_predicts_known_classes(
    classes: int, d: int, apart: float, c: float, seed: int, scale: float
) -> None:
    features, labels = problem(60, d, classes, seed, apart)
    probe = fit_probe(features * scale, labels, classes + 1, c=c)
    assert np.isfinite(probe.weight).all()
    assert np.isfinite(probe.bias).all()
    assert probe.predict(features * scale).max() < classes


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), shift=st.floats(-100, 100), scale=st.floats(0.01, 100))
def test_units_of_the_features_do_not_matter(seed: int, shift: float, scale: float) -> None:
    features, labels = problem(80, 6, 3, seed)
    plain = fit_probe(features.astype(np.float64), labels, 3, c=0.1)
    moved = features.astype(np.float64) * scale + shift
    np.testing.assert_allclose(
        fit_probe(moved, labels, 3, c=0.1).logits(moved), plain.logits(features), atol=1e-3, rtol=1e-3
    )


@pytest.mark.parametrize("constant", [0.0, 3.7, -1e4])
def test_near_constant_dimensions_get_a_floor(constant: float) -> None:
    features, labels = problem(200, 10, 2, seed=0)
    rng = np.random.default_rng(1)
    noise = (constant + 1e-32 * rng.normal(size=(200, 1))).astype(np.float64)
    wide = np.hstack([features.astype(np.float64), noise])
    scale, near_constant = spread(wide)
    assert near_constant.tolist() == [False] * 10 + [True]
    assert scale[-1] > 1e-4
    probe = fit_probe(wide, labels, 2, c=1.0)
    assert np.abs(probe.weight[:, -1]).max() < 1e-3
    without = fit_probe(features, labels, 2, c=1.0)
    np.testing.assert_allclose(probe.logits(wide), without.logits(features), atol=1e-3)


def test_constant_features_predict_the_commonest_class() -> None:
    features, labels = np.ones((9, 4), np.float32), np.array([0, 1, 1, 1, 1, 1, 0, 2, 2])
    assert fit_probe(features, labels, 3, c=1.0).predict(features).tolist() == [1] * 9


@pytest.mark.parametrize("classes", [2, 4])
def test_out_of_fold_predictions_are_scikit_learns(classes: int) -> None:
    features, labels = problem(150, 8, classes, seed=3, apart=0.7)
    folds = assign_folds(labels, None, folds=5, seed=0)
    choice = cross_validate_probe(features, labels, classes, c_grid=[0.001, 0.1, 1.0], folds=folds, metric="macro_f1")
    for c, found in choice.scores.items():
        pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-8, max_iter=5000))
        expected = cross_val_predict(pipeline, features.astype(np.float64), labels, cv=PredefinedSplit(folds))
        assert found == pytest.approx(f1_score(labels, expected, average="macro"), abs=1e-9)
    assert choice.scores[choice.c] == max(choice.scores.values())
    assert f1_score(labels, choice.predicted, average="macro") == pytest.approx(choice.scores[choice.c])
    assert choice.rows == 120


def test_equal_scores_take_the_strongest_penalty() -> None:
    features, labels = problem(60, 4, 2, seed=0, apart=50.0)
    folds = assign_folds(labels, None, folds=3, seed=0)
    choice = cross_validate_probe(features, labels, 2, c_grid=[1.0, 0.1, 0.01], folds=folds, metric="accuracy")
    assert set(choice.scores.values()) == {1.0}
    assert choice.c == 0.01


def test_a_share_trains_on_fewer_rows() -> None:
    features, labels = problem(200, 4, 2, seed=0, apart=0.3)
    folds = assign_folds(labels, None, folds=5, seed=0)
    quarter = cross_validate_probe(
        features, labels, 2, c_grid=[0.1], folds=folds, metric="accuracy", share=0.25, seed=1
    )
    assert quarter.rows == 40
    assert len(quarter.predicted) == 200


def test_no_signal_scores_like_chance() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(400, 30)), np.arange(400) % 2
    folds = assign_folds(labels, None, folds=5, seed=0)
    choice = cross_validate_probe(features, labels, 2, c_grid=[0.01, 1.0], folds=folds, metric="accuracy")
    assert 0.4 < choice.scores[choice.c] < 0.6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), classes=st.integers(2, 4), k=st.sampled_from([1, 3, 7]))
def test_neighbours_equal_scikit_learns_cosine_ones(seed: int, classes: int, k: int) -> None:
    features, labels = problem(60, 5, classes, seed)
    queries, _ = problem(20, 5, classes, seed + 1)
    found = predict_neighbours(features, labels, queries, classes, neighbours=[k])[k]
    plain = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(features, labels)
    votes = np.sort(plain.predict_proba(queries), axis=1)
    decided = votes[:, -1] - votes[:, -2] > 1e-9
    assert np.array_equal(found[decided], plain.predict(queries)[decided])


def test_a_tie_goes_to_the_nearer_row() -> None:
    features = np.array([[1.0, 0.05], [1.0, 1.0]])
    query = np.array([[2.0, 0.0]])
    assert predict_neighbours(features, np.array([1, 0]), query, 2, neighbours=[2])[2].tolist() == [1]
    assert predict_neighbours(features, np.array([0, 1]), query, 2, neighbours=[2])[2].tolist() == [0]


def test_more_neighbours_than_rows_are_all_rows() -> None:
    features, labels = problem(7, 3, 2, seed=0)
    assert predict_neighbours(features, labels, features, 2, neighbours=[1, 50])[50].tolist() == [0] * 7


def test_a_zero_vector_is_no_error() -> None:
    features = np.vstack([np.zeros((1, 3)), np.eye(3)])
    assert len(predict_neighbours(features, np.array([0, 0, 1, 1]), features, 2, neighbours=[1])[1]) == 4


def test_neighbours_are_chosen_out_of_fold() -> None:
    features, labels = problem(120, 6, 3, seed=2)
    folds = assign_folds(labels, None, folds=5, seed=0)
    choice = cross_validate_neighbours(features, labels, 3, neighbours=[20, 1, 5], folds=folds, metric="accuracy")
    assert choice.neighbours == max(sorted(choice.scores), key=lambda k: choice.scores[k])
    assert np.mean(choice.predicted == labels) == pytest.approx(choice.scores[choice.neighbours])
    assert choice.scores[1] < 1.0
