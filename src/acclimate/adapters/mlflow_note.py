"""The summary of a run as MLflow shows it: a few lines of Markdown, made of our own words and numbers only."""

from __future__ import annotations

from acclimate.records import Arm, Evaluation, Interval
from acclimate.registry import RunRecords


def _with_interval(value: Interval) -> str:
    return f"{value.point:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _fate(arm: Arm, evaluation: Evaluation) -> str:
    """The frozen model may be handed on in the place of the arm that was chosen."""
    handed_on = arm.role == "arm" and arm.strategy == evaluation.strategy
    return "handed on" if handed_on else "chosen on validation" if arm.chosen else arm.role


def summary(records: RunRecords) -> str:
    """Markdown under MLflow's limit of 8,000 characters.

    Labels and texts stay out of it: they come from the data and MLflow renders this as Markdown.
    """
    gap, decision, evaluation = records.gap, records.decision, records.evaluation
    prompted = records.baseline.prompted
    asked = "out of fold" if prompted is None else f"asked with {prompted.shots} examples"
    units = "" if gap.units is None else f", {gap.units:.2f} gap units at m = {gap.rows_compared}"
    lines = [
        f"**Adaptation `{records.name}`**, run key `{records.run_key[:16]}`",
        "",
        f"- Source model: `{records.source.name}` at `{records.source.revision}`",
        f"- Setting: {gap.setting}; gap: {gap.verdict}{units}",
        f"- Baseline ({asked}, {records.baseline.metric}): {_with_interval(records.baseline.score)}",
        f"- Decision: `{decision.strategy}` by rule {decision.rule}",
        f"- Candidate `{evaluation.strategy}` on test ({evaluation.metric}): **{_with_interval(evaluation.score)}**",
        "",
        "| compared with | difference, 95 % interval |",
        "|---|---|",
        *(f"| {row.other} | {_with_interval(row.difference)} |" for row in evaluation.comparisons[:20]),
    ]
    if records.finetune is not None:
        lines += ["", "| arm | validation score | |", "|---|---|---|"]
        lines += [
            f"| {arm.strategy} | {_with_interval(arm.score)} | {_fate(arm, evaluation)} |"
            for arm in records.finetune.arms[:20]
        ]
    return "\n".join(lines)
