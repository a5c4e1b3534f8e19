"""The gate's checks, one file each, and their registry: a new check is a new file and a line in ``CHECKS``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from acclimate.core.gate_checks import (
    approval,
    calibration,
    controls,
    cost,
    integrity,
    leakage,
    licence,
    primary,
    requirement,
    retention,
    reuse,
    seeds,
    slices,
)
from acclimate.core.gate_inputs import Finding, GateInputs
from acclimate.core.gate_policy import GatePolicy


@dataclass(frozen=True)
class GateCheck:
    """One check.

    Args:
        number: its place in the gate.
        name: what policies call it.
        check: the pure function.
        remedy: what to do when it fails.
    """

    number: int
    name: str
    check: Callable[[GateInputs, GatePolicy], Finding]
    remedy: str


CHECKS = (
    GateCheck(1, "leakage", leakage.check, "Tie copies together by target.group, then run again."),
    GateCheck(2, "integrity", integrity.check, "Run again; if it stays, the stored model must not be used: report it."),
    GateCheck(
        3, "primary", primary.check, "Keep what is in use; add labels or another source model before trying again."
    ),
    GateCheck(4, "seeds", seeds.check, "Train with more seeds next time: finetune.seeds."),
    GateCheck(5, "controls", controls.check, "Use the simpler control, or try another source model."),
    GateCheck(6, "slices", slices.check, "Add labels in the weakest slice."),
    GateCheck(7, "calibration", calibration.check, "Add validation rows: the temperature is fitted on them."),
    GateCheck(8, "retention", retention.check, "Prefer the frozen or LoRA strategy if the source task still matters."),
    GateCheck(9, "cost", cost.check, "Try a smaller source model, or a strategy that adds less."),
    GateCheck(
        10, "licence", licence.check, "State the licence by its SPDX name, or have the policy name what may be without."
    ),
    GateCheck(11, "reuse", reuse.check, "Label a fresh test split."),
    GateCheck(12, "at_least", requirement.check, "Add labels or try another source model; or lower goal.at_least."),
    GateCheck(13, "approval", approval.check, "Ask one of those whom the policy names to approve it."),
)
