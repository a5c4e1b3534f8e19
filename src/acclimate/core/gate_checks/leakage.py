"""Check 1: the test split is unknown to every compared model."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, are_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail on a test row that was trained on or is in the pool, and on too many near-duplicates across splits."""
    overlap, near, rows, pool = inputs.overlap_rows, inputs.near_duplicates, inputs.test_rows, inputs.pool_overlap_rows
    numbers = {"overlap_rows": overlap, "near_duplicates": near, "test_rows": rows, "pool_overlap_rows": pool}
    known = [number for number in numbers.values() if number is not None]
    if len(known) < len(numbers) or not are_finite(*known) or min(known) < 0:
        return Finding("missing", "whether the test split leaked is not known", numbers)
    overlap, near, rows, pool = known
    if overlap > 0:
        return Finding("failed", f"{overlap} test rows were seen in training by a compared model", numbers)
    if pool > 0:
        return Finding("failed", f"{pool} test rows are in the pool of texts to pretrain on", numbers)
    if near > policy.near_duplicate_share * rows:
        says = f"{near} near-duplicates across splits, more than {policy.near_duplicate_share:.0%} of {rows} test rows"
        return Finding("failed", says, numbers)
    if near > 0:
        return Finding("warned", f"no test row was seen in training, {near} have a near-duplicate there", numbers)
    return Finding("passed", "no test row was seen in training", numbers)
