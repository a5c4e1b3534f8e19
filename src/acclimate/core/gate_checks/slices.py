"""Check 6: no slice is left behind."""

from __future__ import annotations

from statistics import NormalDist

from acclimate.core.gate_inputs import Finding, GateInputs, Number, SliceResult, is_finite
from acclimate.core.gate_policy import GatePolicy
from acclimate.core.null_scale import holm

_Z95 = NormalDist().inv_cdf(0.975)


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Warn where a slice scores below the whole test split, after Holm's correction for the number of slices.

    One-sided z test of (slice - whole), the slice's standard error read off its 95 % interval. A slice whose interval
    begins below what the policy asks for fails. The worst slice is the one that is shown to score below the whole, of
    several the surest; where none is, or one fails, the one whose interval begins lowest.
    """
    if (unsliced := _unsliced(inputs, policy)) is not None:
        return unsliced
    whole = inputs.score
    p_values = [None if not is_finite(whole) else _p_below(part, whole) for part in inputs.slices]
    known = [p for p in p_values if p is not None]
    if len(known) < len(inputs.slices):
        return Finding("missing", "a slice has no score", _counted(inputs))
    adjusted, floor, names = holm(known), policy.slice_low_at_least, [part.name for part in inputs.slices]
    lows = [part.low for part in inputs.slices if part.low is not None]
    surest = min(range(len(known)), key=lambda i: (adjusted[i], known[i], names[i]))
    lowest = min(range(len(lows)), key=lambda i: (lows[i], names[i]))
    too_low = floor is not None and lows[lowest] < floor
    behind = adjusted[surest] < policy.slice_alpha
    worst = surest if behind and not too_low else lowest
    part = inputs.slices[worst]
    numbers = _counted(inputs) | {
        "worst": part.name,
        "worst_rows": part.rows,
        "worst_score": part.point,
        "worst_low": part.low,
        "p_holm": adjusted[worst],
    }
    score = f"{part.name} scores {part.point:.3f}"
    if too_low:
        says = f"{score}, and it might be {part.low:.3f}: below the {floor:g} asked of every slice ({part.rows} rows)"
        return Finding("failed", says, numbers | {"low_at_least": floor})
    if behind:
        return Finding("warned", f"{score}, below the whole's {whole:.3f} ({part.rows} rows)", numbers)
    return Finding("passed", f"no slice is shown to score below the whole{_left_out(inputs)}", numbers)


def _unsliced(inputs: GateInputs, policy: GatePolicy) -> Finding | None:
    """Where slices that were asked for are not there, by the policy or by the data's own columns, or none were."""
    if absent := sorted(set(policy.slice_columns) - {part.column for part in inputs.slices}):
        says = f"the policy asks for slices by {', '.join(absent)}, and none has enough test rows"
        return Finding("missing", says, _counted(inputs))
    if inputs.slices:
        return None
    if inputs.slice_columns:
        says = f"no value of {', '.join(inputs.slice_columns)} has enough test rows to be judged"
        return Finding("missing", says, _counted(inputs))
    return Finding("not_applicable", "there are no slices")


def _counted(inputs: GateInputs) -> dict[str, Number]:
    left_out = {} if inputs.slices_left_out is None else {"left_out": inputs.slices_left_out}
    return {"slices": len(inputs.slices), **left_out}


def _left_out(inputs: GateInputs) -> str:
    few = inputs.slices_left_out
    return f"; left out for too few test rows: {few}" if few else ""


def _p_below(part: SliceResult, whole: float) -> float | None:
    if not (is_finite(part.point) and is_finite(part.low) and is_finite(part.high)):
        return None
    error = (part.high - part.low) / (2 * _Z95)
    if error <= 0:
        return 0.0 if part.point < whole else 1.0
    return NormalDist().cdf((part.point - whole) / error)
