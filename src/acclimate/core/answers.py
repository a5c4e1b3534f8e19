"""How well written texts fit the answers that were wanted, row by row."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from acclimate.core.metrics import FloatArray

_WORD = re.compile(r"[^\W_]+")


def exact_match(written: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """Whether a text is the answer, but for Unicode's composition and for blanks; case counts.

    Args:
        written: texts a model wrote, ``[n]``.
        answers: the answers, ``[n]``.

    Returns:
        1 (the same) or 0, ``[n]``.

    Raises:
        ValueError: unequal lengths.

    Source:
        Rajpurkar et al. 2016, without their removal of articles, punctuation and case.
    """
    pairs = zip(written, answers, strict=True)
    return np.array([_plain(text) == _plain(answer) for text, answer in pairs], dtype=np.float64)


def rouge_l(written: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """ROUGE-L: F1 of the longest common subsequence of words.

    Words are runs of letters and digits in lower case. A script that puts no blanks between words gives long ones.

    Args:
        written: texts a model wrote, ``[n]``.
        answers: the answers, ``[n]``.

    Returns:
        0 (no word in common) .. 1 (the same words in the same order, or no words on either side), ``[n]``.

    Raises:
        ValueError: unequal lengths.

    Source:
        Lin 2004, section 3.1, with equal weights of precision and recall. Checked against an exhaustive search.
    """
    pairs = zip(written, answers, strict=True)
    return np.array([_overlap(_words(text), _words(answer)) for text, answer in pairs], dtype=np.float64)


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).split())


def _words(text: str) -> list[str]:
    return _WORD.findall(unicodedata.normalize("NFC", text).lower())


def _overlap(written: Sequence[str], answer: Sequence[str]) -> float:
    # 2PR / (P + R) with P = common / len(written), R = common / len(answer)
    total = len(written) + len(answer)
    return 2.0 * _common_subsequence(written, answer) / total if total else 1.0


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence; bit i of an integer stands for place i of ``first``.

    Source: Hyyrö 2004, "Bit-parallel LCS-length computation revisited", figure 2.
    """
    places: defaultdict[str, int] = defaultdict(int)
    for i, word in enumerate(first):
        places[word] |= 1 << i
    everywhere = (1 << len(first)) - 1
    unmatched = everywhere
    for word in second:
        matches = unmatched & places[word]
        unmatched = ((unmatched + matches) | (unmatched - matches)) & everywhere
    return len(first) - unmatched.bit_count()
