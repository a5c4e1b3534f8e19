"""Tables of a run as MLflow's own pages show them: what the candidate was compared with, arms, slices and labels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from acclimate.records import Arm, Comparison, Interval, Verdict
from acclimate.registry import RunRecords

FOLDER = "tables"
# the tag by which MLflow knows that a JSON file is a table
LOGGED = "mlflow.loggedArtifacts"
ENDS = ("low", "high")
_MOST_ROWS = 200

# columns and rows by name
Tables = dict[str, tuple[list[str], list[list[Any]]]]


def run_tables(records: RunRecords) -> Tables:
    """Each table of an adaptation that has any rows."""
    evaluation, finetune = records.evaluation, records.finetune
    arms = finetune.arms if finetune else []
    found: Tables = {
        "comparisons": (
            ["compared with", "role", "its score", "difference", *ENDS, "one-sided low", "p", "test rows needed"],
            [_compared(one) for one in evaluation.comparisons],
        ),
        "rules": (
            ["rule", "fired", "says", "threshold", "ruled out"],
            [[one.rule, one.fired, one.says, one.threshold, "; ".join(one.rejected)] for one in records.decision.rules],
        ),
        "arms": (
            ["arm", "role", "on validation", *ENDS, "chosen on validation", "handed on", "epochs", "trained weights"],
            [_tried(arm, evaluation.strategy) for arm in arms],
        ),
        "slices": (
            ["column", "value", "test rows", "score", *ENDS],
            [[one.column, one.value, one.rows, *_three(one.score)] for one in evaluation.slices],
        ),
        "labels": (
            ["label", "test rows", "precision", "recall", "F1"],
            [[one.label, one.rows, one.precision, one.recall, one.f1] for one in evaluation.classes],
        ),
    }
    return {name: (columns, rows[:_MOST_ROWS]) for name, (columns, rows) in found.items() if rows}


def checks_table(verdict: Verdict) -> Tables:
    """What the gate said, check by check."""
    columns = ["number", "check", "outcome", "required", "says", "waived"]
    rows = [[one.number, one.name, one.outcome, one.required, one.says, one.waived] for one in verdict.checks]
    return {"checks": (columns, rows)}


def _compared(one: Comparison) -> list[Any]:
    shown = [one.low_one_sided, one.mcnemar_p, one.rows_needed]
    return [one.other, one.role, one.other_score.point, *_three(one.difference), *shown]


def _tried(arm: Arm, handed_on: str) -> list[Any]:
    is_handed_on = arm.role == "arm" and arm.strategy == handed_on
    fate = [arm.chosen, is_handed_on, arm.epochs, arm.trained_parameters]
    return [arm.strategy, arm.role, *_three(arm.score), *fate]


def _three(value: Interval) -> list[float]:
    return [value.point, value.low, value.high]


def write_tables(tables: Tables, folder: Path) -> None:
    """Write each as a JSON file in the form of ``mlflow.log_table``."""
    for name, (columns, rows) in tables.items():
        content = json.dumps({"columns": columns, "data": rows})
        (folder / f"{name}.json").write_text(content, encoding="utf-8")


def tables_tag(tables: Tables) -> dict[str, str]:
    """The tag that makes MLflow's pages show them as tables."""
    return {LOGGED: json.dumps([{"path": f"{FOLDER}/{name}.json", "type": "table"} for name in tables])}
