"""Check 5: the candidate beats what needs no pretrained model, and neither transfer nor adapting did harm."""

from __future__ import annotations

from acclimate.core.control_names import BEFORE_ADAPTING
from acclimate.core.evidence import SCRATCH
from acclimate.core.gate_inputs import Difference, Finding, GateInputs, Number
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Fail without a sure gain over the best trivial control, or with a sure loss against what has to be no better.

    That is a control without transfer, and what the candidate was adapted from. Negative transfer (Rosenstein 2005):
    the candidate against the same architecture from scratch, and against randomly initialised features; not to be
    shown better than these warns. The frozen model and the source as it is only block where they are surely better:
    whether adapting was worth it is for the primary comparison, and where one of them is the comparator, all of it.
    """
    expected = inputs.expected_controls | ({SCRATCH} if policy.scratch and inputs.strategy != "frozen" else set())
    trivial = [difference for name in inputs.trivial if (difference := inputs.comparison(name)) is not None]
    untransferred = [inputs.comparison(name) for name in sorted(expected)]
    elsewhere = inputs.primary.other if inputs.primary else ""
    before = [d for d in inputs.comparisons if d.other in BEFORE_ADAPTING and d.other != elsewhere]
    numbers = _numbers(inputs)
    known = [difference for difference in untransferred if difference is not None and difference.computed]
    found = {d.other for d in [*trivial, *known, *before] if d.computed}
    needed = {*inputs.trivial, *expected, *(inputs.expected_before - {elsewhere}), *(d.other for d in before)}
    if absent := sorted(needed - found):
        return Finding("missing", f"not compared with {', '.join(absent)}", numbers)
    best = max(trivial, key=lambda d: (_of(d.other_score), -_of(d.low)))
    numbers["best_trivial"] = best.other
    if _of(best.low) <= 0:
        return Finding("failed", f"not surely better than {best.other}: {_interval(best)}", numbers)
    if hurt := [d for d in known if _of(d.high) < 0]:
        says = "; ".join(f"{d.other} is better: {_interval(d)}" for d in hurt)
        return Finding("failed", f"negative transfer: {says}", numbers)
    if worse := [d for d in before if _of(d.high) < 0]:
        says = "; ".join(f"{d.other} is better: {_interval(d)}" for d in worse)
        return Finding("failed", f"adapting made it worse: {says}", numbers)
    if doubtful := [d for d in known if _of(d.low) <= 0]:
        says = "; ".join(f"{d.other}: {_interval(d)}" for d in doubtful)
        return Finding("warned", f"better than {best.other}, but it is not shown that transfer helps: {says}", numbers)
    others = " and ".join([best.other, *(d.other for d in known)])
    return Finding("passed", f"better than {others}", numbers)


def _numbers(inputs: GateInputs) -> dict[str, Number]:
    numbers: dict[str, Number] = {}
    for difference in inputs.comparisons:
        numbers[f"{difference.other}.difference"] = difference.point
        numbers[f"{difference.other}.low_one_sided"] = difference.low
        numbers[f"{difference.other}.high_one_sided"] = difference.high
    return numbers


def _of(value: float | None) -> float:
    """The number itself; only called on differences that were computed."""
    assert value is not None
    return value


def _interval(difference: Difference) -> str:
    return f"{difference.point:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
