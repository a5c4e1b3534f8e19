"""Check 3: the candidate against the comparator, and where its interval lies."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from acclimate.core.gate_inputs import Difference, Finding, GateInputs, Outcome, are_finite, is_finite
from acclimate.core.gate_policy import GatePolicy

Position = Literal["better", "not worse", "undecided", "worse"]
_OUTCOMES: dict[Position, Outcome] = {
    "better": "passed",
    "not worse": "warned",
    "undecided": "warned",
    "worse": "failed",
}


@dataclass(frozen=True)
class _Judged:
    """A difference with bounds that were computed."""

    point: float
    low: float
    high: float


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Pass what shows the policy's claim, warn where it is not shown, fail a worse one."""
    alpha = alpha_in_use(inputs, policy)
    numbers = {"margin": policy.margin, "alpha": alpha, "test_rows": inputs.test_rows}
    found = position(inputs, policy, alpha)
    judged = _judged(inputs, policy, alpha)
    if found is None or judged is None:
        return Finding("missing", f"the candidate could not be compared with {inputs.comparator}", numbers)
    numbers |= {"difference": judged.point, "low_one_sided": judged.low, "high_one_sided": judged.high}
    interval = f"{judged.point:+.3f} ({judged.low:+.3f} to {judged.high:+.3f}) against {inputs.comparator}"
    if found == "not worse" and policy.claim == "non_inferiority":
        return Finding("passed", f"worse by at most {policy.margin:g}, as the policy asks: {interval}", numbers)
    says = {
        "better": f"better: {interval}",
        "not worse": f"not shown to be better, but worse by at most {policy.margin:g}: {interval}",
        "undecided": f"undecided between better and more than {policy.margin:g} worse: {interval}",
        "worse": f"worse: {interval}",
    }[found]
    return Finding(_OUTCOMES[found], says, numbers)


def alpha_of_look(alpha: float, look: int) -> float:
    """Error rate of the k-th look; over all looks together they add up to ``alpha``.

    Source: sum over k of 1/k^2 = pi^2/6 (Basel series), alpha spending by Foster & Stine 2008.
    """
    return alpha * 6.0 / (math.pi**2 * look**2)


def alpha_in_use(inputs: GateInputs, policy: GatePolicy) -> float:
    """Error rate that decides: the policy's, or that of this look; NaN where the policy needs the look to be known."""
    if not policy.corrects_looks:
        return policy.alpha
    return alpha_of_look(policy.alpha, inputs.look) if inputs.look >= 1 else math.nan


def position(inputs: GateInputs, policy: GatePolicy, alpha: float) -> Position | None:
    """Where the interval of (candidate - comparator) lies, the first that matches; None if it can't be computed.

    ``worse``: the upper bound is below 0. ``undecided``: the interval reaches from below -margin to 0 or above.
    ``not worse``: -margin <= lower bound <= 0. ``better``: the lower bound is above 0.
    """
    judged = _judged(inputs, policy, alpha)
    if judged is None:
        return None
    if judged.high < 0:
        return "worse"
    if judged.low < -policy.margin:
        return "undecided"
    return "not worse" if judged.low <= 0 else "better"


def shows_claim(found: Position, policy: GatePolicy) -> bool:
    """Whether a position shows what the policy asks for."""
    return found == "better" or (found == "not worse" and policy.claim == "non_inferiority")


def at_alpha(difference: Difference, measured: float, alpha: float) -> Difference:
    """The same difference with one-sided bounds at another error rate, by the normal approximation.

    Args:
        difference: with bounds at ``measured``.
        measured: one-sided error rate of its bounds.
        alpha: the one wanted; equal to ``measured`` nothing changes.
    """
    low, high, point = difference.low, difference.high, difference.point
    if alpha == measured or not (is_finite(low) and is_finite(high) and is_finite(point)):
        return difference
    factor = NormalDist().inv_cdf(alpha) / NormalDist().inv_cdf(measured)
    return replace(difference, low=point - (point - low) * factor, high=point + (high - point) * factor)


def _judged(inputs: GateInputs, policy: GatePolicy, alpha: float) -> _Judged | None:
    primary, rows = inputs.primary, inputs.test_rows
    if primary is None or not primary.computed or not are_finite(policy.margin, alpha):
        return None
    if not is_finite(rows) or rows < policy.min_test_rows:
        return None
    scaled = at_alpha(primary, inputs.bound_alpha, alpha)
    if not (is_finite(scaled.point) and is_finite(scaled.low) and is_finite(scaled.high)):
        return None
    return _Judged(scaled.point, scaled.low, scaled.high)
