"""What must not be forgotten: the source domain's own labels, told by a probe on a model's features.

The probe is fitted anew on each model's features: what is measured is what the features still know, not whether an old
head fits new features.

Source: the linear-probe measure of forgetting, e.g. Davari et al. 2022; method page, gate check 8.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from acclimate.core.folds import assign_folds
from acclimate.core.judge import Judge
from acclimate.core.metrics import FloatArray, IntArray
from acclimate.core.paired import PairedDifference
from acclimate.core.probe import cross_validate_probe, fit_probe
from acclimate.examples import Examples, joined, read_examples
from acclimate.nn.encoder import Encoder
from acclimate.ports import Progress, silent
from acclimate.records import DataCard, Split

FOLDS = 5
C_GRID = (0.001, 0.01, 0.1, 1.0)


@dataclass(frozen=True)
class SourceTask:
    """Labelled rows of the source domain.

    Args:
        train: rows the probe is fitted on.
        held_out: rows it is scored on.
        labels: label names in index order.
        c: the probe's inverse penalty, chosen on the source model's features and the same for all models.
    """

    train: Examples
    held_out: Examples
    labels: list[str]
    c: float

    def predictions(self, encoder: Encoder, *, progress: Progress = silent) -> IntArray:
        """Classes of the held-out rows by a probe on an encoder's features, int64 ``[n]``."""
        return self.told_by(encoder.embed(joined(self.train.inputs, self.held_out.inputs), progress=progress))

    def told_by(self, features: FloatArray) -> IntArray:
        """The same from features of the training rows and then the held-out ones, ``[rows, d]``."""
        known, rows = _labels(self.train), len(self.train)
        return fit_probe(features[:rows], known, len(self.labels), c=self.c).predict(features[rows:])


@dataclass(frozen=True)
class SourceKnowledge:
    """What the source model's features know of its own domain, and what others still know.

    Args:
        task: what is asked.
        judge: what scores and compares the answers.
        before: the source model's own answers, int64 ``[n]``.
    """

    task: SourceTask
    judge: Judge
    before: IntArray

    @classmethod
    def measured(
        cls,
        data: Path,
        encoder: Encoder,
        held_out: Split,
        rows: tuple[int, int],
        *,
        metric: str,
        bootstraps: int,
        seed: int,
    ) -> Self | None:
        """Measure a source model; None where there is no labelled reference, see :func:`source_task`."""
        found = source_task(data, encoder, held_out, rows, metric=metric, seed=seed)
        if found is None:
            return None
        task, features = found
        truth, groups = _labels(task.held_out), task.held_out.groups
        return cls(task, Judge(metric, truth, len(task.labels), bootstraps, seed, groups), task.told_by(features))

    @property
    def rows(self) -> int:
        """Held-out rows that are scored."""
        return len(self.task.held_out)

    def answers(self, encoder: Encoder) -> IntArray:
        """What a probe on an encoder's features answers, int64 ``[n]``."""
        return self.task.predictions(encoder)

    def score(self, answers: IntArray | None = None) -> float:
        """The score of answers; without any that of the source model's own."""
        return self.judge.point(self.before if answers is None else answers)

    def change(self, answers: IntArray) -> PairedDifference:
        """Score of answers - that of the source model's own, on the same rows."""
        return self.judge.difference(answers, self.before)


def source_task(
    data: Path, encoder: Encoder, held_out: Split, rows: tuple[int, int], *, metric: str, seed: int
) -> tuple[SourceTask, FloatArray] | None:
    """The source domain's task as far as the ingested reference holds one.

    Args:
        data: ingest's folder.
        encoder: the source model.
        held_out: the split that is scored; the probe is fitted on ``train``.
        rows: most rows to fit on, and to score.
        metric: the goal's metric, by which the probe's penalty is chosen.
        seed: of samples and folds.

    Returns:
        The task, and the encoder's features of its training rows and then the held-out ones, ``[rows, d]``; None
        where there is no labelled reference.
    """
    card = DataCard.read(data).reference
    if card is None or not card.labels or len(card.labels) < 2:
        return None
    train = _some(read_examples(data, "reference", ("train",), card.labels), rows[0], seed)
    scored = _some(read_examples(data, "reference", (held_out,), card.labels), rows[1], seed)
    known = _labels(train)
    if len(np.unique(known)) < 2 or not len(scored):
        return None
    folds = assign_folds(known, train.groups, folds=FOLDS, seed=seed)
    features = encoder.embed(joined(train.inputs, scored.inputs))
    choice = cross_validate_probe(
        features[: len(train)], known, len(card.labels), c_grid=C_GRID, folds=folds, metric=metric
    )
    return SourceTask(train, scored, card.labels, choice.c), features


def _labels(rows: Examples) -> IntArray:
    if rows.labels is None:
        raise ValueError("rows without labels")
    return np.asarray(rows.labels, dtype=np.int64)


def _some(rows: Examples, most: int, seed: int) -> Examples:
    """A random sample of rows."""
    if len(rows) <= most:
        return rows
    chosen = sorted(np.random.default_rng(seed).permutation(len(rows))[:most].tolist())
    return rows.some(chosen)
