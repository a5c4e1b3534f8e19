"""What a language model still knows of its source's domain: how well it foretells that domain's own texts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from acclimate.core.judge import MeanJudge
from acclimate.core.metrics import FloatArray
from acclimate.examples import read_examples
from acclimate.nn.causal.judged import pairs_of
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.nn.job import Pairs
from acclimate.ports import Progress, silent
from acclimate.records import DataCard, Interval, Split

MOST_ROWS = 300


@dataclass(frozen=True)
class SourceText:
    """Held-out rows of the source's domain, and how many of their tokens the source model would write.

    Args:
        pairs: the rows.
        judge: what averages and compares rows.
        max_length: tokens after which plain texts are cut, the same before and after.
        before: the source model's share of each row's tokens, ``[n]``.
    """

    pairs: Pairs
    judge: MeanJudge
    max_length: int
    before: FloatArray

    @classmethod
    def measured(
        cls,
        data: Path,
        source: Writer,
        held_out: Split,
        *,
        max_length: int,
        bootstraps: int,
        seed: int,
        progress: Progress = silent,
    ) -> Self | None:
        """Measure the source model; None where there is no reference data.

        Args:
            data: ingest's folder.
            source: the source model, however it is asked.
            held_out: the split that is scored.
            max_length: tokens of a row that are read.
            bootstraps: samples of each interval.
            seed: of the sample and the bootstrap.
            progress: told how far it is.
        """
        if DataCard.read(data).reference is None:
            return None
        rows = read_examples(data, "reference", (held_out,), None)
        if not len(rows):
            return None
        if len(rows) > MOST_ROWS:
            rows = rows.some(sorted(np.random.default_rng(seed).permutation(len(rows))[:MOST_ROWS].tolist()))
        pairs = pairs_of(rows)
        before = _asked_plainly(source, pairs, max_length).score(pairs, progress=progress).token_accuracy
        return cls(pairs, MeanJudge(bootstraps, seed, rows.groups), max_length, before)

    def score(self) -> float:
        """Of the source model."""
        return self.judge.point(self.before)

    def change(self, adapted: Writer, *, progress: Progress = silent) -> tuple[Interval, float]:
        """Share of tokens after - before adapting, and its one-sided lower bound."""
        asked = _asked_plainly(adapted, self.pairs, self.max_length)
        after = asked.score(self.pairs, progress=progress).token_accuracy
        found = self.judge.difference(after, self.before)
        return Interval(point=found.point, low=found.low, high=found.high), found.low_one_sided


def _asked_plainly(writer: Writer, pairs: Pairs, max_length: int) -> Writer:
    """The same model, asked without examples, as the rows need it."""
    return writer.asked(Prompting(pairs.prompts is not None, (), max_length, writer.prompting.max_new_tokens))
