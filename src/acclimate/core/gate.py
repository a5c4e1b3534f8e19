"""The gate: all checks on one candidate, and the verdict.

Adding a check: a file in ``gate_checks`` and a line in its registry; a policy names it if it is required.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from acclimate.core.gate_checks import CHECKS, GateCheck
from acclimate.core.gate_checks.licence import POOL
from acclimate.core.gate_checks.primary import Position, position
from acclimate.core.gate_inputs import Difference, GateInputs, Integrity, Number, Outcome, Reliability, SliceResult
from acclimate.core.gate_policy import STANDARD, GatePolicy, gate_policy

__all__ = [
    "STANDARD",
    "CheckResult",
    "Difference",
    "GateInputs",
    "GateOutcome",
    "GatePolicy",
    "Integrity",
    "Reliability",
    "SliceResult",
    "gate_policy",
    "judge",
]

VerdictName = Literal["PROMOTE", "SHADOW", "HOLD", "REJECT"]
_VERDICTS: dict[Position, VerdictName] = {
    "better": "PROMOTE",
    "not worse": "SHADOW",
    "undecided": "HOLD",
    "worse": "REJECT",
}


@dataclass(frozen=True)
class CheckResult:
    """One check's result. Field by field a ``records.Check``.

    Args:
        number: its place in the gate.
        name: what policies call it.
        required: the policy requires it.
        outcome: ``missing``, it could not be computed, counts as failed where it is required.
        numbers: what it looked at; None where that is not finite.
        says: one sentence for people.
    """

    number: int
    name: str
    required: bool
    outcome: Outcome
    numbers: Mapping[str, Number]
    says: str


@dataclass(frozen=True)
class GateOutcome:
    """What the gate says.

    Args:
        verdict: REJECT, HOLD, SHADOW or PROMOTE, the first that matches.
        checks: all of them, in order.
        reasons: what settled the verdict, and what to know besides; one sentence each.
        next_step: what to do now, one or two sentences.
    """

    verdict: VerdictName
    checks: tuple[CheckResult, ...]
    reasons: tuple[str, ...]
    next_step: str


def judge(inputs: GateInputs, policy: GatePolicy) -> GateOutcome:
    """Judge one candidate.

    REJECT: a required check fails or can't be computed, or the upper bound of (candidate - comparator) is below 0.
    HOLD: the interval holds both 0 and -margin. SHADOW: -margin <= lower bound <= 0. PROMOTE: all else.

    Args:
        inputs: what was measured.
        policy: what is required.
    """
    results = tuple(_result(entry, inputs, policy) for entry in CHECKS)
    blocking = [r for r in results if r.required and r.outcome in ("failed", "missing")]
    found = position(inputs, policy, policy.alpha)
    verdict: VerdictName = "REJECT" if blocking or found is None else _VERDICTS[found]
    primary = next(r for r in results if r.name == "primary")
    reasons = [f"{r.name}: {r.says}" for r in blocking or [primary]]
    reasons += [f"{r.name}: {r.says}" for r in results if r.outcome == "warned" and r.required and r is not primary]
    return GateOutcome(verdict, results, tuple(reasons), _next_step(verdict, blocking, inputs))


def _result(entry: GateCheck, inputs: GateInputs, policy: GatePolicy) -> CheckResult:
    finding = entry.check(inputs, policy)
    numbers = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in finding.numbers.items()
    }
    required = entry.name in _required(inputs, policy)
    return CheckResult(entry.number, entry.name, required, finding.outcome, numbers, finding.says)


def _required(inputs: GateInputs, policy: GatePolicy) -> frozenset[str]:
    """What the policy requires; with a pool the licences too: texts of others are not the owner's own by default."""
    return policy.required | {"licence"} if POOL in inputs.licences else policy.required


def _next_step(verdict: VerdictName, blocking: list[CheckResult], inputs: GateInputs) -> str:
    if verdict == "REJECT":
        names = {r.name for r in blocking} or {"primary"}
        return " ".join(entry.remedy for entry in CHECKS if entry.name in names)
    if verdict == "PROMOTE":
        return "It may be promoted: it passed every check that the policy requires."
    needed = inputs.primary.rows_needed if inputs.primary else None
    more = f"; about {needed} test rows would show the observed difference, there are {inputs.test_rows}"
    rows = more if needed is not None and inputs.test_rows is not None and needed > inputs.test_rows else ""
    if verdict == "SHADOW":
        return f"Run it beside {inputs.comparator} before you promote it{rows}."
    return f"Don't use it yet: label more rows, of which a fifth go to the test split, and run again{rows}."
