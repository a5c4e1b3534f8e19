"""Check 4: how much of the result is the training seed."""

from __future__ import annotations

import statistics

from acclimate.core.gate_inputs import Finding, GateInputs, Number, is_finite
from acclimate.core.gate_policy import GatePolicy


def check(inputs: GateInputs, policy: GatePolicy) -> Finding:
    """Warn where too few seeds were trained to know the spread, or where one of them would not have done.

    One that would not have done scores no better on the test split than the comparator (or than the comparator minus
    the margin, where not being worse is all that is claimed).
    """
    if inputs.strategy == "frozen":
        return Finding("not_applicable", "the frozen baseline has no training seed")
    trained = 1 + len(inputs.seed_scores)
    numbers: dict[str, Number] = {"seeds": trained}
    if inputs.seeds_diverged:
        numbers["diverged"] = inputs.seeds_diverged
        says = f"with {inputs.seeds_diverged} of {trained + inputs.seeds_diverged} seeds training diverged"
        return Finding("warned", f"{says}: the rate is too high to be relied on", numbers)
    if trained < policy.seeds:
        plural = "s" if trained > 1 else ""
        says = f"{trained} training seed{plural}: the spread between seeds is not known, {policy.seeds} would show it"
        return Finding("warned", says, numbers)
    scores = [score for score in (inputs.score, *inputs.seed_scores) if is_finite(score)]
    bar = inputs.primary.other_score if inputs.primary else None
    if len(scores) < trained or not is_finite(bar):
        return Finding("missing", "not all seeds were scored beside the comparator", numbers)
    numbers |= {"lowest": min(scores), "highest": max(scores)}
    found = f"{trained} training seed{'s' if trained > 1 else ''}: {min(scores):.3f} to {max(scores):.3f}"
    if trained > 1:
        numbers["standard_deviation"] = statistics.stdev(scores)
        found += f", standard deviation {statistics.stdev(scores):.3f}"
    needed = bar - (policy.margin if policy.claim == "non_inferiority" else 0.0)
    if short := sum(score <= needed for score in scores):
        gain = "not better" if policy.claim == "superiority" else "worse by more than the margin"
        says = f"{found}; {short} of them {'are' if short > 1 else 'is'} {gain} than {inputs.comparator}"
        return Finding("warned", f"{says}: with other seeds this model might not have been worth training", numbers)
    each = "each better" if policy.claim == "superiority" else "none worse by more than the margin"
    return Finding("passed", f"{found}, {each} than {inputs.comparator}", numbers)
