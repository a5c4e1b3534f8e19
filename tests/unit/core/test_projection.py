import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from acclimate.core.projection import neighbour_distance, principal_axes

ROWS = np.random.default_rng(0).normal(size=(60, 6)) * [5, 3, 2, 1, 0.5, 0.1] + 7


def test_axes_equal_sklearns_pca() -> None:
    found, other = principal_axes(ROWS, 3), PCA(3, svd_solver="full").fit(ROWS)
    np.testing.assert_allclose(np.abs(found.axes.T), np.abs(other.components_), atol=1e-9)
    np.testing.assert_allclose(np.abs(found.project(ROWS)), np.abs(other.transform(ROWS)), atol=1e-9)
    np.testing.assert_allclose(found.spread**2, other.explained_variance_, rtol=1e-9)
    assert (found.axes[np.abs(found.axes).argmax(axis=0), range(3)] > 0).all()


def test_neighbour_distance_equals_sklearn() -> None:
    rows, others = ROWS[:20], ROWS[20:]
    distances, _ = NearestNeighbors(n_neighbors=7, metric="cosine").fit(others).kneighbors(rows)
    np.testing.assert_allclose(neighbour_distance(rows, others, 7), distances.mean(axis=1), atol=1e-9)


@pytest.mark.parametrize(("row", "expected"), [([2.0, 0.0], 0.0), ([-1.0, 0.0], 2.0), ([0.0, 3.0], 1.0), ([0, 0], 1.0)])
def test_neighbour_distance_in_closed_form(row: list[float], expected: float) -> None:
    # fewer neighbours than asked for
    assert neighbour_distance(np.array([row]), np.array([[1.0, 0.0]]), 10)[0] == pytest.approx(expected)
