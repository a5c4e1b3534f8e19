"""The reliability diagram: how far the model's confidence can be believed."""

from __future__ import annotations

import numpy as np

from acclimate.records import CalibrationScore
from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, C2, MUTED, PAPER, Axes, Drawing, draw
from acclimate.report.view import ReportView


def reliability(view: ReportView) -> Drawing | None:
    """Accuracy against confidence with the number of rows in each bin; None without bins, or without probabilities."""
    calibration = view.evaluation.calibration if view.evaluation else None
    if calibration is None or not any(row.rows for row in calibration.bins):
        return None
    filled = [row for row in calibration.bins if row.rows]

    def paint(axes: Axes, below: Axes) -> None:
        x, y = [row.confidence for row in filled], [row.accuracy for row in filled]
        low = max(0.0, min(*x, *y, 0.9) - 0.08)
        axes.plot([low, 1], [low, 1], color=MUTED, lw=1.2, ls=(0, (4, 3)))
        axes.text(
            0.99,
            0.04,
            "dashed: as often right as it says",
            transform=axes.transAxes,
            ha="right",
            color=MUTED,
            fontsize=11,
        )
        axes.vlines(x, y, x, color=C2, lw=2, alpha=0.6)
        sizes = 40 + 160 * np.sqrt(np.array([row.rows for row in filled]) / max(row.rows for row in filled))
        axes.scatter(x, y, s=sizes, color=C1, edgecolors=PAPER, linewidths=1.2, zorder=3)
        axes.set(xlim=(low, 1.02), ylim=(low, 1.04), ylabel="share that is right")
        axes.set_xticklabels([])
        below.bar(
            x,
            [row.rows for row in filled],
            width=0.6 * (1.02 - low) / max(len(calibration.bins), 8),
            color=C1,
            alpha=0.6,
        )
        below.set(xlim=(low, 1.02), xlabel="confidence of the model", ylabel="rows")
        for one in (axes, below):
            one.grid(visible=True, axis="y")
            one.tick_params(length=0)
        axes.get_gridspec().set_height_ratios([3, 1])
        below.yaxis.get_major_locator().set_params(nbins=3, integer=True)

    return draw("reliability", "Can its confidence be believed?", _caption(calibration), paint, height=400, rows=2)


def _caption(calibration: CalibrationScore) -> str:
    signed = [(row.confidence - row.accuracy) * row.rows for row in calibration.bins]
    lean = sum(signed) / max(sum(row.rows for row in calibration.bins), 1)
    word = (
        "over-confident"
        if lean > 0.005
        else ("under-confident" if lean < -0.005 else "neither over- nor under-confident")
    )
    return (
        f"On average the confidence is off by {numbers.share(calibration.ece)} (expected calibration error, debiased); "
        f"before the temperature of {calibration.temperature:.2f} it was {numbers.share(calibration.ece_before)}. "
        f"Over all, the model is {word}. The upright lines are the errors; larger dots hold more rows."
    )
