"""Check 1: the test split is unknown to every compared model."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail on any test row seen in training, and on more near-duplicates across splits than tolerated."""
    overlap, near, rows = inputs.overlap_rows, inputs.near_duplicates, inputs.test_rows
    numbers = {"overlap_rows": overlap, "near_duplicates": near, "test_rows": rows}
    if not (is_finite(overlap) and is_finite(near) and is_finite(rows)) or min(overlap, near, rows) < 0:
        return Finding("missing", "whether the test split leaked is not known", numbers)
    if overlap > 0:
        return Finding("failed", f"{overlap} test rows were seen in training by a compared model", numbers)
    if near > policy.near_duplicate_share * rows:
        says = f"{near} near-duplicates across splits, more than {policy.near_duplicate_share:.0%} of {rows} test rows"
        return Finding("failed", says, numbers)
    if near > 0:
        return Finding("warned", f"no test row was seen in training, {near} have a near-duplicate there", numbers)
    return Finding("passed", "no test row was seen in training", numbers)
