"""The gap between two domains as a language model feels it: how much less probable it finds the target's texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from acclimate.config_generation import GenerationSpec
from acclimate.examples import Table, read_examples
from acclimate.nn.causal.judged import pairs_of
from acclimate.nn.causal.model import load_lm
from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.causal.scoring import AnswerScores
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.ports import Progress, silent
from acclimate.records import SPLITS, DataCard, Interval, PerplexityGap, SourceCard, Split

MOST_ROWS = 300
BOOTSTRAPS = 2000


def perplexity_gap(
    data: Path,
    source: Path,
    source_card: SourceCard,
    *,
    generation: GenerationSpec,
    precision: str,
    seed: int,
    progress: Progress = silent,
) -> PerplexityGap:
    """Perplexity of the answers, or of plain texts, under the source model as it is.

    The interval of the ratio resamples the rows of both sides.

    Args:
        data: ingest's folder; of the target train is read.
        source: folder of the source model.
        source_card: what it is.
        generation: how texts are read.
        precision: ``fp32`` or ``bf16``.
        seed: of samples and bootstrap.
        progress: told how far it is.
    """
    lm = load_lm(source)
    tokenizer = AnswerReader.load(source, lm.config, generation.max_length).tokenizer
    asked = Prompting(True, (), generation.max_length, generation.max_new_tokens)
    writer = Writer(lm, tokenizer, asked, precision=precision, strategy="frozen", source=source_card)
    target = _scores(writer, data, "target", ("train",), seed, progress)
    if DataCard.read(data).reference is None:
        return PerplexityGap(target=target.perplexity, reference=None, ratio=None)
    reference = _scores(writer, data, "reference", SPLITS, seed, progress)
    draws = np.random.default_rng(seed)
    ratios = np.exp(_mean_losses(target, draws) - _mean_losses(reference, draws))
    low, high = np.quantile(ratios, [0.025, 0.975])
    point = target.perplexity / reference.perplexity
    return PerplexityGap(
        target=target.perplexity,
        reference=reference.perplexity,
        ratio=Interval(point=point, low=float(min(low, point)), high=float(max(high, point))),
    )


def _scores(
    writer: Writer, data: Path, table: Table, splits: tuple[Split, ...], seed: int, progress: Progress
) -> AnswerScores:
    rows = read_examples(data, table, splits, None)
    if len(rows) > MOST_ROWS:
        rows = rows.some(sorted(np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS].tolist()))
    return writer.score(pairs_of(rows), progress=progress)


def _mean_losses(scores: AnswerScores, draws: np.random.Generator) -> np.ndarray:
    """Mean loss of a token in bootstrap samples of the rows, ``[BOOTSTRAPS]``."""
    rows = draws.integers(len(scores.table), size=(BOOTSTRAPS, len(scores.table)))
    sums = scores.table[:, :2].astype(np.float64)[rows].sum(axis=1)
    return np.asarray(sums[:, 0] / sums[:, 1])
