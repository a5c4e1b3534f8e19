"""Runs of a made-up adaptation: finished, stopped in each stage, planned, and kept frozen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from acclimate.report.view import ReportView
from tests.unit.report.made_up import full_view


@pytest.fixture(scope="session")
def view() -> ReportView:
    """A run that went through to the end and was promoted."""
    return full_view()


@pytest.fixture(scope="session")
def stopped(view: ReportView) -> dict[str, ReportView]:
    """The same run, stopped by an error in each stage after ingest, and after the plan."""
    error = {
        "code": "E-TRAIN-003",
        "message": "the loss is not finite at step 40",
        "where": "arm full, epoch 2",
        "hint": "lower finetune.full.learning_rate",
        "exit_code": 4,
        "more": [],
    }
    later = ["gap", "baseline", "decision", "finetune", "evaluation", "registration"]
    found = {name: replace(view, error=error, verdict=None, **dict.fromkeys(later[i:])) for i, name in enumerate(later)}
    found["plan"] = replace(view, verdict=None, **dict.fromkeys(later[3:]))
    frozen = view.decision.model_copy(update={"action": "freeze", "strategy": "frozen", "rule": "R3", "arms": []})
    found["freeze"] = replace(view, decision=frozen, finetune=None)
    return found
