"""Check 10: the most restrictive licence of everything the model was made from."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, Number, Outcome
from acclimate.core.gate_policy import GatePolicy
from acclimate.core.licences import Grade, grade

POOL = "pool"


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail an unknown licence, or one that asks for more than the policy allows; warn of obligations.

    What the policy names may have an unknown licence: it warns.
    """
    numbers: dict[str, Number] = {f"{name}.licence": licence for name, licence in sorted(inputs.licences.items())}
    unknown = sorted(name for name, licence in inputs.licences.items() if not licence)
    if not inputs.licences:
        return Finding("missing", "no licence was looked at")
    if set(unknown) - policy.unknown_licences:
        return Finding("failed", f"the licence of the {', '.join(unknown)} is unknown", numbers)
    stated = [(grade(licence), name, licence) for name, licence in inputs.licences.items() if licence]
    if not stated:
        return Finding("warned", f"the licence of the {', '.join(unknown)} is unknown", numbers)
    worst, name, licence = max(stated)
    numbers["most_restrictive"] = licence
    most = policy.licence_at_most
    if most is not None and worst > most:
        asks = most.name.lower().replace("_", " ")
        return Finding("failed", f"the {name}'s licence, {licence}, asks for more than {asks} ones do", numbers)
    if unknown:
        return Finding("warned", f"the licence of the {', '.join(unknown)} is unknown", numbers)
    # above, the licence has obligations on what the model may be used for, or how it is handed on
    outcome: Outcome = "passed" if worst <= Grade.PERMISSIVE else "warned"
    return Finding(outcome, f"the most restrictive licence is the {name}'s: {licence}", numbers)
