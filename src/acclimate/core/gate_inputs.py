"""What the gate looks at and what a check says: plain frozen dataclasses.

Every number may be None or NaN where it could not be measured; a required check that needs it then fails closed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeGuard

from acclimate.core.control_names import TRIVIAL_OF_TEXTS

Number = float | int | str | bool | None
EarlierModel = Literal["champion", "source"]
Outcome = Literal["passed", "failed", "missing", "warned", "not_applicable"]


@dataclass(frozen=True)
class Integrity:
    """Whether the model that would be registered is the one that was evaluated.

    Args:
        max_logit_difference: largest absolute difference between logits of the candidate and of the model read back
            from the registry's storage, on the same texts; None if it was not measured.
        changes_outputs: the adapted model's logits differ from the frozen baseline's; ignored for ``frozen``.
        same_model: the digest of the model read back equals the one that was evaluated.
    """

    max_logit_difference: float | None
    changes_outputs: bool | None
    same_model: bool | None


@dataclass(frozen=True)
class Difference:
    """Candidate - other on the same test rows.

    Args:
        other: champion, baseline, scratch, random_features, tfidf, pixels, histogram, majority or source_as_is.
        other_score: its score, 0..1.
        point: the difference, -1..1.
        low: one-sided lower bound at ``GateInputs.bound_alpha``; above 0 the candidate is better.
        high: one-sided upper bound; below 0 the candidate is worse.
        rows_needed: test rows that would show the observed difference at ``GateInputs.bound_alpha`` with 80 % power;
            None where it is 0.
        detectable_effect: smallest difference that the test rows show at that rate with that power.
        mcnemar_p: of the exact test of equal models, two-sided.
    """

    other: str
    other_score: float | None
    point: float | None
    low: float | None
    high: float | None
    rows_needed: int | None = None
    detectable_effect: float | None = None
    mcnemar_p: float | None = None

    @property
    def computed(self) -> bool:
        """All of it is finite, and the bounds are in order."""
        return is_finite(self.low) and is_finite(self.high) and are_finite(self.other_score, self.point) and (
            self.low <= self.high
        )  # fmt: skip


@dataclass(frozen=True)
class SliceResult:
    """One slice of the test split.

    Args:
        name: column and value.
        rows: how many there are.
        point: its score.
        low: of the two-sided 95 % interval of its score.
        high: of the same.
        column: it is one of.
        gap: its rows' score less that of the other rows of the same classes.
        p_behind: one-sided, of a slice that is served no worse; None where there is nothing to compare it with.
    """

    name: str
    rows: int
    point: float | None
    low: float | None
    high: float | None
    column: str = ""
    gap: float | None = None
    p_behind: float | None = None


@dataclass(frozen=True)
class Reliability:
    """How far probabilities can be trusted: debiased ECE with and without the temperature, NLL, Brier score."""

    ece: float | None
    ece_before: float | None
    nll: float | None
    brier: float | None


@dataclass(frozen=True)
class GateInputs:
    """Everything the gate may look at. :mod:`acclimate.judging` fills it from the records, as noted in brackets.

    Args:
        strategy: the candidate's [Evaluation.strategy].
        test_rows: rows of the test split [Evaluation.rows].
        overlap_rows: test rows a compared model was trained on [Evaluation.overlap_rows].
        pool_overlap_rows: test rows that a text of the pool nearly equals [Evaluation.pool_overlap_rows].
        earlier_overlap_rows: test rows that ``champion`` and ``source`` were fitted on when they were made; None: it
            does not remember; no entry: acclimate did not adapt it [Evaluation.earlier_overlap_rows].
        near_duplicates: near-duplicates across splits [Evaluation.near_duplicates].
        integrity: measured by ``register`` on the stored model.
        score: on the test split [Evaluation.score.point].
        score_low: lower end of its two-sided 95 % interval [Evaluation.score.low].
        at_least: the requirement [Goal.at_least]; None without one.
        at_least_by: what has to reach it [Goal.at_least_by].
        comparator: name of the comparator for people [Evaluation.comparator].
        primary: difference to the comparator [the one Comparison of role ``comparator``]; None if there isn't one.
        comparisons: all differences, the primary's too [Evaluation.comparisons].
        trivial: trivial controls that must be among them too [DataCard.task].
        expected_controls: controls that must be among them [``random_features`` and Decision.controls].
        expected_before: of what the candidate was adapted from, what must be among them.
        slices: [Evaluation.slices].
        slice_columns: columns that were to be told apart [DataCard.target.slices].
        slices_left_out: their values with too few test rows; None where nobody counted [Evaluation.slices_left_out].
        reliability: [Evaluation.calibration].
        gives_probabilities: False for a task whose models give none that could be trusted or not.
        size_bytes: [Evaluation.size_bytes].
        latency_p95_ms: of single rows, where it was evaluated.
        memory_bytes: of a process that served some rows there.
        licences: by what they belong to, None where unknown [SourceCard.licence, TableCard.licence].
        seed_scores: of the same training with further seeds, on the test split [Evaluation.comparisons].
        seeds_diverged: further seeds with which it diverged [Arm.seeds].
        retention_low: lower bound of (source score after - before); None where it was not measured.
        reference_given: there are data of the source domain to measure it on [DataCard.reference].
        look: how many run keys were evaluated at this test digest, this one included.
        bound_alpha: one-sided error rate of the bounds in ``comparisons``.
        grouped: splits keep groups together [DataCard.target.grouped].
        test_groups: groups of the test split; None where nobody counted [Evaluation.groups].
        approved_by: who approved this version; None while nobody did.
    """

    strategy: str
    test_rows: int | None
    overlap_rows: int | None
    near_duplicates: int | None
    integrity: Integrity
    score: float | None
    score_low: float | None
    at_least: float | None
    at_least_by: Literal["point", "lower"]
    comparator: str
    primary: Difference | None
    comparisons: tuple[Difference, ...]
    expected_controls: frozenset[str] = frozenset({"random_features"})
    trivial: tuple[str, ...] = TRIVIAL_OF_TEXTS
    expected_before: frozenset[str] = frozenset()
    slices: tuple[SliceResult, ...] = ()
    slice_columns: tuple[str, ...] = ()
    slices_left_out: int | None = None
    reliability: Reliability | None = None
    gives_probabilities: bool = True
    size_bytes: int | None = None
    latency_p95_ms: float | None = None
    memory_bytes: int | None = None
    licences: Mapping[str, str | None] = field(default_factory=dict)
    seed_scores: tuple[float | None, ...] = ()
    seeds_diverged: int = 0
    retention_low: float | None = None
    reference_given: bool = False
    look: int = 1
    pool_overlap_rows: int | None = 0
    earlier_overlap_rows: Mapping[EarlierModel, int | None] = field(default_factory=dict)
    bound_alpha: float = 0.05
    grouped: bool = False
    test_groups: int | None = None
    approved_by: str | None = None

    def comparison(self, other: str) -> Difference | None:
        """The difference to ``other``, if there is one."""
        return next((difference for difference in self.comparisons if difference.other == other), None)


@dataclass(frozen=True)
class Finding:
    """What one check says.

    Args:
        outcome: ``missing``: it could not be computed.
        says: one sentence for people.
        numbers: what it looked at, by name.
    """

    outcome: Outcome
    says: str
    numbers: Mapping[str, Number] = field(default_factory=dict)


def is_finite(value: float | None) -> TypeGuard[float]:
    """It was measured: neither None nor NaN nor infinite."""
    return value is not None and math.isfinite(value)


def are_finite(*values: float | None) -> bool:
    """All of them were measured."""
    return all(is_finite(value) for value in values)
