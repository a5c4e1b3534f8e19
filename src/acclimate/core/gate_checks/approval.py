"""Check 13: somebody answers for the version."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Pass with the approval of somebody whom the policy allows to approve."""
    if not policy.approval:
        return Finding("not_applicable", "the policy asks for no approval")
    who = f"one of {', '.join(sorted(policy.approved_by))}" if policy.approved_by else "somebody"
    by = inputs.approved_by
    if by is None:
        return Finding("missing", f"{who} has to approve it first")
    if policy.approved_by and by not in policy.approved_by:
        return Finding("failed", f"{by} may not approve it, {who} has to", {"by": by})
    return Finding("passed", f"approved by {by}", {"by": by})
