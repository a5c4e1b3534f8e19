"""Rule R10: without a champion, a trained model that is not shown to be better gives way to the frozen one."""

from __future__ import annotations

from collections.abc import Sequence

from acclimate.config import Goal
from acclimate.records import Comparison, Evaluation, FinetuneReport, Interval, RuleRecord

FROZEN = "frozen"
SOURCE = "docs/decisions/0024"


def frozen_instead(trained: str, score: Interval, comparisons: Sequence[Comparison], goal: Goal) -> RuleRecord:
    """Whether the frozen model is handed on in the place of the trained one.

    Two claims are tested in this order on the same test rows, each at 5 %: the trained model is better than the frozen
    one; where that is not shown, the frozen one is better than the controls.

    Args:
        trained: the strategy that was chosen on validation.
        score: the frozen model's on the test split.
        comparisons: frozen - other, the trained model and the best control (as comparator) among them.
        goal: what is asked for.
    """
    against = next(row for row in comparisons if row.role == "trained")
    shown = against.high_one_sided < 0
    unbeaten = _unbeaten(comparisons)
    reached = score.low if goal.at_least_by == "lower" else score.point
    enough = goal.at_least is None or reached >= goal.at_least
    gain = f"{-against.difference.point:+.3f} ({-against.difference.high:+.3f} to {-against.difference.low:+.3f})"
    rejected: tuple[str, ...] = ()
    if shown:
        says = f"{trained} is shown to be better than the frozen model: {gain}"
    elif unbeaten:
        says = f"{trained} is not shown to be better than the frozen model ({gain}), nor that than {unbeaten[0]}"
    elif not enough:
        says = f"{trained} is not shown to be better than the frozen model ({gain}), which misses {goal.at_least:g}"
    else:
        more = f"; about {against.rows_needed} test rows would show it" if against.rows_needed else ""
        says = f"the frozen model is handed on: {trained} is not shown to be better ({gain}{more})"
        rejected = (f"{trained}: not shown to be better than the frozen model on the test rows",)
    return RuleRecord(
        rule="R10",
        fired=bool(rejected),
        inputs={
            "trained": trained,
            "difference": -against.difference.point,
            "low_one_sided": -against.high_one_sided,
            "frozen_not_better_than": ", ".join(unbeaten) or None,
            "frozen_score": reached,
            "at_least": goal.at_least,
        },
        threshold="no champion; one-sided 95 % lower bound of (trained - frozen) <= 0; the frozen model would pass",
        source=SOURCE,
        says=says,
        rejected=list(rejected),
    )


def _unbeaten(comparisons: Sequence[Comparison]) -> list[str]:
    """What would keep the frozen model from passing: as the gate's checks ``primary`` and ``controls`` see it."""
    needed = [row.other for row in comparisons if row.role in ("comparator", "trivial") and row.low_one_sided <= 0]
    return needed + [row.other for row in comparisons if row.role == "control" and row.high_one_sided < 0]


def stood_in_for(finetune: FinetuneReport | None, evaluation: Evaluation) -> Comparison | None:
    """The comparison that let the frozen model take the place of the arm that was chosen; None where it did not.

    It has to say that the chosen arm is not shown to be better, else nothing lets the frozen model do so.
    """
    if finetune is None or evaluation.strategy != FROZEN:
        return None
    found = (row for row in evaluation.comparisons if row.role == "trained" and row.other == finetune.chosen)
    return next((row for row in found if row.high_one_sided >= 0), None)
