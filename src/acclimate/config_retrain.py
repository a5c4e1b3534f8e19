"""What a user may write about training again. Not part of the run key: it decides when, never what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from acclimate.config_base import DataSpec, Section


class TriggersSpec(Section):
    """What makes the retrain pipeline train again; the first that fires decides. Null or false switches one off."""

    every_days: int | None = Field(None, ge=1, le=3650, description="the champion's greatest age, days")
    data_version: bool = Field(True, description="the target's rows are not those of the champion")
    new_rows: int | None = Field(
        None, ge=1, le=1_000_000_000, description="so many labelled rows that the champion's data do not hold"
    )
    gap_alpha: float | None = Field(
        0.01, ge=0.002, le=0.5, allow_inf_nan=False, description="fresh rows differ from the champion's at this level"
    )
    source_revision: bool = Field(True, description="the source model is not the champion's")


class RetrainSpec(Section):
    """When to train again. Not part of the run key."""

    triggers: TriggersSpec = TriggersSpec()
    cool_down_hours: int = Field(24, ge=0, le=8760, description="hours after an attempt in which there is no other")
    warm_start: Literal["source", "champion"] = Field(
        "source", description="what training starts from: the source model, or the champion it is to replace"
    )
    fresh: DataSpec | None = Field(
        None, description="rows of today, labels not needed; by default those of the target the champion has not seen"
    )
