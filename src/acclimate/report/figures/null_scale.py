"""The null scale: the distance observed, beside those between two samples of the source."""

from __future__ import annotations

import numpy as np

from acclimate.records import GapMeasure
from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, C2, INK, MUTED, PAPER, Axes, Drawing, draw
from acclimate.report.view import ReportView

NAMES = {"mmd": "MMD", "c2st": "C2ST"}
MOST_LINEAR = 8.0
TICKS = (-2, -1, 0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10_000, 100_000)


def null_scale(view: ReportView) -> Drawing | None:
    """Every measure's null distribution and observed value in gap units; None where no scale could be made."""
    measures = [m for m in view.gap.measures if m.null_sample and m.null_q95 > m.null_median] if view.gap else []
    if not measures:
        return None

    def paint(*rows: Axes) -> None:
        values = [_in_units(m) for m in measures]
        low = min(-1.2, *(float(v.min()) for v in values), *(m.units.low for m in measures))
        high = max(1.6, *(float(v.max()) for v in values), *(m.units.high for m in measures))
        for axes, measure, null in zip(rows, measures, values, strict=True):
            _set_scale(axes, low, high)
            _paint_measure(axes, measure, null)
        for axes in rows[:-1]:
            axes.set_xticklabels([])
        rows[-1].set_xlabel("gap units")

    return draw(
        "null", "The null scale", _caption(view, measures), paint, height=70 + 115 * len(measures), rows=len(measures)
    )


def _in_units(measure: GapMeasure) -> np.ndarray:
    null = np.asarray(measure.null_sample, dtype=np.float64)
    return (null - measure.null_median) / (measure.null_q95 - measure.null_median)


def _set_scale(axes: Axes, low: float, high: float) -> None:
    if high <= MOST_LINEAR:
        margin = 0.06 * (high - low)
        axes.set_xlim(low - margin, high + margin)
        return
    # Real gaps reach a hundred units: even within noise, compressed beyond, so that both stay visible.
    axes.set_xscale("symlog", linthresh=2, linscale=1.4)
    axes.set_xlim(1.15 * low, 1.6 * high)
    ticks = [tick for tick in TICKS if low <= tick <= 1.4 * high]
    axes.set_xticks(ticks, [f"{tick:,}".replace("-", numbers.MINUS) for tick in ticks])
    axes.minorticks_off()


def _paint_measure(axes: Axes, measure: GapMeasure, null: np.ndarray) -> None:
    heights, _, _ = axes.hist(null, bins=25, color=C1, alpha=0.45, edgecolor="none")
    top, point = 1.8 * float(heights.max()), measure.units
    axes.axvline(1, color=MUTED, lw=1.2, ls=(0, (4, 3)))
    axes.errorbar(
        [point.point],
        [0.64 * top],
        xerr=[[point.point - point.low], [point.high - point.point]],
        fmt="D",
        ms=8,
        color=C2,
        mec=PAPER,
        mew=1.2,
        elinewidth=2.5,
        capsize=4,
    )
    place = axes.transAxes.inverted().transform(axes.transData.transform((point.point, 0)))[0]
    side = "right" if place > 0.82 else "left" if place < 0.18 else "center"
    axes.text(point.point, 0.71 * top, f"observed {numbers.units(point.point)}", ha=side, color=INK, fontsize=11)
    axes.text(0, 1.0, NAMES[measure.name], transform=axes.transAxes, va="top", weight="bold", color=INK)
    axes.text(1, 0.99 * top, "  1 = end of noise", va="top", color=MUTED, fontsize=10.5)
    axes.set(ylim=(0, top), yticks=[])
    axes.spines["left"].set_visible(False)


def _caption(view: ReportView, measures: list[GapMeasure]) -> str:
    assert view.gap is not None
    largest = max(measures, key=lambda m: m.units.point)
    rows = "" if view.gap.rows_compared is None else f" at {view.gap.rows_compared:,} rows a side"
    point = largest.units
    times = numbers.units(point.point)
    squeezed = " The scale is even up to 2 and compressed beyond." if point.high > MOST_LINEAR else ""
    relation = "within what chance gives" if point.point <= 1 else "more than chance gives"
    return (
        f"Hills: distances between two samples of the source, that is, what chance alone gives{rows}. Diamonds: the "
        f"distance from target to source. The larger is {NAMES[largest.name]}'s with {times} gap units "
        f"({numbers.units(point.low)} to {numbers.units(point.high)}): {relation} (up to 1).{squeezed}"
    )
