"""Check 11: how often this test split was looked at."""

from __future__ import annotations

from acclimate.core.gate_checks.primary import alpha_of_look, at_alpha, position, shows_claim
from acclimate.core.gate_inputs import Finding, GateInputs
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Warn where the primary comparison would end differently at this look's error rate.

    Where the policy judges it at that rate already, there is nothing left to warn of.
    """
    numbers: dict[str, float | int | str | bool | None] = {"look": inputs.look}
    if inputs.look < 1:
        return Finding("missing", "how often this test split was looked at is not known", numbers)
    alpha = alpha_of_look(policy.alpha, inputs.look)
    numbers["alpha"] = alpha
    strict, usual = position(inputs, policy, alpha), position(inputs, policy, policy.alpha)
    if strict is None or inputs.primary is None:
        return Finding("missing", "there is no primary comparison to correct", numbers)
    if policy.corrects_looks:
        return Finding(
            "passed", f"look {inputs.look} at this test split: judged at its error rate {alpha:.2g}", numbers
        )
    numbers["low_one_sided"] = at_alpha(inputs.primary, alpha, inputs).low
    if strict != usual and not (usual and shows_claim(strict, policy) and shows_claim(usual, policy)):
        says = f"look {inputs.look} at this test split: at its error rate {alpha:.2g} the candidate is {strict}"
        return Finding("warned", says, numbers)
    return Finding("passed", f"look {inputs.look} at this test split changes nothing", numbers)
