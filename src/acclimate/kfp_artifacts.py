"""Shows a finished stage's numbers on KFP's own pages.

Works on KFP's artifact objects without importing KFP: a step is given them by its component.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from acclimate.records import BaselineReport, Evaluation, FinetuneReport, GapReport, Interval

MOST_CLASSES = 100

Number = tuple[str, float | None]


class Metrics(Protocol):
    """KFP's ``Metrics`` artifact."""

    metadata: dict[str, Any]

    def log_metric(self, metric: str, value: float) -> None:
        """Show one number."""


class ClassificationMetrics(Protocol):
    """KFP's ``ClassificationMetrics`` artifact."""

    metadata: dict[str, Any]

    def log_confusion_matrix(self, categories: list[str], matrix: list[list[int]]) -> None:
        """Show a confusion matrix: rows are the truth."""


def show(
    stage: str, folder: Path, *, metrics: Metrics | None = None, confusion: ClassificationMetrics | None = None
) -> None:
    """Fill a step's artifacts from the records of its stage.

    Args:
        stage: gap, baseline, finetune or evaluate.
        folder: the finished stage's folder.
        metrics: takes its main numbers; what is not known or not finite is left out, JSON could not carry it.
        confusion: takes the confusion matrix on the test split; above 100 classes, or without any, a note instead.
    """
    if metrics is not None:
        for name, value in _NUMBERS[stage](folder):
            if value is not None and math.isfinite(value):
                metrics.log_metric(name, float(value))
    if confusion is not None:
        _show_confusion(Evaluation.read(folder), confusion)


def _show_confusion(evaluation: Evaluation, confusion: ClassificationMetrics) -> None:
    if not evaluation.labels:
        confusion.metadata["note"] = "texts are written, there are no classes: the hardest rows are in the report"
        return
    if len(evaluation.labels) > MOST_CLASSES:
        confusion.metadata["note"] = f"{len(evaluation.labels)} classes: the matrix is in the report"
        return
    confusion.log_confusion_matrix(evaluation.labels, evaluation.confusion)


def _interval(name: str, interval: Interval) -> Iterator[Number]:
    yield name, interval.point
    yield f"{name}_low", interval.low
    yield f"{name}_high", interval.high


def _gap(folder: Path) -> Iterator[Number]:
    report = GapReport.read(folder)
    yield "gap_units", report.units
    yield "p_value", report.p_value
    yield "rows_compared", report.rows_compared
    for measure in report.measures:
        yield from _interval(f"{measure.name}_units", measure.units)
    if report.perplexity is not None:
        yield "perplexity_target", report.perplexity.target
        yield "perplexity_reference", report.perplexity.reference
        if report.perplexity.ratio is not None:
            yield from _interval("perplexity_ratio", report.perplexity.ratio)


def _baseline(folder: Path) -> Iterator[Number]:
    report = BaselineReport.read(folder)
    yield from _interval(report.metric, report.score)
    yield from _interval("transfer_gain", report.transfer_gain)
    yield "train_rows", report.train_rows
    for control in report.controls:
        yield control.name, control.score.point if control.score else None
    if report.prompted is not None:
        yield "zero_shot", report.prompted.zero_shot.point
        yield "few_shot", report.prompted.few_shot.point if report.prompted.few_shot else None
        yield "perplexity", report.prompted.perplexity


def _finetune(folder: Path) -> Iterator[Number]:
    report = FinetuneReport.read(folder)
    for arm in report.arms:
        yield f"{report.metric}_{arm.strategy}", arm.score.point
    yield "workers", report.workers


def _evaluate(folder: Path) -> Iterator[Number]:
    report = Evaluation.read(folder)
    yield from _interval(report.metric, report.score)
    yield "test_rows", report.rows
    yield "calibration_error", report.calibration.ece if report.calibration else None
    for name, value in report.perplexity.items():
        yield f"perplexity_{name}", value
    for comparison in report.comparisons:
        yield f"gain_over_{comparison.other}", comparison.difference.point


_NUMBERS = {"gap": _gap, "baseline": _baseline, "finetune": _finetune, "evaluate": _evaluate}
