"""What anything that writes must beat: answers and tokens that need no pretrained model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import numpy as np

from acclimate.core.controls import commonest, nearest_answers
from acclimate.core.metrics import FloatArray
from acclimate.nn.causal.judged import OF_TEXTS, scores_of_texts
from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.job import Pairs


def trivial_scores(train: Pairs, asked: Pairs, metric: str, reader: AnswerReader) -> dict[str, FloatArray]:
    """Scores of the controls that need no pretrained model, by name.

    Of answers: the commonest one, and the one to the most similar prompt. Of plain text, and of answers that are scored
    token by token: the commonest token at every place, and of answers also that of the similar prompt, place by place.

    Args:
        train: what they are fitted on.
        asked: n rows to answer, none of them in ``train``.
        metric: the goal's.
        reader: tells tokens.

    Returns:
        Scores of each, ``[n]``.
    """
    texts = {}
    if train.prompts is not None and asked.prompts is not None:
        texts["nearest"] = nearest_answers(train.prompts, train.answers, asked.prompts)
    if metric in OF_TEXTS:
        texts["majority"] = [commonest(train.answers)] * len(asked)
        return {name: scores_of_texts(metric, written, asked.answers) for name, written in texts.items()}
    wanted = _tokens(reader, asked)
    # what another prompt was answered may be longer than a row that is read
    found = {name: _places_right(reader.answers(written), wanted) for name, written in texts.items()}
    counts = Counter(token for row in _tokens(reader, train) for token in row)
    most = min(counts, key=lambda token: (-counts[token], token))
    return {**found, "majority": _places_right([[most] * len(row) for row in wanted], wanted)}


def _tokens(reader: AnswerReader, pairs: Pairs) -> list[list[int]]:
    rows = reader.rows(pairs)
    return [ids[start:].tolist() for ids, start in zip(rows.ids, rows.starts, strict=True)]


def _places_right(written: Iterable[list[int]], wanted: list[list[int]]) -> FloatArray:
    """Share of the wanted tokens that stand at the same place."""
    shares = [
        sum(a == b for a, b in zip(row, right, strict=False)) / len(right)
        for row, right in zip(written, wanted, strict=True)
    ]
    return np.asarray(shares, dtype=np.float64)
