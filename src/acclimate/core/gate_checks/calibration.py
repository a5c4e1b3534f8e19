"""Check 7: the probabilities mean what they say."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Warn above the tolerated calibration error."""
    if not inputs.gives_probabilities:
        return Finding("not_applicable", "written texts have no classes whose probabilities could be checked")
    seen = inputs.reliability
    if seen is None:
        return Finding("missing", "calibration was not measured")
    numbers = {"ece": seen.ece, "ece_before": seen.ece_before, "nll": seen.nll, "brier": seen.brier}
    if not (is_finite(seen.ece) and is_finite(seen.ece_before)):
        return Finding("missing", "calibration was not measured", numbers)
    if seen.ece > policy.ece_at_most:
        return Finding("warned", f"calibration error {seen.ece:.3f}, above {policy.ece_at_most:g}", numbers)
    return Finding("passed", f"calibration error {seen.ece:.3f} (without temperature {seen.ece_before:.3f})", numbers)
