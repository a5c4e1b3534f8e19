"""Scores of the slices beside the score of all rows."""

from __future__ import annotations

from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, C2, INK, PAPER, Axes, Drawing, draw, short
from acclimate.report.view import ReportView
from acclimate.report.wording import metric_name

MOST_SLICES = 20


def slices(view: ReportView) -> Drawing | None:
    """The lowest slices with their intervals; None without any."""
    if view.evaluation is None or not view.evaluation.slices:
        return None
    evaluation = view.evaluation
    rows = sorted(evaluation.slices, key=lambda row: row.score.point)[:MOST_SLICES]
    several = len({row.column for row in rows}) > 1

    def paint(axes: Axes) -> None:
        whole = evaluation.score
        axes.axvspan(whole.low, whole.high, color=C2, alpha=0.18, lw=0)
        axes.axvline(whole.point, color=C2, lw=1.8)
        for position, row in enumerate(rows):
            errors = [[row.score.point - row.score.low], [row.score.high - row.score.point]]
            axes.errorbar([row.score.point], [position], xerr=errors, fmt="o", color=C1, ms=8, mec=PAPER, capsize=4)
        names = [short(f"{row.column}: {row.value}" if several else row.value, 24) for row in rows]
        axes.set_yticks(range(len(rows)), [f"{n} ({r.rows:,})" for n, r in zip(names, rows, strict=True)], color=INK)
        axes.set(ylim=(len(rows) - 0.4, -0.6), xlabel=f"{metric_name(evaluation.metric)} (rows in brackets)")
        axes.grid(visible=True, axis="x")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)

    worst = rows[0]
    caption = (
        f"The lowest is {short(worst.column, 40)} = {short(worst.value, 40)} with {numbers.score(worst.score.point)} "
        f"({numbers.bounds(worst.score)}) on {worst.rows:,} rows; the upright line and band are all test rows, "
        f"{numbers.score(evaluation.score.point)} ({numbers.bounds(evaluation.score)})."
    )
    return draw("slices", "Slices, lowest first", caption, paint, height=80 + 30 * len(rows))
