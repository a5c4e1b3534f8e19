"""Costs under successive halving, against counting them out."""

from __future__ import annotations

from acclimate.core.arm_budget import fit_budget, seconds_if_winning, seconds_together
from acclimate.core.evidence import ArmEstimate
from acclimate.core.halving import successive_halving


def test_seconds_together_are_what_successive_halving_spends_at_worst() -> None:
    arms = [ArmEstimate(name, cap, s) for name, cap, s in (("a", 8, 1.0), ("b", 12, 3.0), ("c", 20, 2.0))]
    epoch_seconds = {arm.strategy: arm.epoch_seconds for arm in arms}
    spent = []

    def train(name: str, epochs: int) -> float:
        spent.append(epochs * epoch_seconds[name])
        return epoch_seconds[name]  # the dearest arms score best: the worst case

    successive_halving({arm.strategy: arm.epochs for arm in arms}, train)
    assert seconds_together(arms) == sum(spent) + max(arm.seconds for arm in arms)


def test_what_comes_before_an_arm_is_spent_once() -> None:
    plain = [ArmEstimate(name, cap, s) for name, cap, s in (("a", 8, 1.0), ("b", 12, 3.0), ("c", 20, 2.0))]
    pretrained = [plain[0], ArmEstimate("b", 12, 3.0, pretraining_seconds=100.0), plain[2]]
    assert seconds_together(pretrained) == seconds_together(plain) + 100.0
    assert seconds_if_winning(pretrained[1], pretrained) == seconds_if_winning(plain[1], plain) + 100.0
    assert pretrained[1].seconds == 136.0


def test_a_single_arm_has_no_rungs() -> None:
    arm = ArmEstimate("a", 8, 2.0)
    assert seconds_together([arm]) == arm.seconds == 16.0
    assert seconds_if_winning(arm, [arm]) == 16.0
    assert seconds_together([]) == 0.0


def test_after_the_first_arm_over_budget_all_dearer_ones_are_rejected() -> None:
    estimates = {name: ArmEstimate(name, cap, s) for name, cap, s in (("a", 2, 1.0), ("b", 2, 50.0), ("c", 100, 1.01))}
    plan = fit_budget(["c", "b", "a"], [], estimates, 150.0)
    assert plan.arms == ("a",)
    assert list(plan.rejected) == ["b", "c"]


def test_further_seeds_take_what_arms_and_controls_leave() -> None:
    estimates = {name: ArmEstimate(name, 2, s) for name, s in (("a", 1.0), ("b", 5.0), ("scratch", 10.0))}
    alone = fit_budget(["a", "b"], ["scratch"], estimates, 1000.0)
    assert alone.seeds == 1
    for seeds, budget, fit in (
        (3, 1000.0, 3),
        (3, alone.seconds, 1),
        (3, alone.seconds + 10.0, 2),  # the dearest arm may win: 10 s more
        (3, alone.seconds + 19.9, 2),
        (3, alone.seconds + 20.0, 3),
        (1, 1000.0, 1),
    ):
        plan = fit_budget(["a", "b"], ["scratch"], estimates, budget, seeds=seeds)
        assert (plan.seeds, plan.arms, plan.controls) == (fit, ("a", "b"), ("scratch",))
        assert plan.seconds == alone.seconds + (fit - 1) * 10.0
    assert fit_budget(["a", "b"], [], estimates, 0.5, seeds=3).seeds == 1
