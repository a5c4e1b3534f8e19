"""The confusion matrix of the candidate on the test split."""

from __future__ import annotations

import numpy as np

from acclimate.records import Evaluation
from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, INK, LINE, Axes, Drawing, draw, short
from acclimate.report.view import ReportView

MOST_CLASSES = 40
"""More can't be read as a picture; the table of confusions below it remains."""


def confusion(view: ReportView) -> Drawing | None:
    """Counts, shaded by the share of the true label's rows; None for over :data:`MOST_CLASSES` labels."""
    if view.evaluation is None or not 1 < len(view.evaluation.labels) <= MOST_CLASSES:
        return None
    evaluation = view.evaluation
    counts = np.asarray(evaluation.confusion, dtype=np.int64)
    n_classes = len(counts)

    def paint(axes: Axes) -> None:
        rows = counts.sum(axis=1, keepdims=True)
        shares = counts / np.maximum(rows, 1)
        for truth, predicted in np.argwhere(counts > 0):
            _paint_cell(
                axes, truth, predicted, int(counts[truth, predicted]), float(shares[truth, predicted]), n_classes
            )
        names = [short(label, 18 if n_classes <= 12 else 14) for label in evaluation.labels]
        size = _text_size(n_classes)
        axes.set_xticks(range(n_classes), names, rotation=0 if n_classes <= 3 else 90, fontsize=size)
        axes.set_yticks(range(n_classes), names, fontsize=size)
        axes.set(xlabel="predicted", ylabel="true label", xlim=(-0.5, n_classes - 0.5), ylim=(n_classes - 0.5, -0.5))
        axes.xaxis.label.set_size(12 if n_classes <= 10 else 8.5)
        axes.yaxis.label.set_size(12 if n_classes <= 10 else 8.5)
        axes.set_aspect("equal")
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set(visible=True, color=LINE)

    height = 400 if n_classes > 6 else 360
    return draw(
        "confusion", "Confusion matrix", _caption(evaluation, counts), paint, height=height, wide=n_classes > 10
    )


def _text_size(n_classes: int) -> float:
    return float(np.clip(130 / n_classes, 5.5, 12))


def _paint_cell(axes: Axes, truth: int, predicted: int, count: int, share: float, n_classes: int) -> None:
    # Half opacity at most: the number must stay readable on it, in light and in dark.
    axes.fill_between(
        [predicted - 0.5, predicted + 0.5], truth - 0.5, truth + 0.5, color=C1, alpha=round(0.03 + 0.5 * share, 3), lw=0
    )
    if n_classes > 20:
        return
    detailed = n_classes <= 7
    text = f"{count:,}\n{numbers.share(share)}" if detailed else f"{count:,}"
    weight = "bold" if truth == predicted else "normal"
    axes.text(
        predicted, truth, text, ha="center", va="center", color=INK, weight=weight, fontsize=_text_size(n_classes)
    )


def _caption(evaluation: Evaluation, counts: np.ndarray) -> str:
    right, rows = int(np.trace(counts)), int(counts.sum())
    text = (
        f"{right:,} of {rows:,} test rows ({numbers.share(right / max(rows, 1))}) are right: they lie on the diagonal. "
        "Shade: share of the true label's rows."
    )
    wrong = counts - np.diag(np.diag(counts))
    if not wrong.any():
        return text
    truth, predicted = np.unravel_index(int(wrong.argmax()), wrong.shape)
    names = evaluation.labels
    return (
        f"{text} The commonest mistake is {short(names[truth], 40)} taken for {short(names[predicted], 40)}, "
        f"{int(wrong[truth, predicted]):,} times."
    )
