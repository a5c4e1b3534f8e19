"""Check 9: what the model costs to serve."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, Number, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail a model that is larger or slower than the policy allows.

    How fast it was is looked at only where there is a limit: it differs between runs, and so would the verdict.
    """
    size, most = inputs.size_bytes, policy.size_bytes_at_most
    if not is_finite(size):
        return Finding("missing", "the model's size is not known")
    numbers: dict[str, Number] = {"size_bytes": size}
    has = f"the model has {size / 1e6:.1f} MB"
    over = most is not None and size > most
    if most is not None:
        numbers["size_bytes_at_most"] = most
        has += f", {'more than' if over else 'at most'} {most / 1e6:.1f}"
    slow, slowest = inputs.latency_p95_ms, policy.latency_p95_ms_at_most
    if slowest is not None:
        if not is_finite(slow):
            return Finding("missing", "how long the model takes for a row was not measured", numbers)
        numbers |= {"latency_p95_ms": slow, "latency_p95_ms_at_most": slowest}
        has += f"; 95 % of rows take {'more than' if slow > slowest else 'at most'} {slowest:g} ms ({slow:.1f})"
        over = over or slow > slowest
    if most is None and slowest is None:
        return Finding("not_applicable", f"no limit is set; {has}", numbers)
    return Finding("failed" if over else "passed", has, numbers)
