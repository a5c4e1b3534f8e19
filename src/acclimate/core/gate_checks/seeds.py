"""Check 4: how much of the result is the training seed."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Warn where too few seeds were trained to know the spread."""
    if inputs.strategy == "frozen":
        return Finding("not_applicable", "the frozen baseline has no training seed")
    numbers = {"seeds": inputs.seeds}
    if inputs.seeds is None:
        return Finding("missing", "the number of training seeds is not known", numbers)
    if inputs.seeds < policy.seeds:
        says = f"{inputs.seeds} training seed: the spread between seeds is not known, {policy.seeds} would show it"
        return Finding("warned", says, numbers)
    return Finding("passed", f"{inputs.seeds} training seeds", numbers)
