"""The gate: all checks on one candidate, and the verdict.

Adding a check: a file in ``gate_checks`` and a line in its registry; a policy names it if it is required.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from acclimate.core.gate_checks import CHECKS, GateCheck
from acclimate.core.gate_checks.primary import Position, alpha_in_use, position, shows_claim
from acclimate.core.gate_inputs import Difference, GateInputs, Integrity, Number, Outcome, Reliability, SliceResult
from acclimate.core.gate_policy import GatePolicy, Waiver

__all__ = [
    "CheckResult",
    "Difference",
    "GateInputs",
    "GateOutcome",
    "GatePolicy",
    "Integrity",
    "Reliability",
    "SliceResult",
    "Waiver",
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
        waived: who answers for it although it failed, and why; None: nobody.
    """

    number: int
    name: str
    required: bool
    outcome: Outcome
    numbers: Mapping[str, Number]
    says: str
    waived: str | None = None

    @property
    def blocks(self) -> bool:
        """It keeps the candidate out."""
        return self.required and self.outcome in ("failed", "missing") and self.waived is None


@dataclass(frozen=True)
class GateOutcome:
    """What the gate says.

    Args:
        verdict: REJECT, HOLD, SHADOW or PROMOTE, the first that matches.
        checks: all of them, in order.
        reasons: what settled the verdict, and what to know besides; one sentence each.
        next_step: what to do now, one or two sentences.
        if_approved: what the verdict becomes with the approval that alone is missing; None where none is.
    """

    verdict: VerdictName
    checks: tuple[CheckResult, ...]
    reasons: tuple[str, ...]
    next_step: str
    if_approved: VerdictName | None = None


def judge(inputs: GateInputs, policy: GatePolicy, waivers: Sequence[Waiver] = ()) -> GateOutcome:
    """Judge one candidate.

    REJECT: a required check other than the approval fails or can't be computed, and nobody who may waives it, or the
    upper bound of (candidate - comparator) is below 0. HOLD: the interval holds both 0 and -margin, or only an approval
    is missing. SHADOW: -margin <= lower bound <= 0, unless that is what the policy claims. PROMOTE: all else.

    Args:
        inputs: what was measured.
        policy: what is required.
        waivers: failed checks that somebody answers for; without effect where the policy doesn't name them.
    """
    results = tuple(_result(entry, inputs, policy, waivers) for entry in CHECKS)
    primary, approval = (next(r for r in results if r.name == name) for name in ("primary", "approval"))
    blocking = [r for r in results if r.blocks and r is not approval]
    found = position(inputs, policy, alpha_in_use(inputs, policy))
    if blocking or found is None:
        verdict: VerdictName = "REJECT"
    else:
        verdict = "PROMOTE" if shows_claim(found, policy) else _VERDICTS[found]
    waits = approval.blocks and verdict in ("PROMOTE", "SHADOW")
    if_approved, verdict = (verdict, "HOLD") if waits else (None, verdict)
    reasons = [f"{r.name}: {r.says}" for r in blocking or [primary]]
    reasons += [f"{approval.name}: {approval.says}"] if waits else []
    reasons += [f"{r.name}: {r.says}" for r in results if r.outcome == "warned" and r.required and r is not primary]
    reasons += [f"{r.name}: {r.says}; waived by {r.waived}" for r in results if r.waived]
    step = _remedy("approval") if waits else _next_step(verdict, blocking, inputs, primary)
    return GateOutcome(verdict, results, tuple(reasons), step, if_approved)


def _result(entry: GateCheck, inputs: GateInputs, policy: GatePolicy, waivers: Sequence[Waiver]) -> CheckResult:
    finding = entry.check(inputs, policy)
    numbers = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in finding.numbers.items()
    }
    outcome = finding.outcome
    if outcome == "warned" and entry.name in policy.warning_blocks:
        outcome = "failed"
    required = entry.name in policy.required or (entry.name == "approval" and policy.approval)
    result = CheckResult(entry.number, entry.name, required, outcome, numbers, finding.says)
    may = policy.waived_by.get(entry.name, frozenset())
    waiver = next((one for one in waivers if one.check == entry.name and one.by in may), None)
    return replace(result, waived=f"{waiver.by}: {waiver.reason}") if waiver and result.blocks else result


def _remedy(name: str) -> str:
    return next(entry.remedy for entry in CHECKS if entry.name == name)


def _next_step(verdict: VerdictName, blocking: list[CheckResult], inputs: GateInputs, primary: CheckResult) -> str:
    if verdict == "REJECT":
        names = {r.name for r in blocking} or {"primary"}
        return " ".join(entry.remedy for entry in CHECKS if entry.name in names)
    if verdict == "PROMOTE":
        return "It may be promoted: it passed every check that the policy requires."
    needed, there = primary.numbers.get("rows_needed"), inputs.test_rows
    more = f"; about {needed} test rows would show the observed difference, there are {there}"
    rows = more if isinstance(needed, int) and there is not None and needed > there else ""
    if verdict == "SHADOW":
        return f"Run it beside {inputs.comparator} before you promote it{rows}."
    return f"Don't use it yet: label more rows, of which a fifth go to the test split, and run again{rows}."
