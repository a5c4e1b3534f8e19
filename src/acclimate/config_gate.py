"""What a user may write about the gate: the section of an adaptation.yaml, and a policy's own file.

A policy says of each check whether it is required, from where on it counts as failed, and who may waive it. Those that
acclimate brings are read by :mod:`acclimate.config_file.policies`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from acclimate.config_base import Section

Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Margin = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
ErrorRate = Annotated[float, Field(gt=0.0, lt=0.5, allow_inf_nan=False)]
Person = Annotated[str, Field(min_length=1, max_length=200)]
Column = Annotated[str, Field(min_length=1, max_length=200)]
#: Checks that a policy may let somebody waive. The others say what a model is, or whether it is better at all.
Waivable = Literal["seeds", "controls", "slices", "calibration", "retention", "cost", "licence", "reuse", "at_least"]
MARGIN = "how much worse than the comparator still counts as not worse"
ALPHA = "one-sided error rate of the primary comparison"


class NeededRule(Section):
    """A check that every policy requires."""

    required: Literal[True] = Field(True, description="it blocks when it fails or can't be computed")


class WaivableRule(Section):
    """A check that somebody may answer for when it fails."""

    warning_blocks: bool = Field(False, description="a warning of it counts as failed")
    waived_by: list[Person] = Field(default_factory=list, description="who may waive it, by name; by default nobody")


class CheckRule(WaivableRule):
    """A check that a policy may require."""

    required: bool = Field(False, description="it blocks when it fails or can't be computed; else it is reported")


class LeakageRule(NeededRule):
    """Check 1."""

    near_duplicate_share: Share = Field(
        0.01,
        description="near-duplicates across splits that are tolerated, as a share of the test rows; so are those "
        "that an adapted source was trained on",
    )
    grouped: bool = Field(False, description="splits have to keep groups together: target.group must name a column")
    warning_blocks: bool = Field(False, description="a warning of it counts as failed")


class IntegrityRule(NeededRule):
    """Check 2."""

    logit_tolerance: float = Field(
        1e-4, ge=0.0, le=1.0, allow_inf_nan=False, description="largest difference of logits after storing and loading"
    )


class PrimaryRule(NeededRule):
    """Check 3."""

    claim: Literal["superiority", "non_inferiority"] = Field(
        "superiority",
        description="what is to be shown: better, or not worse by more than the margin; surely worse is rejected",
    )
    margin: Margin = Field(0.01, description=MARGIN)
    alpha: ErrorRate = Field(0.05, description=ALPHA)
    min_test_rows: int = Field(
        30, ge=10, le=1_000_000, description="with fewer test rows the comparison counts as not computed"
    )
    min_test_groups: int = Field(
        10, ge=2, le=1_000_000, description="likewise with fewer groups, where target.group names a column"
    )


class SeedsRule(CheckRule):
    """Check 4."""

    at_least: int = Field(3, ge=1, le=10, description="training seeds from which on their spread is known")


class ControlsRule(NeededRule, WaivableRule):
    """Check 5."""

    scratch: bool = Field(
        False, description="where anything is trained, the same architecture is trained from scratch too"
    )


class SlicesRule(CheckRule):
    """Check 6."""

    alpha: ErrorRate = Field(0.05, description="error rate, over all slices, of saying that one is left behind")
    columns: list[Column] = Field(
        default_factory=list, description="columns that target.slices must name; each needs a slice with enough rows"
    )
    low_at_least: Share | None = Field(
        None, description="what the lower end of every slice's 95 % interval must reach; null: anything"
    )


class CalibrationRule(CheckRule):
    """Check 7."""

    ece_at_most: Share = Field(0.05, description="calibration error above which it warns")


class CostRule(CheckRule):
    """Check 9."""

    size_mb_at_most: float | None = Field(
        None, gt=0, le=1e7, allow_inf_nan=False, description="largest size of the model's files in MB; null: any"
    )
    latency_p95_ms_at_most: float | None = Field(
        None, gt=0, le=1e7, allow_inf_nan=False, description="of one row on the machine that evaluated; null: any"
    )
    memory_mb_at_most: float | None = Field(
        None,
        gt=0,
        le=1e7,
        allow_inf_nan=False,
        description="most memory in MB of a process that loads the model and answers a few rows; null: any",
    )


class LicenceRule(NeededRule, WaivableRule):
    """Check 10."""

    unknown: list[Literal["source model", "target data", "pool"]] = Field(
        default_factory=list,
        description="whose licence may be unknown, or none that is known here: it warns there, elsewhere it fails",
    )
    at_most: Literal["permissive", "weak copyleft", "copyleft", "use-restricted", "non-commercial"] | None = Field(
        None, description="the most that a licence may ask for; null: anything"
    )


class ReuseRule(CheckRule):
    """Check 11."""

    corrects: bool = Field(
        False, description="the k-th look at one test split decides at an error rate of alpha * 6 / (pi k)^2"
    )


class AtLeastRule(NeededRule, WaivableRule):
    """Check 12."""


class ApprovalRule(Section):
    """Check 13."""

    required: bool = Field(False, description="somebody has to approve a version before it may be promoted")
    by: list[Person] = Field(default_factory=list, description="who may approve, by name; empty: anybody")


class ChecksSpec(Section):
    """What the policy says of each check."""

    leakage: LeakageRule = LeakageRule()
    integrity: IntegrityRule = IntegrityRule()
    primary: PrimaryRule = PrimaryRule()
    seeds: SeedsRule = SeedsRule()
    controls: ControlsRule = ControlsRule()
    slices: SlicesRule = SlicesRule()
    calibration: CalibrationRule = CalibrationRule()
    retention: CheckRule = CheckRule()
    cost: CostRule = CostRule()
    licence: LicenceRule = LicenceRule()
    reuse: ReuseRule = ReuseRule()
    at_least: AtLeastRule = AtLeastRule()
    approval: ApprovalRule = ApprovalRule()


class PolicySpec(Section):
    """A gate policy."""

    schema_version: Literal[1] = Field(1, description="version of this form")
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$", description="what verdicts cite it by")
    about: str = Field("", max_length=1000, description="what it is for, in a sentence")
    checks: ChecksSpec = ChecksSpec()


class WaiverSpec(Section):
    """A failed check that somebody answers for."""

    check: Waivable = Field(description="the check")
    by: Person = Field(description="who waives it; the policy must name them in waived_by")
    reason: str = Field(min_length=10, max_length=1000, description="why; it is kept with the verdict")


class GateSpec(Section):
    """What a model must pass before it is registered or promoted. Not part of the run key."""

    policy: str = Field(
        "standard", min_length=1, description="strict, standard or medical, or the path of a policy's YAML file"
    )
    rules: PolicySpec | None = Field(
        None, description="what the policy's file says; filled in from there, nothing to be written by hand"
    )
    margin: Margin | None = Field(None, description=f"{MARGIN}; by default the policy's, .01 in standard")
    auto_promote: bool = Field(False, description="set the alias champion when the verdict is PROMOTE")
    alpha: ErrorRate | None = Field(None, description=f"{ALPHA}; by default the policy's, .05 in standard")
    promotions: str | None = Field(
        None,
        min_length=1,
        description="where promotions are recorded, one place for all who promote: a folder or s3://BUCKET/PREFIX; by "
        "default ACCLIMATE_PROMOTIONS, else promotions in the workspace",
    )
    waivers: list[WaiverSpec] = Field(
        default_factory=list, max_length=20, description="failed checks that somebody answers for, if the policy allows"
    )
