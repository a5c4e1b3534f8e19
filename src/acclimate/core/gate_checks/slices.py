"""Check 6: no slice is left behind."""

from __future__ import annotations

from acclimate.core.gate_inputs import Finding, GateInputs, Number, is_finite
from acclimate.core.gate_policy import GatePolicy
from acclimate.core.null_scale import holm


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Warn where a slice is served worse than the other rows, after Holm's correction for the number of slices.

    Compared are rows of the same classes, so that a slice's mix of classes neither excuses nor accuses it. A slice
    whose score's interval begins below what the policy asks for fails. The worst slice is the one that is shown to be
    served worse, of several the surest; where none is, or one fails, the one whose interval begins lowest. A slice that
    lies in one group, or whose classes no other row has, can't be compared.
    """
    if (unsliced := _unsliced(inputs, policy)) is not None:
        return unsliced
    lows = [part.low for part in inputs.slices if is_finite(part.point) and is_finite(part.low)]
    if len(lows) < len(inputs.slices):
        return Finding("missing", "a slice has no score", _counted(inputs))
    compared = [i for i, part in enumerate(inputs.slices) if is_finite(part.p_behind)]
    if not compared:
        return Finding("missing", "no slice can be compared with other rows", _counted(inputs))
    known = [inputs.slices[i].p_behind for i in compared]
    adjusted = dict(zip(compared, holm([p for p in known if p is not None]), strict=True))
    floor, names = policy.slice_low_at_least, [part.name for part in inputs.slices]
    surest = min(compared, key=lambda i: (adjusted[i], inputs.slices[i].p_behind, names[i]))
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
        "worst_gap": part.gap,
        "p_holm": adjusted.get(worst),
    }
    if too_low:
        says = f"{part.name} scores {part.point:.3f}, and it might be {part.low:.3f}: below the {floor:g} asked of"
        return Finding("failed", f"{says} every slice ({part.rows} rows)", numbers | {"low_at_least": floor})
    if behind:
        says = f"{part.name} is served worse than other rows of the same classes, by {-(part.gap or 0):.3f}"
        return Finding("warned", f"{says} ({part.rows} rows)", numbers)
    return Finding("passed", f"no slice is shown to be served worse than the others{_left_out(inputs)}", numbers)


def _unsliced(inputs: GateInputs, policy: GatePolicy) -> Finding | None:
    """Where slices that were asked for are not there, by the policy or by the data's own columns, or none were."""
    compared = {part.column for part in inputs.slices if part.p_behind is not None}
    if absent := sorted(set(policy.slice_columns) - compared):
        says = f"the policy asks for slices by {', '.join(absent)}, and none has enough test rows or groups"
        return Finding("missing", says, _counted(inputs))
    if any(part.rows != inputs.test_rows for part in inputs.slices):
        return None
    if inputs.slice_columns:
        says = f"no value of {', '.join(inputs.slice_columns)} has enough test rows to be judged"
        return Finding("missing", says, _counted(inputs))
    return Finding("not_applicable", "there are no slices")


def _counted(inputs: GateInputs) -> dict[str, Number]:
    found: dict[str, Number] = {"slices": len(inputs.slices)}
    if inputs.slices_left_out is not None:
        found["left_out"] = inputs.slices_left_out
    if alone := sum(part.p_behind is None for part in inputs.slices):
        found["not_comparable"] = alone
    return found


def _left_out(inputs: GateInputs) -> str:
    few = inputs.slices_left_out
    return f"; left out for too few test rows: {few}" if few else ""
