"""Check 11: how often this test split was looked at."""

from __future__ import annotations

import math

from acclimate.core.gate_checks.primary import at_alpha, position
from acclimate.core.gate_inputs import Finding, GateInputs
from acclimate.core.gate_policy import GatePolicy


def alpha_of_look(alpha: float, look: int) -> float:
    """Error rate of the k-th look; over all looks together they add up to ``alpha``.

    Source: sum over k of 1/k^2 = pi^2/6 (Basel series), alpha spending by Foster & Stine 2008.
    """
    return alpha * 6.0 / (math.pi**2 * look**2)


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Warn where the primary comparison would end differently at this look's error rate."""
    numbers: dict[str, float | int | str | bool | None] = {"look": inputs.look}
    if inputs.look < 1:
        return Finding("missing", "how often this test split was looked at is not known", numbers)
    alpha = alpha_of_look(policy.alpha, inputs.look)
    numbers["alpha"] = alpha
    strict, usual = position(inputs, policy, alpha), position(inputs, policy, policy.alpha)
    if strict is None or inputs.primary is None:
        return Finding("missing", "there is no primary comparison to correct", numbers)
    numbers["low_one_sided"] = at_alpha(inputs.primary, inputs.bound_alpha, alpha).low
    if strict != usual:
        says = f"look {inputs.look} at this test split: at its error rate {alpha:.2g} the candidate is {strict}"
        return Finding("warned", says, numbers)
    return Finding("passed", f"look {inputs.look} at this test split changes nothing", numbers)
