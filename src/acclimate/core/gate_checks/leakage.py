"""Check 1: the test split is unknown to every compared model."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, are_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail on a test row that was trained on or is in the pool, and on too many near-duplicates across splits.

    Groups that may lie on both sides fail where the policy asks for grouped splits.
    """
    overlap, near, rows, pool = inputs.overlap_rows, inputs.near_duplicates, inputs.test_rows, inputs.pool_overlap_rows
    numbers = {"overlap_rows": overlap, "near_duplicates": near, "test_rows": rows, "pool_overlap_rows": pool}
    known = [number for number in numbers.values() if number is not None]
    if len(known) < len(numbers) or not are_finite(*known) or min(known) < 0:
        return Finding("missing", "whether the test split leaked is not known", numbers)
    overlap, near, rows, pool = known
    share = policy.near_duplicate_share
    leaks = (
        (overlap > 0, f"{overlap} test rows were seen in training by a compared model"),
        (pool > 0, f"{pool} test rows are in the pool of texts to pretrain on"),
        (near > share * rows, f"{near} near-duplicates across splits, more than {share:.0%} of {rows} test rows"),
        (policy.grouped and not inputs.grouped, "the policy asks for grouped splits, and target.group names no column"),
    )
    if found := [says for leaked, says in leaks if leaked]:
        return Finding("failed", "; ".join(found), numbers)
    if near > 0:
        return Finding("warned", f"no test row was seen in training, {near} have a near-duplicate there", numbers)
    return Finding("passed", "no test row was seen in training", numbers)
