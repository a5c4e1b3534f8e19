"""The requirement: the score the goal asks for."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Pass where the score, or the lower end of its interval, reaches ``goal.at_least``."""
    del policy
    if inputs.at_least is None:
        return Finding("not_applicable", "the goal asks for no score")
    by_point = inputs.at_least_by == "point"
    reached = inputs.score if by_point else inputs.score_low
    what = "score" if by_point else "lower end of the score's interval"
    numbers = {"at_least": inputs.at_least, "by": inputs.at_least_by, "reached": reached}
    if not (is_finite(reached) and is_finite(inputs.at_least)):
        return Finding("missing", f"the {what} is not known", numbers)
    if reached < inputs.at_least:
        return Finding("failed", f"the {what} is {reached:.3f}, the goal asks for {inputs.at_least:g}", numbers)
    return Finding("passed", f"the {what} is {reached:.3f}, at least {inputs.at_least:g} as asked", numbers)
