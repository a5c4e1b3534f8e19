"""What the decision rules look at, and what they say: plain frozen dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Number = float | int | str | bool | None
FROZEN = "frozen"
SCRATCH = "scratch"
PRETRAINED = "tapt"


@dataclass(frozen=True)
class Block:
    """A reason for rule R0 to stop.

    Args:
        kind: what is blocked.
        says: what is wrong, in one sentence.
        hint: what to do about it.
    """

    kind: Literal["schema", "leakage", "licence"]
    says: str
    hint: str


@dataclass(frozen=True)
class ArmEstimate:
    """Expected cost of training one strategy, before it is run.

    Args:
        strategy: e.g. ``lora``.
        epochs: longest full schedule, epochs, at least 1.
        epoch_seconds: of one epoch, from measured throughput.
        pretraining_seconds: spent once before the first epoch, however often the arm is trained.
    """

    strategy: str
    epochs: int
    epoch_seconds: float
    pretraining_seconds: float = 0.0

    @property
    def training_seconds(self) -> float:
        """Of the full schedule, without what comes before it."""
        return self.epochs * self.epoch_seconds

    @property
    def seconds(self) -> float:
        """Of all of it."""
        return self.pretraining_seconds + self.training_seconds


@dataclass(frozen=True)
class Evidence:
    """Everything the rules may look at.

    Args:
        setting: as the gap report names it, e.g. ``supervised adaptation``.
        gap_verdict: ``NONE``, ``SMALL``, ``LARGE``, ``UNDERPOWERED``, ``INCOMPARABLE`` or ``NO_REFERENCE``.
        target_labels: the target has labels.
        train_rows: target rows the arms would be fitted on.
        validation_rows: target rows the arms would be chosen on.
        rows_per_class: training rows by label.
        probe_score: out-of-fold score of the frozen baseline, 0..1.
        probe_low: lower end of its 95 % interval.
        probe_high: upper end.
        best_control: name of the best control.
        best_control_score: its score, 0..1.
        gain: transfer gain, probe - best control on the same rows.
        gain_low: lower end of its paired 95 % interval; at or below 0 transfer may hurt.
        gain_high: upper end.
        disagreement: share of rows on which probe and nearest neighbours differ, 0..1.
        slope_per_doubling: what doubling the labels is expected to add to the frozen baseline's score.
        at_least: the score asked for; None without a requirement.
        min_gain: smallest gain worth training for, 0..1.
        estimates: expected cost by strategy, for every strategy that could be trained.
        budget_seconds: training time for all arms together.
        requested_arms: the user's own list instead of R5's; None without one.
        scratch_requested: the user wants the control from scratch in any case.
        requested_penalties: weight by penalty; None where the rules choose it.
        blocks: what stops the run.
        source_licence_checked: False where the source's licence is left to the gate.
        unlabelled_rows: texts of the target's domain without labels, the pool; 0 without one.
        from_memory: ``probe_*``, ``gain*`` and ``disagreement`` may be of rows whose labels the source was fitted on.
        requested_seeds: how often the arm that is handed on should be trained.
    """

    setting: str
    gap_verdict: str
    target_labels: bool
    train_rows: int
    validation_rows: int
    rows_per_class: Mapping[str, int]
    probe_score: float
    probe_low: float
    probe_high: float
    best_control: str
    best_control_score: float
    gain: float
    gain_low: float
    gain_high: float
    disagreement: float
    slope_per_doubling: float
    at_least: float | None
    min_gain: float
    estimates: Mapping[str, ArmEstimate]
    budget_seconds: float
    requested_arms: tuple[str, ...] | None = None
    scratch_requested: bool = False
    requested_penalties: Mapping[str, float | None] = field(default_factory=dict)
    blocks: tuple[Block, ...] = ()
    source_licence_checked: bool = False
    unlabelled_rows: int = 0
    from_memory: bool = False
    requested_seeds: int = 1


@dataclass(frozen=True)
class RuleFinding:
    """One rule: what it looked at and what it said. Field by field a ``records.RuleRecord``.

    Args:
        rule: e.g. ``R4``.
        fired: its condition holds.
        inputs: what it looked at, by name.
        threshold: the condition, with its numbers.
        source: paper or policy the condition comes from.
        says: the outcome, in one sentence.
        rejected: what it ruled out, with the reason.
    """

    rule: str
    fired: bool
    inputs: Mapping[str, Number]
    threshold: str
    source: str
    says: str
    rejected: tuple[str, ...] = ()
