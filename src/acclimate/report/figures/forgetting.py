"""What was gained on the target against what was lost of the source: the preservation/adaptation curve."""

from __future__ import annotations

from itertools import cycle

from acclimate.records import Arm
from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, C2, C3, C4, INK, MUTED, PAPER, Axes, Drawing, draw
from acclimate.report.task_words import model_name, source_score_words
from acclimate.report.view import ReportView
from acclimate.report.wording import metric_name

Point = tuple[float, float]


def forgetting(view: ReportView) -> Drawing | None:
    """Target gain against source change of every arm, with the line of models between source and result.

    None where nothing was trained, or no labelled reference of the source told what is still known.
    """
    report = view.finetune
    frozen = next((arm for arm in report.arms if arm.strategy == "frozen"), None) if report else None
    shown = [arm for arm in report.arms if arm.source_change is not None] if report else []
    if report is None or frozen is None or report.source_score is None or len(shown) < 2:
        return None
    source_score = report.source_score

    def paint(axes: Axes) -> None:
        axes.axhline(0, color=MUTED, lw=0.8)
        axes.axvline(0, color=MUTED, lw=0.8)
        colours = cycle((C1, C3, C4))
        for arm in shown:
            colour = C2 if arm.chosen else MUTED if arm.strategy == "frozen" else next(colours)
            _paint_arm(axes, arm, frozen, source_score, colour)
        axes.set(xlabel="kept of the source, score change", ylabel=f"gained of {metric_name(report.metric)}")
        axes.grid(visible=True)
        axes.tick_params(length=0)
        axes.margins(x=0.18, y=0.15)

    return draw("forgetting", "Gained and kept", _caption(shown, frozen, view.data.task), paint, height=330)


def _paint_arm(axes: Axes, arm: Arm, frozen: Arm, source_score: float, colour: str) -> None:
    line = _line(arm, frozen, source_score)
    if len(line) > 1:
        axes.plot(*zip(*line, strict=True), color=colour, lw=1.4, marker=".", ms=5)
    here = _place(arm, frozen)
    style = {"ms": 11 if arm.chosen else 8, "color": colour, "mec": colour, "mew": 1.8}
    axes.plot(*here, "D" if arm.chosen else "o", mfc=colour if arm.on_front else PAPER, **style)
    axes.annotate(
        arm.strategy if arm.trained_fully else f"{arm.strategy}, dropped after epoch {arm.epochs}",
        here,
        xytext=(0, 10),
        textcoords="offset points",
        ha="center",
        color=INK,
        weight="bold" if arm.chosen else "normal",
    )


def _place(arm: Arm, frozen: Arm) -> Point:
    kept = arm.source_change.point if arm.source_change is not None else 0.0
    return kept, arm.score.point - frozen.score.point


def _line(arm: Arm, frozen: Arm, source_score: float) -> list[Point]:
    """From the source, where nothing is gained or lost, to the trained model."""
    measured = [
        (point.source_score - source_score, point.score - frozen.score.point)
        for point in arm.blends
        if point.source_score is not None
    ]
    return [(0.0, 0.0), *measured] if measured else []


def _caption(shown: list[Arm], frozen: Arm, task: str) -> str:
    chosen = next((arm for arm in shown if arm.chosen), None)
    front = ", ".join(arm.strategy for arm in shown if arm.on_front)
    says = ""
    if chosen is not None:
        kept, gained = _place(chosen, frozen)
        mixed = "" if chosen.alpha in (None, 1.0) else f" (with {chosen.alpha:g} of the trained weights)"
        says = (
            f"{model_name(chosen.strategy, task)}{mixed}: {numbers.signed(gained)} on the target's validation rows, "
            f"{numbers.signed(kept)} {source_score_words(task)}. "
        )
    return (
        f"{says}To the right less is forgotten, upwards more is gained. Lines run from the source model to the trained "
        f"one, their weights mixed. Filled marks: no other arm is at least as good in both ({front})."
    )
