"""A model's answers on given rows, scored by the goal's metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from acclimate.core.answers import exact_match, rouge_l
from acclimate.core.metrics import FloatArray
from acclimate.examples import Examples
from acclimate.nn.causal.scoring import AnswerScores
from acclimate.nn.causal.writer import Writer
from acclimate.nn.job import Pairs
from acclimate.ports import Progress, silent

#: Metrics of the text that is written; ``token_accuracy`` needs none.
OF_TEXTS = {"exact_match": exact_match, "rouge_l": rouge_l}


@dataclass(frozen=True)
class Judged:
    """What a model makes of rows.

    Args:
        scores: by the metric, 0..1, ``[n]``.
        written: what it wrote; None where the metric needs none.
        likelihood: how probable it finds the right answers.
    """

    scores: FloatArray
    written: list[str] | None
    likelihood: AnswerScores


def pairs_of(rows: Examples) -> Pairs:
    """Prompts and answers of ingested rows; plain texts where there are no answers."""
    return Pairs(None, rows.texts) if rows.answers is None else Pairs(rows.texts, rows.answers)


def judged(writer: Writer, pairs: Pairs, metric: str, *, progress: Progress = silent) -> Judged:
    """Ask a model, score what it says, and how probable it finds what was wanted.

    Raises:
        DataError: E-DATA-070, a row has more tokens than are read.
    """
    likelihood = writer.score(pairs, progress=progress)
    written = _written(writer, pairs, metric, progress)
    if written is None:
        return Judged(likelihood.token_accuracy, None, likelihood)
    return Judged(scores_of_texts(metric, written, pairs.answers), written, likelihood)


def scores(writer: Writer, pairs: Pairs, metric: str, *, progress: Progress = silent) -> FloatArray:
    """The scores of :func:`judged` alone, ``[n]``, at half its price."""
    written = _written(writer, pairs, metric, progress)
    if written is None:
        return writer.score(pairs, progress=progress).token_accuracy
    return scores_of_texts(metric, written, pairs.answers)


def _written(writer: Writer, pairs: Pairs, metric: str, progress: Progress) -> list[str] | None:
    """What the model writes; None where the metric needs no text."""
    if metric not in OF_TEXTS or pairs.prompts is None:
        return None
    return writer.predict(list(pairs.prompts), progress=progress)


def scores_of_texts(metric: str, written: Sequence[str], answers: Sequence[str]) -> FloatArray:
    """Scores of texts, however they came about, ``[n]``."""
    return np.asarray(OF_TEXTS[metric](written, answers), dtype=np.float64)
