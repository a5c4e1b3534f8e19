import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from acclimate.core.metrics import METRICS, confusion, score

METRIC = st.sampled_from(sorted(METRICS))


@st.composite
def predictions(draw: st.DrawFn) -> tuple[int, np.ndarray, np.ndarray]:
    classes = draw(st.integers(2, 6))
    pairs = draw(st.lists(st.tuples(*[st.integers(0, classes - 1)] * 2), min_size=1, max_size=40))
    truth, predicted = np.array(pairs).T
    return classes, truth, predicted


@given(METRIC, predictions())
def test_scores_lie_in_zero_to_one_and_one_means_all_right(metric: str, rows: tuple) -> None:
    classes, truth, predicted = rows
    found = score(metric, truth, predicted, classes)
    assert 0 <= found <= 1
    assert (found == 1) == bool((truth == predicted).all())


@given(METRIC, predictions(), st.randoms(use_true_random=False))
def test_order_of_rows_and_names_of_classes_do_not_matter(metric: str, rows: tuple, random: object) -> None:
    classes, truth, predicted = rows
    order = np.random.default_rng(0).permutation(len(truth))
    renamed = list(range(classes))
    random.shuffle(renamed)
    other = np.array(renamed)
    assert np.isclose(
        score(metric, truth, predicted, classes), score(metric, other[truth[order]], other[predicted[order]], classes)
    )


@given(predictions())
def test_confusion_keeps_every_row(rows: tuple) -> None:
    classes, truth, predicted = rows
    counts = confusion(truth, predicted, classes)
    np.testing.assert_array_equal(counts.sum(axis=1), np.bincount(truth, minlength=classes))
    np.testing.assert_array_equal(counts.sum(axis=0), np.bincount(predicted, minlength=classes))
