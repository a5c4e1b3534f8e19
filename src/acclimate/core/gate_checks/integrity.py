"""Check 2: what would be registered is what was evaluated, and the adaptation does something."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Compare digest and logits of the stored model with the evaluated one's."""
    seen, trained = inputs.integrity, inputs.strategy != "frozen"
    difference = seen.max_logit_difference
    numbers = {
        "max_logit_difference": difference,
        "changes_outputs": seen.changes_outputs,
        "same_model": seen.same_model,
    }
    if not is_finite(difference) or seen.same_model is None or (trained and seen.changes_outputs is None):
        return Finding("missing", "the stored model was not compared with the evaluated one", numbers)
    if seen.same_model is not True:
        return Finding("failed", "the stored model is not the one that was evaluated", numbers)
    if abs(difference) > policy.logit_tolerance:
        says = f"logits change by {abs(difference):.2g} when the model is stored and loaded"
        return Finding("failed", says, numbers)
    if trained and seen.changes_outputs is not True:
        return Finding("failed", "training changed no output: the adaptation does nothing", numbers)
    return Finding("passed", "the stored model predicts what the evaluated one did", numbers)
