"""Check 9: what the model costs to serve. Latency is in the evaluation's timing.json: it differs between runs."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, Number, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail a model whose files are larger than the policy allows."""
    size, most = inputs.size_bytes, policy.size_bytes_at_most
    if not is_finite(size):
        return Finding("missing", "the model's size is not known")
    if most is None:
        return Finding("not_applicable", f"no limit is set; the model has {size / 1e6:.1f} MB", {"size_bytes": size})
    numbers: dict[str, Number] = {"size_bytes": size, "size_bytes_at_most": most}
    if size > most:
        return Finding("failed", f"the model has {size / 1e6:.1f} MB, more than {most / 1e6:.1f}", numbers)
    return Finding("passed", f"the model has {size / 1e6:.1f} MB, at most {most / 1e6:.1f}", numbers)
