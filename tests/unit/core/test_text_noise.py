"""Changed texts: what a change may and may not do."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.core.text_noise import TEXT_NOISE, TYPO_SHARE, noisy_texts, with_typos

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@pytest.mark.parametrize("name", TEXT_NOISE)
@given(texts=st.lists(TEXTS, max_size=5), seed=st.integers(0, 2**31))
def test_any_texts_are_changed_the_same_way_each_time(name: str, texts: list[str], seed: int) -> None:
    found = noisy_texts(texts, name, seed)
    assert found == noisy_texts(texts, name, seed)
    assert len(found) == len(texts)


@given(text=TEXTS, seed=st.integers(0, 2**31))
def test_a_typo_changes_one_letter_of_longer_words_and_never_the_first(text: str, seed: int) -> None:
    found = with_typos(text, np.random.default_rng(seed)).split(" ")
    words = text.split(" ")
    assert len(found) == len(words)
    for word, slipped in zip(words, found, strict=True):
        if len(word) < 4:
            assert slipped == word
            continue
        assert slipped[0] == word[0]
        more, less = Counter(slipped) - Counter(word), Counter(word) - Counter(slipped)
        assert more.total() + less.total() <= 1, "swapped, left out or doubled"


def test_about_a_fifth_of_the_longer_words_slip() -> None:
    text = " ".join(f"word{i}end" for i in range(5000))
    found = with_typos(text, np.random.default_rng(0)).split(" ")
    share = np.mean([a != b for a, b in zip(found, text.split(" "), strict=True)])
    # a doubled or swapped letter may be the same again
    assert share == pytest.approx(TYPO_SHARE, abs=0.03)


def test_capitals_and_halves() -> None:
    assert noisy_texts(["Straße 5b"], "capitals", 0) == ["STRASSE 5B"]
    assert noisy_texts(["one two three", "one", ""], "cut in half", 0) == ["one", "one", ""]
