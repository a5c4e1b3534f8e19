"""Check 3: the candidate against the comparator, and where its interval lies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Literal

from scipy import stats

from acclimate.core.gate_inputs import Difference, Finding, GateInputs, Number, Outcome, are_finite, is_finite
from acclimate.core.gate_policy import GatePolicy

Position = Literal["better", "not worse", "undecided", "worse"]
_OUTCOMES: dict[Position, Outcome] = {
    "better": "passed",
    "not worse": "warned",
    "undecided": "warned",
    "worse": "failed",
}
_POWER = 0.8


@dataclass(frozen=True)
class _Judged:
    """A difference with bounds that were computed."""

    point: float
    low: float
    high: float


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Pass what shows the policy's claim, warn where it is not shown, fail a worse one.

    UNDERPOWERED is said of what is not shown where a difference as large as the observed one, or as the margin where
    that is larger, would be missed more often than one time in five.
    """
    alpha = alpha_in_use(inputs, policy)
    numbers: dict[str, Number] = {"margin": policy.margin, "alpha": alpha, "test_rows": inputs.test_rows}
    if inputs.test_groups is not None:
        numbers["test_groups"] = inputs.test_groups
    if few := _too_few(inputs, policy):
        return Finding("missing", few, numbers)
    found = position(inputs, policy, alpha)
    judged = _judged(inputs, policy, alpha)
    if found is None or judged is None:
        return Finding("missing", f"the candidate could not be compared with {inputs.comparator}", numbers)
    numbers |= {"difference": judged.point, "low_one_sided": judged.low, "high_one_sided": judged.high}
    numbers |= _power(inputs, alpha)
    weak = _is_underpowered(found, judged, numbers, policy)
    numbers["underpowered"] = weak
    interval = f"{judged.point:+.3f} ({judged.low:+.3f} to {judged.high:+.3f}) against {inputs.comparator}"
    if found == "not worse" and policy.claim == "non_inferiority":
        return Finding("passed", f"worse by at most {policy.margin:g}, as the policy asks: {interval}", numbers)
    says = {
        "better": f"better: {interval}",
        "not worse": f"not shown to be better, but worse by at most {policy.margin:g}: {interval}",
        "undecided": f"undecided between better and more than {policy.margin:g} worse: {interval}",
        "worse": f"worse: {interval}",
    }[found]
    return Finding(_OUTCOMES[found], says + (_in_words(numbers) if weak else ""), numbers)


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


def at_alpha(difference: Difference, alpha: float, inputs: GateInputs) -> Difference:
    """The same difference with one-sided bounds at another error rate.

    By the normal approximation, of grouped rows by the t distribution, as intervals over groups are made (see
    :func:`acclimate.core.resampling.expanded`).

    Args:
        difference: with bounds at ``inputs.bound_alpha``.
        alpha: the one wanted; equal to that nothing changes.
        inputs: say at what error rate the bounds are, and of how many groups.
    """
    measured = inputs.bound_alpha
    low, high, point = difference.low, difference.high, difference.point
    if alpha == measured or not (is_finite(low) and is_finite(high) and is_finite(point)):
        return difference
    groups = inputs.test_groups if inputs.grouped else None
    quantile = NormalDist().inv_cdf if groups is None or groups < 2 else stats.t(groups - 1).ppf
    factor = float(quantile(alpha) / quantile(measured))
    return replace(difference, low=point - (point - low) * factor, high=point + (high - point) * factor)


def _power(inputs: GateInputs, alpha: float) -> dict[str, Number]:
    """What the test rows can show, at the error rate that decides.

    Source: the same normal approximation as :func:`acclimate.core.paired.detectable_effect`, in which the effect grows
    with z_alpha + z_power, and the rows with its square.
    """
    primary, z = inputs.primary, NormalDist().inv_cdf
    if primary is None:
        return {}
    grows = (z(_POWER) - z(alpha)) / (z(_POWER) - z(inputs.bound_alpha))
    effect, rows = primary.detectable_effect, primary.rows_needed
    return {
        "detectable_effect": None if effect is None else effect * grows,
        "rows_needed": None if rows is None else math.ceil(rows * grows**2),
        "mcnemar_p": primary.mcnemar_p,
    }


def _is_underpowered(found: Position, judged: _Judged, numbers: Mapping[str, Number], policy: GatePolicy) -> bool:
    effect = numbers["detectable_effect"]
    unsettled = found in ("not worse", "undecided") and not shows_claim(found, policy)
    return unsettled and isinstance(effect, float) and effect > max(abs(judged.point), policy.margin)


def _in_words(numbers: Mapping[str, Number]) -> str:
    needed = numbers["rows_needed"]
    more = f", {needed} are needed to find the observed one" if needed is not None else ""
    rows, effect = numbers["test_rows"], numbers["detectable_effect"]
    return f"; UNDERPOWERED: {rows} test rows find a difference of {effect:.3f} four times in five{more}"


def _too_few(inputs: GateInputs, policy: GatePolicy) -> str:
    """Whether there are too few test rows or groups for an interval that can be trusted, in words."""
    rows, groups, least = inputs.test_rows, inputs.test_groups, policy.min_test_groups
    if not is_finite(rows):
        return "how many test rows there are is not known"
    if rows < policy.min_test_rows:
        return f"{rows} test rows, and an interval that can be trusted needs {policy.min_test_rows}"
    if least is None or not inputs.grouped:
        return ""
    if not is_finite(groups):
        return "of how many groups the test rows are is not known"
    return "" if groups >= least else f"test rows of {groups} groups, and an interval to be trusted needs {least}"


def _judged(inputs: GateInputs, policy: GatePolicy, alpha: float) -> _Judged | None:
    primary = inputs.primary
    if primary is None or not primary.computed or not are_finite(policy.margin, alpha) or _too_few(inputs, policy):
        return None
    scaled = at_alpha(primary, alpha, inputs)
    if not (is_finite(scaled.point) and is_finite(scaled.low) and is_finite(scaled.high)):
        return None
    return _Judged(scaled.point, scaled.low, scaled.high)
