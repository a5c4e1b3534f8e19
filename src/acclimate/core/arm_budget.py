"""What arms cost together under successive halving, and which of them fit the budget."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from acclimate.core.evidence import FROZEN, ArmEstimate
from acclimate.core.halving import rung_epochs
from acclimate.core.strategy_traits import TRAITS, Forgets


@dataclass(frozen=True)
class BudgetPlan:
    """Arms and controls that fit, and why the others don't.

    Args:
        arms: strategies to train, in the order asked for.
        controls: controls to train.
        seconds: most that all of it is expected to take.
        rejected: reason by strategy, for each that does not fit.
        seeds: how often the arm that is handed on can be trained.
    """

    arms: tuple[str, ...]
    controls: tuple[str, ...]
    seconds: float
    rejected: Mapping[str, str]
    seeds: int = 1


@dataclass(frozen=True)
class ExpectedCost:
    """What one strategy is expected to take. Field by field a ``records.ArmCost``.

    Args:
        strategy: e.g. ``lora``.
        epochs: longest full schedule, epochs.
        seconds: if it survives every rung and is trained fully.
        affordable: it fits the budget beside what was taken before it.
        trains: what is trained beside a new head, in words.
        forgets: how much of the source's knowledge it tends to lose.
    """

    strategy: str
    epochs: int
    seconds: float
    affordable: bool
    trains: str
    forgets: Forgets

    @classmethod
    def of(cls, strategy: str, epochs: int, seconds: float, *, affordable: bool) -> ExpectedCost:
        """With what is known of the strategy."""
        traits = TRAITS[strategy]
        return cls(strategy, epochs, seconds, affordable, traits.trains, traits.forgets)


def seconds_together(arms: Sequence[ArmEstimate]) -> float:
    """Most that the arms can take together: in every rung the dearest survive, and the dearest wins.

    What comes before an arm's first epoch is spent once, whether or not the arm survives.
    """
    if not arms:
        return 0.0
    alive = sorted((arm.epoch_seconds for arm in arms), reverse=True)
    total = sum(arm.pretraining_seconds for arm in arms) + max(arm.training_seconds for arm in arms)
    for epochs in rung_epochs({arm.strategy: arm.epochs for arm in arms}):
        total += epochs * sum(alive)
        alive = alive[: (len(alive) + 1) // 2]
    return total


def seconds_if_winning(arm: ArmEstimate, competitors: Sequence[ArmEstimate]) -> float:
    """What one arm takes if it survives every rung and is trained fully.

    Args:
        arm: the arm.
        competitors: all arms that are tried, with or without ``arm``; a control competes with nobody.
    """
    caps = {other.strategy: other.epochs for other in [*competitors, arm]}
    return arm.seconds + arm.epoch_seconds * sum(rung_epochs(caps))


def expected_costs(
    arms: Sequence[str], controls: Sequence[str], estimates: Mapping[str, ArmEstimate], plan: BudgetPlan
) -> tuple[ExpectedCost, ...]:
    """Cost of ``frozen``, which needs no training, of the arms with their rungs, and of the controls."""
    competing = [estimates[name] for name in plan.arms]
    costs = [ExpectedCost.of(FROZEN, 0, 0.0, affordable=True)]
    for name in (*arms, *controls):
        arm = estimates[name]
        seconds = seconds_if_winning(arm, competing) if name in arms else arm.seconds
        costs.append(ExpectedCost.of(name, arm.epochs, seconds, affordable=name not in plan.rejected))
    return tuple(costs)


def fit_budget(
    arms: Sequence[str],
    controls: Sequence[str],
    estimates: Mapping[str, ArmEstimate],
    budget_seconds: float,
    *,
    seeds: int = 1,
) -> BudgetPlan:
    """Take the cheapest arms that fit the budget together, then the controls and further seeds that still fit.

    From the first arm that does not fit on, all dearer ones are rejected; so a larger budget never removes an arm.

    Args:
        arms: strategies to choose from.
        controls: strategies trained only to be compared with; dropped where no arm is left to compare.
        estimates: expected cost by strategy, for all of ``arms`` and ``controls``.
        budget_seconds: for everything together.
        seeds: how often the arm that is handed on should be trained; the dearest counts, for it may win.
    """
    kept: list[ArmEstimate] = []
    rejected: dict[str, str] = {}
    for arm in sorted((estimates[name] for name in arms), key=lambda arm: arm.seconds):
        needed = seconds_together([*kept, arm])
        if rejected or needed > budget_seconds:
            rejected[arm.strategy] = _over(arm, needed, budget_seconds)
        else:
            kept.append(arm)
    seconds = seconds_together(kept)
    kept_controls = []
    for control in (estimates[name] for name in controls):
        needed = seconds + control.seconds
        if not kept:
            rejected[control.strategy] = "a control needs an arm beside it"
        elif needed > budget_seconds:
            rejected[control.strategy] = _over(control, needed, budget_seconds)
        else:
            kept_controls.append(control.strategy)
            seconds = needed
    again = max((arm.training_seconds for arm in kept), default=math.inf)
    further = min(seeds - 1, math.floor((budget_seconds - seconds) / again))
    if further > 0:
        seconds += further * again
    names = {arm.strategy for arm in kept}
    return BudgetPlan(tuple(a for a in arms if a in names), tuple(kept_controls), seconds, rejected, 1 + further)


def _over(arm: ArmEstimate, needed: float, budget: float) -> str:
    return (
        f"up to {arm.epochs} epochs of it would bring training to {needed / 60:.1f} min, "
        f"the budget is {budget / 60:.1f} min"
    )
