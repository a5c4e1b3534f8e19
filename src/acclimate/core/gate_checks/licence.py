"""Check 10: the most restrictive licence of everything the model was made from."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, Number, Outcome
from acclimate.core.gate_policy import GatePolicy
from acclimate.core.licences import Grade, grade, is_known

POOL = "pool"


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail an unknown licence, or one that asks for more than the policy allows; warn of obligations.

    Unknown is one that nobody stated, and a stated one that is none of those known here: both may ask for anything.
    What the policy names may have an unknown licence: it warns.
    """
    numbers: dict[str, Number] = {f"{name}.licence": licence for name, licence in sorted(inputs.licences.items())}
    unknown = sorted(name for name, licence in inputs.licences.items() if not is_known(licence))
    if not inputs.licences:
        return Finding("missing", "no licence was looked at")
    if set(unknown) - policy.unknown_licences:
        return Finding("failed", _unknown(inputs, unknown), numbers)
    known = [(grade(licence), name, licence) for name, licence in inputs.licences.items() if licence]
    known = [one for one in known if one[1] not in unknown]
    if not known:
        return Finding("warned", _unknown(inputs, unknown), numbers)
    worst, name, licence = max(known)
    numbers["most_restrictive"] = licence
    most = policy.licence_at_most
    if most is not None and worst > most:
        asks = most.name.lower().replace("_", " ")
        return Finding("failed", f"the {name}'s licence, {licence}, asks for more than {asks} ones do", numbers)
    if unknown:
        return Finding("warned", _unknown(inputs, unknown), numbers)
    # above, the licence has obligations on what the model may be used for, or how it is handed on
    outcome: Outcome = "passed" if worst <= Grade.PERMISSIVE else "warned"
    return Finding(outcome, f"the most restrictive licence is the {name}'s: {licence}", numbers)


def _unknown(inputs: GateInputs, names: list[str]) -> str:
    """Whose licences are unknown, in words; what is stated but not known here is shown."""
    stated = ((name, inputs.licences[name]) for name in names)
    said = [f"{name} ({licence[:60]}: none that is known here)" if licence else name for name, licence in stated]
    return f"the licence of the {', '.join(said)} is unknown"
