from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.core.answers import exact_match, rouge_l

WORDS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=8)


def longest_by_search(first: list[str], second: list[str]) -> int:
    """Length of the longest common subsequence by trying all, longest first."""
    for length in range(min(len(first), len(second)), 0, -1):
        if set(combinations(first, length)) & set(combinations(second, length)):
            return length
    return 0


@given(WORDS, WORDS)
def test_rouge_l_is_f1_of_the_longest_common_subsequence(written: list[str], answer: list[str]) -> None:
    common = longest_by_search(written, answer)
    expected = 1.0 if not written and not answer else 0.0
    if common:
        precision, recall = common / len(written), common / len(answer)
        expected = 2 * precision * recall / (precision + recall)
    assert rouge_l([" ".join(written)], [" ".join(answer)]) == pytest.approx([expected])


@pytest.mark.parametrize(
    ("written", "answer", "expected"),
    [
        ("police kill the gunman", "police killed the gunman", 0.75),  # Lin 2004: 3 of 4 on both sides
        ("the gunman kill police", "police killed the gunman", 0.5),  # Lin 2004
        ("The capital is PARIS.", "Paris", 0.4),  # 1 of 4, 1 of 1
        ("face-smiling", "face smiling", 1.0),
        ("Cafe\u0301", "CAF\u00c9", 1.0),
        ("", "", 1.0),
        ("!?", "", 1.0),
        ("", "Paris", 0.0),
        ("Rome", "Paris", 0.0),
    ],
)
def test_rouge_l_of_worked_examples(written: str, answer: str, expected: float) -> None:
    assert rouge_l([written], [answer]) == pytest.approx([expected])


def test_rouge_l_of_long_texts_sees_every_word() -> None:
    words = [f"w{i}" for i in range(3000)]
    assert rouge_l([" ".join(words)], [" ".join(words[::2])]) == pytest.approx([2 * 1500 / 4500])


def test_exact_match_ignores_blanks_and_composition_but_not_case() -> None:
    written = [" Smileys  &\nEmotion\t", "Cafe\u0301", "paris", "Paris.", ""]
    answers = ["Smileys & Emotion", "Caf\u00e9", "Paris", "Paris", " "]
    assert exact_match(written, answers).tolist() == [1.0, 1.0, 0.0, 0.0, 1.0]


@pytest.mark.parametrize("measure", [exact_match, rouge_l])
def test_scores_are_one_a_row_and_unequal_lengths_are_refused(measure) -> None:  # type: ignore[no-untyped-def]
    assert measure([], []).shape == (0,)
    assert measure(["a", "b"], ["a", "c"]).dtype == np.float64
    with pytest.raises(ValueError, match="zip"):
        measure(["a"], ["a", "b"])
