"""Named sets of required checks, with their thresholds."""

from __future__ import annotations

from dataclasses import dataclass, replace

from acclimate.errors import ConfigError


@dataclass(frozen=True)
class GatePolicy:
    """Which checks are required, and the thresholds of all.

    Args:
        name: as the configuration names it; verdicts cite it.
        required: names of the checks that must pass; the others are reported.
        margin: how much worse than the comparator still counts as not worse, 0..1.
        alpha: one-sided error rate of the primary comparison.
        min_test_rows: fewer test rows give intervals that can't be trusted: the comparison counts as not computed.
        near_duplicate_share: near-duplicates across splits that are tolerated, as a share of test rows. They can
            move the score by about that share, which the margin swallows.
        logit_tolerance: largest absolute difference of logits after storing and loading.
        ece_warning: calibration error above which the probabilities are called unreliable.
        seeds: training seeds from which on their spread is known.
    """

    name: str
    required: frozenset[str]
    margin: float = 0.01
    alpha: float = 0.05
    min_test_rows: int = 30
    near_duplicate_share: float = 0.01
    logit_tolerance: float = 1e-4
    ece_warning: float = 0.05
    seeds: int = 3


STANDARD = GatePolicy("standard", frozenset({"leakage", "integrity", "primary", "controls", "at_least"}))
POLICIES = {policy.name: policy for policy in (STANDARD,)}


def gate_policy(name: str, *, margin: float, alpha: float) -> GatePolicy:
    """The named policy with the margin and error rate of the configuration.

    Raises:
        ConfigError: E-GATE-001, no such policy.
    """
    if name not in POLICIES:
        raise ConfigError("E-GATE-001", f"there is no gate policy {name}", hint=f"use one of {', '.join(POLICIES)}")
    return replace(POLICIES[name], margin=margin, alpha=alpha)
