"""Decision rules R3 and R4: the two reasons to hand on the frozen baseline without training."""

from __future__ import annotations

import math

from acclimate.core.decision_policy import DecisionPolicy
from acclimate.core.evidence import Evidence, RuleFinding
from acclimate.core.paired import detectable_effect, rows_needed


def freeze_good_enough(evidence: Evidence, policy: DecisionPolicy, arms: tuple[str, ...]) -> RuleFinding:
    """R3: the frozen baseline surely meets the requirement and no control beats it.

    Without a requirement the line is 1 - min_gain: above it a gain worth training for does not fit any more. Scores on
    rows that the source was fitted on itself say nothing of others.
    """
    line = needed_score(evidence)
    beaten = evidence.gain < 0
    fired = evidence.probe_low >= line and not beaten and not evidence.from_memory
    if fired:
        says = f"the frozen baseline is enough: its interval starts at {evidence.probe_low:.3f}, needed {line:.3f}"
    elif beaten:
        says = f"{evidence.best_control} scores {-evidence.gain:.3f} more than the frozen baseline"
    elif evidence.from_memory:
        says = "the source model was fitted on these rows itself, or may have been: its score does not tell of others"
    else:
        says = (
            f"the frozen baseline may not be enough: its interval starts at {evidence.probe_low:.3f}, needed {line:.3f}"
        )
    return RuleFinding(
        rule="R3",
        fired=fired,
        inputs={
            "probe_low": evidence.probe_low,
            "at_least": evidence.at_least,
            "min_gain": evidence.min_gain,
            "best_control": evidence.best_control,
            "transfer_gain": evidence.gain,
            **({"from_memory": True} if evidence.from_memory else {}),
        },
        threshold=f"lower end of the baseline's 95 % interval >= {line:g}, and no control scores higher",
        source=policy.name,
        says=says,
        rejected=tuple(f"{arm}: what was asked for is there without training" for arm in arms) if fired else (),
    )


def freeze_too_few(evidence: Evidence, policy: DecisionPolicy, arms: tuple[str, ...]) -> RuleFinding:
    """R4: validation is too small to show the gain that is wanted, so arms could not be told from chance."""
    wanted, shown = wanted_gain(evidence, policy), detectable_gain(evidence, policy)
    fired = shown > wanted
    more = labels_missing(evidence, policy) if fired else None
    says = f"{evidence.validation_rows} validation rows can show a gain of {shown:.3f}, wanted is {wanted:.3f}"
    if fired:
        says = f"too few labels to tell whether training helps: {says}; label about {more} more"
    return RuleFinding(
        rule="R4",
        fired=fired,
        inputs={
            "validation_rows": evidence.validation_rows,
            "disagreement": likely_disagreement(evidence),
            "detectable_effect": shown,
            "wanted_gain": wanted,
            "min_gain": evidence.min_gain,
            "requirement_missing_by": None if evidence.at_least is None else evidence.at_least - evidence.probe_score,
            "label_more": more,
            "slope_per_doubling": evidence.slope_per_doubling,
        },
        threshold=f"smallest detectable effect > {wanted:g} = max(min_gain, at_least - baseline, "
        f"{policy.smallest_wanted_gain:g}), {policy.power:.0%} power, one-sided {policy.alpha:.0%}",
        source=f"Connor 1987 (McNemar's test: n = 6.2 d / delta^2); {policy.name}",
        says=says,
        rejected=tuple(f"{arm}: validation can't show whether it helps" for arm in arms) if fired else (),
    )


def needed_score(evidence: Evidence) -> float:
    """The line that the baseline's interval must lie above to be enough."""
    return 1.0 - evidence.min_gain if evidence.at_least is None else evidence.at_least


def wanted_gain(evidence: Evidence, policy: DecisionPolicy) -> float:
    """Gain over the frozen baseline that validation must be able to show: the largest of three."""
    missing = 0.0 if evidence.at_least is None else evidence.at_least - evidence.probe_score
    return max(evidence.min_gain, missing, policy.smallest_wanted_gain)


def detectable_gain(evidence: Evidence, policy: DecisionPolicy) -> float:
    """Smallest gain that a paired test on validation finds, from the share of rows on which two models may differ."""
    return detectable_effect(
        evidence.validation_rows, likely_disagreement(evidence), alpha=policy.alpha, power=policy.power
    )


def likely_disagreement(evidence: Evidence) -> float:
    """Share of rows on which two models may differ: as seen, but no less than the rule of succession says.

    None of ten training rows is no proof of none: it would let R4 believe that ten rows show any gain.

    Source:
        Laplace 1814: (k + 1) / (n + 2) after k of n.
    """
    seen, rows = evidence.disagreement, evidence.train_rows
    return max(seen, (seen * rows + 1) / (rows + 2))


def labels_missing(evidence: Evidence, policy: DecisionPolicy) -> int:
    """Labels to add so that validation, which gets its fixed share of them, can show the wanted gain; 0 if it can."""
    disagreement = likely_disagreement(evidence)
    needed = rows_needed(wanted_gain(evidence, policy), disagreement, alpha=policy.alpha, power=policy.power)
    return math.ceil(max(0, needed - evidence.validation_rows) / policy.validation_share)
