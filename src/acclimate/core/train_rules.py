"""Decision rules R5, R6 and R7: which arms to train, and when to pretrain one or train one from scratch beside them."""

from __future__ import annotations

from collections.abc import Mapping

from acclimate.core.arm_budget import BudgetPlan
from acclimate.core.decision_policy import DecisionPolicy
from acclimate.core.evidence import FROZEN, PRETRAINED, SCRATCH, Evidence, RuleFinding
from acclimate.core.freeze_rules import needed_score


def arms_asked_for(evidence: Evidence, policy: DecisionPolicy) -> tuple[str, ...]:
    """The user's own list without ``frozen`` and ``scratch``, else the policy's with what R6 adds."""
    added = (PRETRAINED,) if _pretraining_may_pay(evidence, policy) else ()
    asked = (*policy.arms, *added) if evidence.requested_arms is None else evidence.requested_arms
    return tuple(dict.fromkeys(arm for arm in asked if arm not in (FROZEN, SCRATCH)))


def controls_asked_for(evidence: Evidence, policy: DecisionPolicy) -> tuple[str, ...]:
    """Scratch, where R7 or the user asks for it."""
    return (SCRATCH,) if _source_in_doubt(evidence, policy) or _scratch_requested(evidence) else ()


def penalties_asked_for(evidence: Evidence, policy: DecisionPolicy) -> dict[str, float]:
    """Weight of each penalty that is on: the user's own; L2-SP where labels are few and the user says nothing."""
    chosen = {"l2_sp": policy.few_labels_l2_sp if _labels_are_few(evidence, policy) else 0.0}
    asked = {name: value for name, value in evidence.requested_penalties.items() if value is not None}
    return {name: value for name, value in {**chosen, **asked}.items() if value > 0}


def train_arms(
    evidence: Evidence, policy: DecisionPolicy, arms: tuple[str, ...], plan: BudgetPlan, *, reached: bool
) -> RuleFinding:
    """R5: otherwise train the arms that fit the budget."""
    rejected = [f"{arm}: {plan.rejected[arm]}" for arm in arms if arm in plan.rejected]
    rejected += [f"{arm}: not in finetune.arms" for arm in policy.arms if arm not in arms]
    if plan.arms and plan.seeds < evidence.requested_seeds:
        rejected.append(f"{evidence.requested_seeds} seeds: the budget has room for {plan.seeds}")
    penalties = penalties_asked_for(evidence, policy)
    return RuleFinding(
        rule="R5",
        fired=reached,
        inputs={
            "requested_arms": None if evidence.requested_arms is None else "+".join(evidence.requested_arms),
            "budget_seconds": evidence.budget_seconds,
            "expected_seconds": plan.seconds,
            "requested_seeds": evidence.requested_seeds,
            "train_rows": evidence.train_rows,
            "rarest_class_rows": _rarest(evidence),
            "labels_are_few": _labels_are_few(evidence, policy),
            **penalties,
        },
        threshold="neither R3 nor R4 fired; cheapest arms first while they fit the budget together",
        source="Kumar 2022 (LP-FT), Hu 2021 (LoRA), Li 2018 (L2-SP where labels are few), Jamieson & Talwalkar 2016 "
        f"(successive halving); {policy.name}",
        says=_training_plan(arms, plan, penalties) if reached else "not reached: an earlier rule settled it",
        rejected=tuple(rejected) if reached else (),
    )


def add_pretraining(evidence: Evidence, policy: DecisionPolicy, plan: BudgetPlan, *, training: bool) -> RuleFinding:
    """R6: pretrain on the target's unlabelled texts where they are many, far from the source, and help is needed."""
    fired, requested = _pretraining_may_pay(evidence, policy), PRETRAINED in (evidence.requested_arms or ())
    trained = training and PRETRAINED in plan.arms
    rejected: tuple[str, ...] = ()
    if trained:
        says = "pretrain on in-domain texts as a further arm" + ("" if fired else ", because finetune.arms asks for it")
    elif fired or requested:
        says = "in-domain pretraining is called for, but not done"
        left_out = evidence.requested_arms is not None and not requested
        reason = "not in finetune.arms" if left_out else "nothing is trained"
        rejected = (f"{PRETRAINED}: {plan.rejected.get(PRETRAINED, reason)}",)
    else:
        says = "no in-domain pretraining: not all three of its conditions hold"
    return RuleFinding(
        rule="R6",
        fired=fired,
        inputs={
            "unlabelled_rows": evidence.unlabelled_rows,
            "train_rows": evidence.train_rows,
            "gap_verdict": evidence.gap_verdict,
            "probe_low": evidence.probe_low,
            "needed_score": needed_score(evidence),
            "requested": requested,
        },
        threshold=f"unlabelled_rows >= {policy.unlabelled_ratio:g} x train_rows, gap LARGE, and the lower end of the "
        "baseline's interval below what is needed",
        source=f"Gururangan 2020 (DAPT, TAPT); {policy.name}",
        says=says,
        rejected=rejected,
    )


def add_scratch(evidence: Evidence, policy: DecisionPolicy, plan: BudgetPlan, *, training: bool) -> RuleFinding:
    """R7: train from scratch as a control, never handed on, where the source may be of no use."""
    fired, requested = _source_in_doubt(evidence, policy), _scratch_requested(evidence)
    trained = training and SCRATCH in plan.controls
    rejected: tuple[str, ...] = ()
    if trained:
        says = "train from scratch as a control" + ("" if fired else ", because finetune asks for it")
    elif fired or requested:
        says = "a control from scratch is called for, but not trained"
        rejected = (f"{SCRATCH}: {plan.rejected.get(SCRATCH, 'no arm is trained that it could be compared with')}",)
    else:
        says = "no control from scratch: nothing suggests that the source model hurts"
    return RuleFinding(
        rule="R7",
        fired=fired,
        inputs={
            "gap_verdict": evidence.gap_verdict,
            "train_rows": evidence.train_rows,
            "transfer_gain_low": evidence.gain_low,
            "transfer_gain_high": evidence.gain_high,
            "requested": requested,
        },
        threshold=f"gap LARGE and train_rows >= {policy.large_training_rows}, or transfer gain's lower end <= 0",
        source=policy.name,
        says=says,
        rejected=rejected,
    )


def _training_plan(arms: tuple[str, ...], plan: BudgetPlan, penalties: Mapping[str, float]) -> str:
    if plan.arms:
        held = f" with {', '.join(f'{name} {weight:g}' for name, weight in penalties.items())}" if penalties else ""
        often = f", the chosen one with {plan.seeds} seeds" if plan.seeds > 1 else ""
        arms_ = " and ".join(plan.arms)
        return f"train {arms_}{held} and choose on validation{often}: nothing settles it without training"
    if arms:
        return "no arm fits the budget, so the frozen baseline is handed on: raise budget.train_minutes"
    return "finetune.arms names nothing to train, so the frozen baseline is handed on"


def _rarest(evidence: Evidence) -> int:
    return min(evidence.rows_per_class.values(), default=0)


def _labels_are_few(evidence: Evidence, policy: DecisionPolicy) -> bool:
    return _rarest(evidence) < policy.few_labels_per_class


def _pretraining_may_pay(evidence: Evidence, policy: DecisionPolicy) -> bool:
    many = 0 < evidence.unlabelled_rows >= policy.unlabelled_ratio * evidence.train_rows
    short = evidence.probe_low < needed_score(evidence) or evidence.from_memory
    return many and evidence.gap_verdict == "LARGE" and short


def _source_in_doubt(evidence: Evidence, policy: DecisionPolicy) -> bool:
    far = evidence.gap_verdict == "LARGE" and evidence.train_rows >= policy.large_training_rows
    return far or evidence.gain_low <= 0


def _scratch_requested(evidence: Evidence) -> bool:
    return evidence.scratch_requested or SCRATCH in (evidence.requested_arms or ())
