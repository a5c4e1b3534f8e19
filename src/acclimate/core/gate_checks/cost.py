"""Check 9: what the model costs to serve. Latency is in the evaluation's timing.json: it differs between runs."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Report the size; no limit can be declared yet."""
    del policy
    size = inputs.size_bytes
    if not is_finite(size):
        return Finding("missing", "the model's size is not known")
    return Finding("not_applicable", f"no limit is set; the model has {size / 1e6:.1f} MB", {"size_bytes": size})
