"""Check 8: what the model knew about its source is still there."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Warn where the source score may have fallen by more than the margin.

    Without data of the source domain there is nothing to measure; with some, labels or held-out rows may be lacking.
    """
    low = inputs.retention_low
    if low is None and not inputs.reference_given:
        return Finding("not_applicable", "there are no data of the source domain to measure retention on")
    if low is None:
        return Finding("missing", "the data of the source domain lack the labels or rows to measure retention on")
    numbers = {"low_one_sided": low, "margin": policy.margin}
    if not is_finite(low):
        return Finding("missing", "retention on the source could not be computed", numbers)
    if low < -policy.margin:
        return Finding("warned", f"the source score may have fallen by {-low:.3f}", numbers)
    return Finding("passed", f"the source score fell by at most {max(0.0, -low):.3f}", numbers)
