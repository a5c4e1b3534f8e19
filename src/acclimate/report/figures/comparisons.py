"""The candidate against everything it is compared with, on the same test rows."""

from __future__ import annotations

from acclimate.config_file import effective_policy
from acclimate.config_gate import GateSpec
from acclimate.records import Comparison
from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, C2, INK, MUTED, PAPER, Axes, Drawing, draw, short
from acclimate.report.task_words import model_name
from acclimate.report.view import ReportView
from acclimate.report.wording import metric_name


def comparisons(view: ReportView) -> Drawing | None:
    """Differences with their intervals, zero and the margin marked; None before evaluation."""
    if view.evaluation is None or not view.evaluation.comparisons:
        return None
    rows = view.evaluation.comparisons
    margin = effective_policy(GateSpec.model_validate(view.config.get("gate", {}))).checks.primary.margin

    far = _far_end(rows)

    def paint(axes: Axes) -> None:
        axes.axvline(0, color=INK, lw=1.2)
        axes.axvline(-margin, color=MUTED, lw=1, ls=(0, (4, 3)))
        for position, row in enumerate(rows):
            _paint_row(axes, position, row, far)
        axes.set_yticks(range(len(rows)), [short(model_name(row.other, view.data.task), 28) for row in rows], color=INK)
        axes.set(ylim=(len(rows) - 0.4, -0.7), xlabel=f"difference in {metric_name(view.metric)}: candidate better →")
        axes.grid(visible=True, axis="x")
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)

    return draw("comparisons", "Candidate minus …", _caption(view, margin), paint, height=90 + 44 * len(rows))


def _far_end(rows: list[Comparison]) -> float:
    """Right end of the axis: trivial controls beaten by far would squeeze all else together."""
    near = [row.difference.high for row in rows if row.role != "trivial"] or [row.difference.high for row in rows]
    return max(0.02, 1.6 * max(near))


def _paint_row(axes: Axes, position: int, row: Comparison, far: float) -> None:
    difference, decides = row.difference, row.role == "comparator"
    if difference.high > far:
        axes.plot([far], [position], ">", ms=8, color=C1, clip_on=False)
        text = f"{numbers.signed(difference.point)}, off the scale "
        axes.text(far, position - 0.22, text, ha="right", va="bottom", color=INK, fontsize=11)
        return
    axes.errorbar(
        [difference.point],
        [position],
        xerr=[[difference.point - difference.low], [difference.high - difference.point]],
        fmt="D" if decides else "o",
        ms=10 if decides else 7,
        color=C2 if decides else C1,
        mec=PAPER,
        mew=1.2,
        elinewidth=3 if decides else 2,
        capsize=4,
    )
    axes.text(
        difference.point,
        position - 0.22,
        numbers.signed(difference.point),
        ha="center",
        va="bottom",
        color=INK,
        fontsize=11,
        weight="bold" if decides else "normal",
    )


def _caption(view: ReportView, margin: float) -> str:
    primary = view.primary
    ends = "Bars are 95 % intervals from resampling the same test rows; left of the solid line the candidate is worse"
    line = f"the dashed line is the margin, {numbers.signed(-margin)}"
    if primary is None:
        return f"{ends}; {line}."
    assert view.evaluation is not None
    low = primary.difference.low
    outcome = "clear of zero" if low > 0 else "reaching across zero" if primary.difference.high >= 0 else "below zero"
    return (
        f"Against {view.evaluation.comparator}, which decides, the difference is "
        f"{numbers.signed(primary.difference.point)} ({numbers.signed_bounds(primary.difference)}), {outcome}. "
        f"{ends}; {line}."
    )
