import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from acclimate.core.text_input import jensen_shannon, token_statistics, vocabulary_divergence


def test_statistics_by_hand() -> None:
    found = token_statistics([[5, 1, 9], [7], [1, 1, 2, 3, 4]], [2, 1, 3], unknown_id=1, longest=4)
    assert found.tokens_per_word == pytest.approx(9 / 6)
    assert found.unknown_rate == pytest.approx(3 / 9)
    assert found.words_mean == 2.0
    assert found.tokens_median == 3.0
    assert found.cut_rate == pytest.approx(1 / 3)
    assert token_statistics([[1]], [1], unknown_id=None, longest=4).unknown_rate == 0.0


def test_texts_without_words_give_finite_numbers() -> None:
    found = token_statistics([[], []], [0, 0], unknown_id=1, longest=4)
    assert (found.tokens_per_word, found.unknown_rate, found.cut_rate) == (0.0, 0.0, 0.0)


def test_jensen_shannon_equals_scipy() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        p, q = rng.integers(0, 4, size=30), rng.integers(0, 4, size=30)
        assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)
    assert jensen_shannon(np.array([3, 0]), np.array([0, 9])) == 1.0
    assert jensen_shannon(np.array([2, 4]), np.array([1, 2])) == 0.0


def test_vocabulary_divergence_is_the_mean_over_pairs() -> None:
    tokens = [[0, 0, 1], [1, 2], [3], [3, 3]]
    same, apart = (np.array([0]), np.array([0])), (np.array([0, 1]), np.array([2, 3]))
    assert vocabulary_divergence(tokens, [same]) == 0.0
    assert vocabulary_divergence(tokens, [same, apart]) == 0.5
