"""The learning curve: what more labels would bring the frozen baseline."""

from __future__ import annotations

from acclimate.records import BaselineReport
from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, C2, C3, MUTED, Axes, Drawing, draw
from acclimate.report.task_words import model_name
from acclimate.report.view import ReportView
from acclimate.report.wording import metric_name


def learning_curve(view: ReportView) -> Drawing | None:
    """Baseline's score against training rows, continued to twice as many; None without points."""
    if view.baseline is None or not view.baseline.learning_curve:
        return None
    baseline, wanted = view.baseline, view.goal["at_least"]

    def paint(axes: Axes) -> None:
        points = baseline.learning_curve
        rows, scores = [p.rows for p in points], [p.score.point for p in points]
        errors = [[p.score.point - p.score.low for p in points], [p.score.high - p.score.point for p in points]]
        double = 2 * rows[-1]
        axes.errorbar(rows, scores, yerr=errors, fmt="o-", color=C1, capsize=4, ms=6, label="baseline")
        axes.plot([rows[-1], double], [scores[-1], baseline.score_at_double], ls=(0, (3, 2)), color=C1)
        axes.plot([double], [baseline.score_at_double], "o", mfc="none", color=C1, ms=8, label="extrapolated")
        best = next((c for c in baseline.controls if c.name == baseline.best_control and c.score), None)
        if best is not None and best.score is not None:
            name = model_name(best.name, view.data.task)
            axes.axhline(best.score.point, color=C3, lw=1.5, ls=(0, (1, 2)), label=f"control: {name}")
        if wanted is not None:
            axes.axhline(wanted, color=C2, lw=1.5, ls=(0, (6, 3)), label=f"wanted: {numbers.score(wanted)}")
        axes.set_xscale("log", base=2)
        ticks = sorted({*rows, double})
        axes.set_xticks(ticks, [numbers.count(tick) for tick in ticks])
        axes.minorticks_off()
        axes.set(xlabel="labelled training rows", ylabel=metric_name(baseline.metric))
        axes.grid(visible=True, axis="y")
        axes.tick_params(length=0)
        axes.margins(y=0.12)
        lines = sorted(zip(*axes.get_legend_handles_labels(), strict=True), key=lambda pair: pair[1])
        axes.legend(
            *zip(*lines, strict=True),
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            ncols=2,
            columnspacing=1.4,
            labelcolor=MUTED,
        )

    return draw("curve", "Learning curve of the baseline", _caption(baseline, wanted), paint)


def _caption(baseline: BaselineReport, wanted: float | None) -> str:
    last = baseline.learning_curve[-1]
    slope = numbers.signed(baseline.slope_per_doubling)
    text = (
        f"Each doubling of the labels brought the baseline about {slope} {metric_name(baseline.metric)}; twice the "
        f"{last.rows:,} rows would give about {numbers.score(baseline.score_at_double)}, if the line goes on"
    )
    if wanted is None:
        return f"{text}."
    reaches = "which reaches" if baseline.score_at_double >= wanted else "still short of"
    return f"{text}, {reaches} the wanted {numbers.score(wanted)}."
