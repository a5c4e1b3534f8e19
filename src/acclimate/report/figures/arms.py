"""What each arm cost, against what it scored."""

from __future__ import annotations

from acclimate.records import Arm, FinetuneReport
from acclimate.report import numbers
from acclimate.report.figures.canvas import C1, C2, C4, INK, MUTED, PAPER, Axes, Drawing, draw
from acclimate.report.task_words import model_name
from acclimate.report.view import ReportView
from acclimate.report.wording import metric_name


def arms(view: ReportView) -> Drawing | None:
    """Validation score against seconds of every arm, with the tolerance band; None without fine-tuning."""
    if view.finetune is None or not view.finetune.arms:
        return None
    tried, tolerance = view.finetune, float(view.goal["min_gain"])
    cost = {arm.strategy: _seconds(view, arm) for arm in tried.arms}

    def paint(axes: Axes) -> None:
        best = _best(tried)
        axes.axhspan(best - tolerance, best, color=C4, alpha=0.22, lw=0)
        axes.annotate(
            "tolerance",
            (0.015, best),
            xycoords=("axes fraction", "data"),
            xytext=(0, 3),
            textcoords="offset points",
            color=MUTED,
            fontsize=10.5,
        )
        longest = max(cost.values()) or 1.0
        for arm in tried.arms:
            _paint_arm(axes, arm, cost[arm.strategy], longest)
        axes.set(xlabel="training time, seconds", ylabel=f"{metric_name(tried.metric)} on validation")
        axes.set_xlim(-0.06 * longest, 1.12 * longest)
        axes.grid(visible=True, axis="y")
        axes.tick_params(length=0)
        axes.margins(y=0.15)

    return draw("arms", "Cost and score of the arms", _caption(view, tried, tolerance, cost), paint, height=320)


def _seconds(view: ReportView, arm: Arm) -> float:
    measured = view.arm_seconds(arm.strategy)
    return arm.expected_seconds if measured is None else measured


def _best(tried: FinetuneReport) -> float:
    candidates = [a for a in tried.arms if a.role == "arm" and a.trained_fully] or tried.arms
    return max(arm.score.point for arm in candidates)


def _paint_arm(axes: Axes, arm: Arm, seconds: float, longest: float) -> None:
    control, score = arm.role == "control", arm.score
    colour = MUTED if control or not arm.trained_fully else (C2 if arm.chosen else C1)
    axes.errorbar(
        [seconds],
        [score.point],
        yerr=[[score.point - score.low], [score.high - score.point]],
        fmt="s" if control else ("D" if arm.chosen else "o"),
        ms=11 if arm.chosen else 8,
        color=colour,
        mfc=PAPER if control or not arm.trained_fully else colour,
        mec=colour,
        mew=1.8,
        capsize=4,
    )
    remark = " · chosen" if arm.chosen else (" · control" if control else ("" if arm.trained_fully else " · dropped"))
    right = seconds > 0.55 * longest
    axes.annotate(
        arm.strategy + remark,
        (seconds, score.point),
        xytext=(-11 if right else 11, 0),
        textcoords="offset points",
        ha="right" if right else "left",
        va="center",
        color=INK,
        weight="bold" if arm.chosen else "normal",
    )


def _caption(view: ReportView, tried: FinetuneReport, tolerance: float, cost: dict[str, float]) -> str:
    chosen = view.chosen_arm
    measured = all(view.arm_seconds(arm.strategy) is not None for arm in tried.arms)
    basis = "" if measured else " Where no time was measured, the expected one is shown."
    if chosen is None:
        return f"The band reaches {numbers.score(tolerance)} below the best arm.{basis}"
    return (
        f"Chosen: {model_name(chosen.strategy, view.data.task)} with {numbers.score(chosen.score.point)} in "
        f"{numbers.seconds(cost[chosen.strategy])}. The band is the tolerance, {numbers.score(tolerance)} below "
        f"the best arm's score; the cheapest arm shown to lie within it is taken, else the best.{basis}"
    )
