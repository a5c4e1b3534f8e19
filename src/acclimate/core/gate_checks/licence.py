"""Check 10: the most restrictive licence of everything the model was made from."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, Number, Outcome
from acclimate.core.gate_policy import GatePolicy

OWN = "own data"
POOL = "pool"
# SPDX names by how much they ask for, least first; what is in no line is stated but unknown to us: most restrictive.
_PUBLIC = (OWN, "CC0-", "Unlicense", "0BSD", "PDDL-")
_PERMISSIVE = ("MIT", "Apache-", "BSD-", "ISC", "CC-BY-3", "CC-BY-4", "ODC-By", "BSL-1.0")
_WEAK_COPYLEFT = ("MPL-", "LGPL-", "CC-BY-SA-", "ODbL-", "EPL-")
_COPYLEFT = ("GPL-", "AGPL-")
_GRADES = (_PUBLIC, _PERMISSIVE, _WEAK_COPYLEFT, _COPYLEFT)
_FREE = 2  # grades below may be used without obligations on what the model is used for


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail an unknown licence, warn where the most restrictive one carries obligations."""
    del policy
    numbers: dict[str, Number] = {f"{name}.licence": licence for name, licence in sorted(inputs.licences.items())}
    unknown = sorted(name for name, licence in inputs.licences.items() if not licence)
    if not inputs.licences:
        return Finding("missing", "no licence was looked at")
    if unknown:
        return Finding("failed", f"the licence of the {', '.join(unknown)} is unknown", numbers)
    stated = [(_grade(licence), name, licence) for name, licence in inputs.licences.items() if licence]
    grade, name, licence = max(stated)
    numbers["most_restrictive"] = licence
    outcome: Outcome = "passed" if grade < _FREE else "warned"
    return Finding(outcome, f"the most restrictive licence is the {name}'s: {licence}", numbers)


def _grade(licence: str) -> int:
    name = licence.lower()
    for grade, prefixes in enumerate(_GRADES):
        if any(name.startswith(prefix.lower()) for prefix in prefixes):
            return grade
    return len(_GRADES)
