"""The commonest confusions, as a table: it stays readable where a matrix does not."""

from __future__ import annotations

from dataclasses import dataclass

from acclimate.records import Evaluation


@dataclass(frozen=True)
class Confusion:
    """One true label taken for another.

    Args:
        truth: the true label.
        predicted: what it was taken for.
        rows: how often.
        share: of the true label's test rows, 0..1.
    """

    truth: str
    predicted: str
    rows: int
    share: float


def confusions(evaluation: Evaluation, most: int = 10) -> list[Confusion]:
    """The commonest confusions first, ties in the order of the labels; empty without mistakes."""
    labels, counts = evaluation.labels, evaluation.confusion
    found = [
        Confusion(labels[i], labels[j], rows, rows / sum(line))
        for i, line in enumerate(counts)
        for j, rows in enumerate(line)
        if i != j and rows > 0
    ]
    return sorted(found, key=lambda one: -one.rows)[:most]
