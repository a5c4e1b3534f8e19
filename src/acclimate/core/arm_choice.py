"""Rule R8: which of the trained arms is handed on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.core.evidence import RuleFinding
from acclimate.errors import DataError


@dataclass(frozen=True)
class ArmResult:
    """One arm as R8 sees it; controls are never among them.

    Args:
        strategy: e.g. ``lora``; ``frozen`` takes part too.
        expected_seconds: cost by the stored calibration (never the measured one, which differs between runs);
            0 for ``frozen``.
        score: on validation, 0..1.
        against_best_low: lower end of the paired two-sided 95 % interval of (this arm - best arm); 0 for the best.
    """

    strategy: str
    expected_seconds: float
    score: float
    against_best_low: float


@dataclass(frozen=True)
class ArmChoice:
    """The arm handed on, and the record of rule R8."""

    strategy: str
    finding: RuleFinding


def choose_arm(arms: Sequence[ArmResult], tolerance: float) -> ArmChoice:
    """Choose the cheapest arm that is shown to be at most ``tolerance`` worse than the best (rule R8).

    Equal costs are settled by the score, equal scores by the name.

    Args:
        arms: at least one, all fully trained.
        tolerance: ``goal.min_gain``, 0..1.

    Returns:
        The choice. If no arm qualifies it is the one with the best score.

    Raises:
        DataError: E-DECIDE-007, no arms, or a number that is not finite.

    Source:
        Policy v1, R8: "the interval reaches the best" would let an arm 2 points worse through 81 % of the time.
    """
    numbers = [x for arm in arms for x in (arm.expected_seconds, arm.score, arm.against_best_low)]
    if not arms or not all(map(math.isfinite, [*numbers, tolerance])):
        raise DataError("E-DECIDE-007", "arms can't be compared: there are none, or one has no finite score")
    best = min(arms, key=lambda arm: (-arm.score, arm.expected_seconds, arm.strategy))
    close = [arm for arm in arms if arm.against_best_low >= -tolerance]
    chosen = min(close, key=lambda arm: (arm.expected_seconds, -arm.score, arm.strategy), default=best)
    return ArmChoice(chosen.strategy, _finding(arms, best, chosen, tolerance))


def _finding(arms: Sequence[ArmResult], best: ArmResult, chosen: ArmResult, tolerance: float) -> RuleFinding:
    inputs: dict[str, float | int | str | bool | None] = {"tolerance": tolerance}
    for arm in arms:
        inputs[f"{arm.strategy}.expected_seconds"] = arm.expected_seconds
        inputs[f"{arm.strategy}.score"] = arm.score
        inputs[f"{arm.strategy}.against_best_low"] = arm.against_best_low
    if chosen is best:
        why = "it scores best, and no cheaper arm is shown to be as good"
    else:
        why = f"it is the cheapest shown to be at most {tolerance:g} worse than {best.strategy} ({best.score:.3f})"
    return RuleFinding(
        rule="R8",
        fired=True,
        inputs=inputs,
        threshold=f"cheapest arm with lower end of (arm - best) >= {-tolerance:g}; if none, the best",
        source="acclimate policy v1",
        says=f"hands on {chosen.strategy} ({chosen.score:.3f} on validation): {why}",
        rejected=tuple(_rejection(arm, chosen, tolerance) for arm in arms if arm is not chosen),
    )


def _rejection(arm: ArmResult, chosen: ArmResult, tolerance: float) -> str:
    if arm.against_best_low < -tolerance:
        return f"{arm.strategy}: may be {-arm.against_best_low:.3f} worse than the best, more than {tolerance:g}"
    return (
        f"{arm.strategy}: {arm.expected_seconds:.0f} s, where {chosen.strategy} takes {chosen.expected_seconds:.0f} s"
    )
