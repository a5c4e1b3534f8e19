"""Check 9: what the model costs to serve."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, Number, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail a model that is larger or slower, or takes more memory, than the policy allows.

    How fast it was and what memory it took is looked at only where there is a limit: both differ between runs, and so
    would the verdict.
    """
    if not is_finite(inputs.size_bytes):
        return Finding("missing", "the model's size is not known")
    numbers: dict[str, Number] = {"size_bytes": inputs.size_bytes}
    if policy.size_bytes_at_most is not None:
        numbers["size_bytes_at_most"] = policy.size_bytes_at_most
    parts = [
        _against(inputs.size_bytes, policy.size_bytes_at_most, "the model has {:.1f} MB", 1e6),
    ]
    if (slowest := policy.latency_p95_ms_at_most) is not None:
        if not is_finite(inputs.latency_p95_ms):
            return Finding("missing", "how long the model takes for a row was not measured", numbers)
        numbers |= {"latency_p95_ms": inputs.latency_p95_ms, "latency_p95_ms_at_most": slowest}
        parts.append(_against(inputs.latency_p95_ms, slowest, "95 % of rows take at most {:.1f} ms", 1.0))
    if (most := policy.memory_bytes_at_most) is not None:
        if not is_finite(inputs.memory_bytes):
            return Finding("missing", "what memory the model takes was not measured", numbers)
        numbers |= {"memory_bytes": inputs.memory_bytes, "memory_bytes_at_most": most}
        parts.append(_against(inputs.memory_bytes, most, "a process that serves it takes {:.0f} MB", 1e6))
    says = "; ".join(said for said, _ in parts)
    if policy.size_bytes_at_most is policy.latency_p95_ms_at_most is policy.memory_bytes_at_most is None:
        return Finding("not_applicable", f"no limit is set; {says}", numbers)
    return Finding("failed" if any(over for _, over in parts) else "passed", says, numbers)


def _against(value: float, most: float | None, says: str, unit: float) -> tuple[str, bool]:
    """A value beside its limit in words, and whether it is over."""
    said = says.format(value / unit)
    if most is None:
        return said, False
    over = value > most
    return f"{said}, {'more than' if over else 'within'} the limit of {most / unit:g}", over
