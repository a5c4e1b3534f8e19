"""The thresholds of the decision rules: one frozen, versioned set; and the strategies that they may ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from acclimate.core.evidence import FROZEN, PRETRAINED, SCRATCH


@dataclass(frozen=True)
class DecisionPolicy:
    """Thresholds that are ours and not a paper's; a change makes a new version.

    Args:
        name: what decisions cite.
        arms: strategies that R5 tries, in the order in which they are reported.
        smallest_wanted_gain: R4 asks validation to show no smaller gain than this, a score difference.
        alpha: one-sided error rate behind R4's detectable effect.
        power: power behind R4's detectable effect.
        validation_share: share of newly labelled rows that validation gets.
        few_labels_per_class: labels are few below this many training rows of the rarest class.
        few_labels_l2_sp: weight of L2-SP where labels are few.
        large_training_rows: n is large from this many training rows on.
        unlabelled_ratio: unlabelled texts are many from this many to a training row on.
    """

    name: str = "acclimate policy v1"
    arms: tuple[str, ...] = ("lora", "full")
    smallest_wanted_gain: float = 0.2
    alpha: float = 0.05
    power: float = 0.8
    validation_share: float = 0.2
    few_labels_per_class: int = 100
    few_labels_l2_sp: float = 0.01
    large_training_rows: int = 5000
    unlabelled_ratio: float = 10.0


POLICY_V1 = DecisionPolicy()


def could_be_trained(
    requested: Sequence[str] | None, *, has_pool: bool, policy: DecisionPolicy = POLICY_V1
) -> list[str]:
    """Every strategy that the rules may ask for, sorted: its speed must be known before they are applied.

    Args:
        requested: the user's own list; None without one.
        has_pool: there are unlabelled texts, so that R6 may fire.
        policy: whose arms stand in the place of a list.
    """
    own = (*policy.arms, *((PRETRAINED,) if has_pool else ()))
    return sorted({*(own if requested is None else requested), SCRATCH} - {FROZEN})
