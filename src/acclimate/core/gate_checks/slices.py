"""Check 6: no slice is left behind."""

from __future__ import annotations

from statistics import NormalDist

from acclimate.core.gate_inputs import Finding, GateInputs, Number, SliceResult, is_finite
from acclimate.core.gate_policy import GatePolicy
from acclimate.core.null_scale import holm

_Z95 = NormalDist().inv_cdf(0.975)


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Warn where a slice scores below the whole test split, after Holm's correction for the number of slices.

    One-sided z test of (slice - whole), the slice's standard error read off its 95 % interval.
    """
    if absent := sorted(set(policy.slice_columns) - {part.column for part in inputs.slices}):
        says = f"the policy asks for slices by {', '.join(absent)}, and none has enough test rows"
        return Finding("missing", says, {"slices": len(inputs.slices)})
    if not inputs.slices:
        return Finding("not_applicable", "there are no slices")
    whole = inputs.score
    p_values = [None if not is_finite(whole) else _p_below(part, whole) for part in inputs.slices]
    known = [p for p in p_values if p is not None]
    if len(known) < len(inputs.slices):
        return Finding("missing", "a slice has no score", {"slices": len(inputs.slices)})
    adjusted = holm(known)
    worst = min(range(len(adjusted)), key=lambda i: (adjusted[i], inputs.slices[i].name))
    part = inputs.slices[worst]
    numbers: dict[str, Number] = {
        "slices": len(adjusted),
        "worst": part.name,
        "worst_rows": part.rows,
        "worst_score": part.point,
        "worst_low": part.low,
        "p_holm": adjusted[worst],
    }
    if adjusted[worst] < policy.slice_alpha:
        says = f"{part.name} scores {part.point:.3f}, below the whole's {whole:.3f} ({part.rows} rows)"
        return Finding("warned", says, numbers)
    return Finding("passed", "no slice is shown to score below the whole", numbers)


def _p_below(part: SliceResult, whole: float) -> float | None:
    if not (is_finite(part.point) and is_finite(part.low) and is_finite(part.high)):
        return None
    error = (part.high - part.low) / (2 * _Z95)
    if error <= 0:
        return 0.0 if part.point < whole else 1.0
    return NormalDist().cdf((part.point - whole) / error)
