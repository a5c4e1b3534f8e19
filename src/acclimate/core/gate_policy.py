"""A gate policy as the checks see it: what is required, from where on each fails, and what may be waived.

Which policies there are, and how they are written, is in :mod:`acclimate.config_gate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from acclimate.core.licences import Grade


@dataclass(frozen=True)
class Waiver:
    """A failed check that somebody answers for: its name, who does, and why."""

    check: str
    by: str
    reason: str


@dataclass(frozen=True)
class GatePolicy:
    """Which checks are required, and the thresholds of all.

    Args:
        name: as the configuration names it; verdicts cite it.
        required: names of the checks that must pass; the others are reported.
        warning_blocks: names of the checks whose warning counts as failed.
        waived_by: by check, who may waive it.
        claim: what has to be shown against the comparator.
        margin: how much worse than the comparator still counts as not worse, 0..1.
        alpha: one-sided error rate of the primary comparison.
        min_test_rows: fewer test rows give intervals that can't be trusted: the comparison counts as not computed.
        min_test_groups: likewise of groups, where splits keep these together; None: any.
        near_duplicate_share: near-duplicates across splits that are tolerated, as a share of test rows. They can
            move the score by about that share, which the margin swallows.
        grouped: splits have to keep groups together.
        logit_tolerance: largest absolute difference of logits after storing and loading.
        scratch: a trained candidate must have been compared with training from scratch.
        slice_alpha: error rate, over all slices, of saying that one is left behind.
        slice_columns: columns that must have a slice each.
        slice_low_at_least: what the lower end of every slice's interval must reach; None: anything.
        ece_at_most: calibration error above which the probabilities are called unreliable.
        seeds: training seeds from which on their spread is known.
        corrects_looks: the k-th look at one test split is judged at its own, smaller error rate.
        size_bytes_at_most: largest size of the model's files; None: any.
        latency_p95_ms_at_most: longest time that 95 % of single rows take, milliseconds; None: any.
        memory_bytes_at_most: most memory of a process that serves the model; None: any.
        unknown_licences: what may have an unknown licence.
        licence_at_most: the most that a licence may ask for; None: anything.
        approval: a version needs an approval before it may be promoted.
        approved_by: who may approve; empty: anybody.
    """

    name: str
    required: frozenset[str]
    warning_blocks: frozenset[str] = frozenset()
    waived_by: Mapping[str, frozenset[str]] = field(default_factory=dict)
    claim: Literal["superiority", "non_inferiority"] = "superiority"
    margin: float = 0.01
    alpha: float = 0.05
    min_test_rows: int = 30
    min_test_groups: int | None = None
    near_duplicate_share: float = 0.01
    grouped: bool = False
    logit_tolerance: float = 1e-4
    scratch: bool = False
    slice_alpha: float = 0.05
    slice_columns: tuple[str, ...] = ()
    slice_low_at_least: float | None = None
    ece_at_most: float = 0.05
    seeds: int = 3
    corrects_looks: bool = False
    size_bytes_at_most: float | None = None
    latency_p95_ms_at_most: float | None = None
    memory_bytes_at_most: float | None = None
    unknown_licences: frozenset[str] = frozenset()
    licence_at_most: Grade | None = None
    approval: bool = False
    approved_by: frozenset[str] = frozenset()
