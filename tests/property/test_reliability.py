import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from acclimate.core.reliability import brier, ece_debiased, fit_temperature, nll, reliability_bins, softmax


@st.composite
def logits_and_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, classes = draw(st.integers(2, 30)), draw(st.integers(2, 5))
    logits = draw(arrays(np.float64, (rows, classes), elements=st.floats(-50, 50)))
    return logits, draw(arrays(np.int64, rows, elements=st.integers(0, classes - 1)))


@given(logits_and_labels())
@settings(deadline=None)
def test_temperature_never_worsens_the_likelihood_and_keeps_the_predictions(rows: tuple) -> None:
    logits, labels = rows
    temperature = fit_temperature(logits, labels)
    assert 0.05 <= temperature <= 20
    before, after = softmax(logits), softmax(logits / temperature)
    assert nll(after, labels) <= nll(before, labels) + 1e-6


@given(logits_and_labels(), st.integers(1, 20))
@settings(deadline=None)
def test_measures_lie_in_their_ranges(rows: tuple, bins: int) -> None:
    logits, labels = rows
    prob = softmax(logits)
    assert np.allclose(prob.sum(axis=1), 1)
    assert 0 <= ece_debiased(prob, labels, bins) <= 1
    assert 0 <= brier(prob, labels) <= 2
    assert 0 <= nll(prob, labels) < 28
    found = reliability_bins(prob, labels, bins)
    assert sum(b.rows for b in found) == len(labels)
    assert min(b.rows for b in found) >= 2
    assert all(0 <= b.accuracy <= 1 and b.confidence <= 1 + 1e-12 for b in found)
