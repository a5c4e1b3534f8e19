"""The decision before training: rules R0 and R2 to R7 applied in order. After training R8 chooses.

Each rule is a pure function of the evidence and the policy. R3, R4 and R5 settle the decision, the first that fires;
the others stop it (R0), record what always happens (R2), add an arm (R6) or a control (R7).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from acclimate.core.arm_budget import ExpectedCost, expected_costs, fit_budget
from acclimate.core.arm_choice import ArmChoice, ArmResult, choose_arm
from acclimate.core.decision_policy import POLICY_V1, DecisionPolicy
from acclimate.core.evidence import FROZEN, ArmEstimate, Block, Evidence, RuleFinding
from acclimate.core.freeze_rules import detectable_gain, freeze_good_enough, freeze_too_few, labels_missing
from acclimate.core.train_rules import (
    add_pretraining,
    add_scratch,
    arms_asked_for,
    controls_asked_for,
    penalties_asked_for,
    train_arms,
)
from acclimate.errors import AcclimateError, DataError, ModelError, Problem

__all__ = [
    "POLICY_V1",
    "ArmChoice",
    "ArmEstimate",
    "ArmResult",
    "Block",
    "DecisionPolicy",
    "Evidence",
    "RuleFinding",
    "Settlement",
    "choose_arm",
    "settle",
]

LABELLED_SETTINGS = frozenset({"inductive", "supervised adaptation"})
_BLOCK_ERRORS: dict[str, tuple[str, type[AcclimateError]]] = {
    "schema": ("E-DECIDE-001", DataError),
    "leakage": ("E-DECIDE-002", DataError),
    "licence": ("E-DECIDE-003", ModelError),
}


@dataclass(frozen=True)
class Settlement:
    """What the rules decided together.

    Args:
        action: train, or hand on the frozen baseline.
        strategy: ``frozen``, or the arms joined by ``+``.
        rule: the rule that settled it: R3, R4 or R5.
        reason: that rule's outcome, one sentence for people.
        arms: strategies to train and choose from; ``frozen`` takes part without being trained.
        controls: strategies trained only to be compared with, never handed on.
        penalties: weight of each penalty that arms are trained with.
        seeds: how often the arm that is handed on is trained.
        findings: all rules, in order.
        costs: expected cost of every strategy looked at, whether or not it is run.
        detectable_effect: smallest gain that validation shows with 80 % power.
        label_more: about how many more labels would show the wanted gain; None unless R4 settled it.
    """

    action: Literal["freeze", "finetune"]
    strategy: str
    rule: str
    reason: str
    arms: tuple[str, ...]
    controls: tuple[str, ...]
    penalties: Mapping[str, float]
    seeds: int
    findings: tuple[RuleFinding, ...]
    costs: tuple[ExpectedCost, ...]
    detectable_effect: float
    label_more: int | None


def settle(evidence: Evidence, policy: DecisionPolicy = POLICY_V1) -> Settlement:
    """Apply the decision rules.

    Args:
        evidence: what is known before training.
        policy: thresholds.

    Returns:
        The decision with the record of every rule.

    Raises:
        DataError: E-DECIDE-001 schema and E-DECIDE-002 leakage block (R0), E-DECIDE-004 no target labels,
            E-DECIDE-005 evidence that is not finite or has no rows.
        ModelError: E-DECIDE-003, licence block (R0).

    Source:
        Policy v1 (docs/decisions/0002). R1 needs label-free arms, which are not built yet.
    """
    _require_labels(evidence)
    blocks = stop_where_blocked(evidence, policy)
    _require_finite(evidence)
    arms = arms_asked_for(evidence, policy)
    controls = controls_asked_for(evidence, policy)
    plan = fit_budget(arms, controls, evidence.estimates, evidence.budget_seconds, seeds=evidence.requested_seeds)
    good_enough = freeze_good_enough(evidence, policy, arms)
    too_few = freeze_too_few(evidence, policy, arms)
    train = train_arms(evidence, policy, arms, plan, reached=not (good_enough.fired or too_few.fired))
    training = train.fired and bool(plan.arms)
    pretraining = add_pretraining(evidence, policy, plan, training=training)
    scratch = add_scratch(evidence, policy, plan, training=training)
    settling = next(finding for finding in (good_enough, too_few, train) if finding.fired)
    return Settlement(
        action="finetune" if training else "freeze",
        strategy="+".join(plan.arms) if training else FROZEN,
        rule=settling.rule,
        reason=settling.says,
        arms=plan.arms if training else (),
        controls=plan.controls if training else (),
        penalties=penalties_asked_for(evidence, policy) if training else {},
        seeds=plan.seeds if training else 1,
        findings=(blocks, always_compare(evidence, policy), good_enough, too_few, train, pretraining, scratch),
        costs=expected_costs(arms, controls, evidence.estimates, plan),
        detectable_effect=detectable_gain(evidence, policy),
        label_more=labels_missing(evidence, policy) if settling is too_few else None,
    )


def stop_where_blocked(evidence: Evidence, policy: DecisionPolicy) -> RuleFinding:
    """R0: a schema, leakage or licence block stops the run; all of them are reported at once."""
    if evidence.blocks:
        problems = [Problem(_BLOCK_ERRORS[b.kind][0], b.says, hint=b.hint) for b in evidence.blocks]
        raise _BLOCK_ERRORS[evidence.blocks[0].kind][1].of(problems)
    return RuleFinding(
        rule="R0",
        fired=False,
        inputs={"blocks": 0, "source_licence_checked": evidence.source_licence_checked},
        threshold="no schema, leakage (near-duplicates, by the gate's policy) or licence block",
        source=policy.name,
        says="nothing blocks",
    )


def always_compare(evidence: Evidence, policy: DecisionPolicy) -> RuleFinding:
    """R2: the probe, nearest neighbours and the controls are always run."""
    return RuleFinding(
        rule="R2",
        fired=True,
        inputs={
            "probe_score": evidence.probe_score,
            "probe_low": evidence.probe_low,
            "probe_high": evidence.probe_high,
            "best_control": evidence.best_control,
            "best_control_score": evidence.best_control_score,
            "transfer_gain": evidence.gain,
        },
        threshold="always",
        source=policy.name,
        says=f"frozen baseline {evidence.probe_score:.3f}, "
        f"best control {evidence.best_control} {evidence.best_control_score:.3f}",
    )


def _require_labels(evidence: Evidence) -> None:
    if not evidence.target_labels or evidence.setting not in LABELLED_SETTINGS:
        raise DataError(
            "E-DECIDE-004",
            f"adapting to a target without labels ({evidence.setting}) is not built yet",
            where="target.label",
            hint="label some rows: about 100 a class are a good start",
        )


def _require_finite(evidence: Evidence) -> None:
    numbers = {
        name: value for name, value in vars(evidence).items() if isinstance(value, float) and not math.isfinite(value)
    }
    if numbers or evidence.train_rows < 1 or evidence.validation_rows < 1:
        what = ", ".join(sorted(numbers)) or "train_rows or validation_rows is 0"
        raise DataError("E-DECIDE-005", f"there is nothing to decide from: {what}", hint="run gap and baseline again")
