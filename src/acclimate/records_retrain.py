"""What is handed on about drift, and about training again."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from acclimate.records import FarRow, Interval, Record, StoredRecord

DriftVerdict = Literal["DRIFTED", "NONE", "UNDERPOWERED", "NO_REFERENCE", "INCOMPARABLE"]


class DriftReport(StoredRecord):
    """Whether fresh rows still come from where the champion's target rows came from."""

    file_name: ClassVar[str] = "drift_report.json"
    champion: str = Field(description="models:/NAME/VERSION")
    verdict: DriftVerdict
    drifted: bool
    alpha: float = Field(description="level of the test")
    p_value: float | None = Field(description="MMD against the champion's held-out rows, by permutation; null: no test")
    statistic: float | None = Field(description="MMD in permutation standard deviations")
    units: Interval | None = Field(
        description="gap units: 0 the median between held-out samples, 1 their 95 % quantile"
    )
    rows_compared: int | None = Field(description="m behind the units: compare units only at equal m")
    fresh_rows: int = Field(description="fresh rows compared")
    held_out_rows: int = Field(description="held-out rows of the champion's target compared")
    copies: int = Field(description="fresh rows left out: copies, or known to the champion")
    share_outside: float | None = Field(
        description="share of fresh rows further from the held-out ones than 95 % of those are from each other"
    )
    spread_ratio: float | None = Field(description="total variance of fresh over held-out rows; under 1: narrower")
    rows_needed: int | None = Field(description="fresh rows that would show a distance like this one")
    furthest: list[FarRow] = Field(description="the fresh rows furthest from the held-out ones")
    notes: list[str]


class RetrainTrigger(Record):
    """One reason to train again."""

    name: Literal["champion", "calendar", "data_version", "new_rows", "gap", "source_revision"]
    fired: bool
    says: str
    numbers: dict[str, float | int | str | bool | None]


class RetrainDecision(StoredRecord):
    """Whether to train again, and why."""

    file_name: ClassVar[str] = "retrain_decision.json"
    name: str
    champion: str | None = Field(description="models:/NAME/VERSION; null without one")
    action: Literal["retrain", "nothing"]
    reason: str
    cooling: bool = Field(description="a trigger fired, and the cool-down stood against it")
    triggers: list[RetrainTrigger]
    source: str = Field(description="what training starts from, by retrain.warm_start")


class Attempt(StoredRecord):
    """When training was last asked for; kept in the workspace for the cool-down."""

    file_name: ClassVar[str] = "attempt.json"
    run_id: str
    at: float = Field(description="seconds since 1970, by the clock of the machine that asked")
