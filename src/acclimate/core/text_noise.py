"""Texts as people also write them: with slips of the hand, in capitals, cut off."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

# of the words long enough to stay readable
TYPO_SHARE = 0.2
SHORTEST_TYPO = 4


def with_typos(text: str, rng: np.random.Generator) -> str:
    """One slip in every fifth longer word: two letters swapped, one left out or one doubled, never the first.

    Args:
        text: any text; what stands between words stays.
        rng: decides which words and which slips.
    """
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) >= SHORTEST_TYPO]
    for i in long:
        if rng.random() < TYPO_SHARE:
            words[i] = _slip(words[i], rng)
    return " ".join(words)


def _slip(word: str, rng: np.random.Generator) -> str:
    at = int(rng.integers(1, len(word) - 1))
    before, here, after = word[:at], word[at], word[at + 1 :]
    slips = (before + after[0] + here + after[1:], before + after, before + here + here + after)
    return slips[int(rng.integers(len(slips)))]


def in_capitals(text: str, rng: np.random.Generator) -> str:  # noqa: ARG001 - nothing is drawn
    """All letters capital."""
    return text.upper()


def cut_off(text: str, rng: np.random.Generator) -> str:  # noqa: ARG001
    """The first half of the words, at least one."""
    words = text.split()
    return " ".join(words[: max(1, len(words) // 2)])


#: By the name that the report shows.
TEXT_NOISE: Mapping[str, Callable[[str, np.random.Generator], str]] = {
    "typos": with_typos,
    "capitals": in_capitals,
    "cut in half": cut_off,
}


def noisy_texts(texts: Sequence[str], name: str, seed: int) -> list[str]:
    """Each text changed in one way; the same texts in the same order and seed give the same.

    Args:
        texts: n texts.
        name: in :data:`TEXT_NOISE`.
        seed: of what is drawn.
    """
    rng, change = np.random.default_rng(seed), TEXT_NOISE[name]
    return [change(text, rng) for text in texts]
