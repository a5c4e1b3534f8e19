"""Check 3: the candidate against the comparator, and where its interval lies."""

from __future__ import annotations

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
    """Pass a better candidate, warn where it is not shown to be better, fail a worse one."""
    numbers = {"margin": policy.margin, "alpha": policy.alpha, "test_rows": inputs.test_rows}
    found = position(inputs, policy, policy.alpha)
    judged = _judged(inputs, policy, policy.alpha)
    if found is None or judged is None:
        return Finding("missing", f"the candidate could not be compared with {inputs.comparator}", numbers)
    numbers |= {"difference": judged.point, "low_one_sided": judged.low, "high_one_sided": judged.high}
    interval = f"{judged.point:+.3f} ({judged.low:+.3f} to {judged.high:+.3f}) against {inputs.comparator}"
    says = {
        "better": f"better: {interval}",
        "not worse": f"not shown to be better, but worse by at most {policy.margin:g}: {interval}",
        "undecided": f"undecided between better and more than {policy.margin:g} worse: {interval}",
        "worse": f"worse: {interval}",
    }[found]
    return Finding(_OUTCOMES[found], says, numbers)


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
