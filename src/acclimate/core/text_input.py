"""The input side of a text gap: what a tokenizer makes of each domain, and which words they use."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acclimate.core.sample_plan import Pair


@dataclass(frozen=True)
class TokenStatistics:
    """How a tokenizer sees texts.

    Args:
        tokens_per_word: tokens a whitespace-separated word; high means a vocabulary that doesn't fit.
        unknown_rate: share of tokens the tokenizer doesn't know, 0..1.
        words_mean: words a text.
        tokens_median: tokens a text, special tokens not counted.
        tokens_p95: its 95 % quantile.
        cut_rate: share of texts longer than the model reads, 0..1.
    """

    tokens_per_word: float
    unknown_rate: float
    words_mean: float
    tokens_median: float
    tokens_p95: float
    cut_rate: float


def token_statistics(
    token_ids: Sequence[Sequence[int]], words: Sequence[int], *, unknown_id: int | None, longest: int
) -> TokenStatistics:
    """Summarise tokenised texts.

    Args:
        token_ids: tokens of each text, uncut, without special tokens; at least one text.
        words: number of whitespace-separated words of each text.
        unknown_id: the token for what is not in the vocabulary; None where the tokenizer has none.
        longest: tokens the model reads of a text, special tokens not counted.
    """
    lengths = np.array([len(ids) for ids in token_ids])
    unknown = 0 if unknown_id is None else sum(list(ids).count(unknown_id) for ids in token_ids)
    return TokenStatistics(
        tokens_per_word=float(lengths.sum() / max(1, sum(words))),
        unknown_rate=float(unknown / max(1, lengths.sum())),
        words_mean=float(np.mean(words)),
        tokens_median=float(np.median(lengths)),
        tokens_p95=float(np.quantile(lengths, 0.95)),
        cut_rate=float(np.mean(lengths > longest)),
    )


def jensen_shannon(first: np.ndarray, second: np.ndarray) -> float:
    """Jensen-Shannon divergence between two distributions given as counts.

    Args:
        first: counts [v], not all 0.
        second: counts [v], not all 0.

    Returns:
        0 (the same) to 1 (nothing in common), in bits. Two samples of one distribution are not at 0.

    Source: Lin 1991, eq. 4.1; checked against scipy's ``jensenshannon(base=2) ** 2``.
    """
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2
    return max(0.0, (_relative_entropy(p, middle) + _relative_entropy(q, middle)) / 2)


def vocabulary_divergence(token_ids: Sequence[Sequence[int]], pairs: Sequence[Pair]) -> float:
    """Mean Jensen-Shannon divergence between the token counts of two samples of texts.

    Args:
        token_ids: tokens of each text.
        pairs: numbers of the texts of two samples each, both with at least one token.
    """
    size = 1 + max(max(ids, default=0) for ids in token_ids)
    rows = [np.asarray(ids, dtype=np.int64) for ids in token_ids]
    counts = [[_counts(rows, side, size) for side in pair] for pair in pairs]
    return float(np.mean([jensen_shannon(first, second) for first, second in counts]))


def _counts(rows: list[np.ndarray], chosen: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(np.concatenate([rows[i] for i in chosen]), minlength=size)


def _relative_entropy(p: np.ndarray, q: np.ndarray) -> float:
    seen = p > 0
    return float((p[seen] * np.log2(p[seen] / q[seen])).sum())
