"""Everything that is predicted out of fold on the training rows, scored in one way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from acclimate.core.controls import majority_predict
from acclimate.core.judge import Judge
from acclimate.core.metrics import BoolArray, IntArray
from acclimate.core.paired import Bounds, PairedDifference
from acclimate.core.probe import (
    Features,
    NeighboursChoice,
    ProbeChoice,
    cross_validate_neighbours,
    cross_validate_probe,
)


@dataclass(frozen=True)
class OutOfFold:
    """The rows, their folds, and how predictions of them are scored.

    Args:
        labels: class indices, ``[n]``.
        groups: group of each row, drawn whole by the bootstrap; or None.
        folds: fold of each row, see :func:`acclimate.core.folds.assign_folds`.
        n_classes: number of classes C.
        metric: see :func:`acclimate.core.metrics.score`.
        bootstraps: bootstrap samples of each interval.
        seed: seed of bootstraps and of the parts for learning curves.
        scored: rows that are scored, ``[n]``; None: all. All are fitted on and predicted.
    """

    labels: IntArray
    groups: Sequence[str] | None
    folds: IntArray
    n_classes: int
    metric: str
    bootstraps: int
    seed: int
    scored: BoolArray | None = None

    @property
    def _judge(self) -> Judge:
        groups = self.groups
        if groups is not None and self.scored is not None:
            groups = [group for group, scored in zip(groups, self.scored, strict=True) if scored]
        return Judge(self.metric, self.of_scored(self.labels), self.n_classes, self.bootstraps, self.seed, groups)

    def of_scored(self, values: IntArray) -> IntArray:
        """Of n values, one a row, those of the rows that are scored."""
        return values if self.scored is None else values[self.scored]

    def bounds(self, predicted: IntArray) -> Bounds:
        """Score of out-of-fold predictions, with a 95 % interval over rows or groups."""
        return self._judge.score(self.of_scored(predicted))

    def difference(self, a: IntArray, b: IntArray) -> PairedDifference:
        """Score of predictions a - score of predictions b, paired, with a 95 % interval."""
        return self._judge.difference(self.of_scored(a), self.of_scored(b))

    def probe(self, features: Features, c_grid: Sequence[float], share: float = 1.0) -> ProbeChoice:
        """Probe on features ``[n, d]``, trained on ``share`` of each fold's training rows."""
        return cross_validate_probe(
            features,
            self.labels,
            self.n_classes,
            c_grid=c_grid,
            folds=self.folds,
            metric=self.metric,
            share=share,
            seed=self.seed,
            scored=self.scored,
        )

    def neighbours(self, features: Features, neighbours: Sequence[int]) -> NeighboursChoice:
        """Nearest neighbours on features ``[n, d]``."""
        return cross_validate_neighbours(
            features,
            self.labels,
            self.n_classes,
            neighbours=neighbours,
            folds=self.folds,
            metric=self.metric,
            scored=self.scored,
        )

    def predictions(self, predict: Callable[[IntArray, IntArray], IntArray]) -> IntArray:
        """Out-of-fold predictions, int64 ``[n]``.

        Args:
            predict: ``predict(train, held_out)`` fits on the rows numbered ``train`` and gives the classes of those
                numbered ``held_out``.
        """
        predicted = np.empty(len(self.labels), dtype=np.int64)
        for train, held_out in self._parts():
            predicted[held_out] = predict(train, held_out)
        return predicted

    def majority(self) -> IntArray:
        """The majority class of each fold's training rows, int64 ``[n]``."""
        return self.predictions(lambda train, held_out: majority_predict(self.labels[train], len(held_out)))

    def _parts(self) -> list[tuple[IntArray, IntArray]]:
        numbers = range(int(self.folds.max()) + 1)
        return [(np.flatnonzero(self.folds != fold), np.flatnonzero(self.folds == fold)) for fold in numbers]
