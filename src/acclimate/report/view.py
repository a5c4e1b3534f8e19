"""What a report is made of: the records of one adaptation, as far as it came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from acclimate.config import Goal
from acclimate.records import (
    Arm,
    BaselineReport,
    Calibration,
    Comparison,
    DataCard,
    Decision,
    Evaluation,
    FinetuneReport,
    GapReport,
    Registration,
    SourceCard,
    Verdict,
)
from acclimate.records_retrain import RetrainDecision

STAGES = ("ingest", "gap", "baseline", "decide", "finetune", "evaluate", "register")


@dataclass(frozen=True)
class ReportView:
    """Everything a report shows. A record is None where the run did not get that far.

    Args:
        config: the adaptation as resolved, as plain data.
        run_id: id of this run.
        run_key: key of the adaptation.
        data: what ingest found; the earliest a report can be made.
        source_uri: the source model as the user named it.
        retrain: whether it was to be trained again; None where nobody asked.
        seconds: wall-clock seconds by stage.
        timing: ``timing.json`` of each stage, by stage; ``timing["finetune"][strategy]`` are an arm's seconds.
        error: :meth:`acclimate.errors.AcclimateError.to_dict` of what stopped the run.
        command: what to type to get the same result.
        versions: versions of the libraries that computed it.
        code_version: version of acclimate, with its revision if known.
    """

    config: Mapping[str, Any]
    run_id: str
    run_key: str
    data: DataCard
    source_uri: str = ""
    source: SourceCard | None = None
    retrain: RetrainDecision | None = None
    gap: GapReport | None = None
    baseline: BaselineReport | None = None
    calibration: Calibration | None = None
    decision: Decision | None = None
    finetune: FinetuneReport | None = None
    evaluation: Evaluation | None = None
    verdict: Verdict | None = None
    registration: Registration | None = None
    seconds: Mapping[str, float] = field(default_factory=dict)
    timing: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    error: Mapping[str, Any] | None = None
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    code_version: str = ""

    @property
    def name(self) -> str:
        """Name of the adapted model."""
        return str(self.config.get("name", ""))

    @property
    def goal(self) -> Mapping[str, Any]:
        """The goal, defaults filled in."""
        return {**Goal().model_dump(), **self.config.get("goal", {})}

    @property
    def metric(self) -> str:
        """What is measured, e.g. ``macro_f1``."""
        return str(self.goal["metric"])

    @property
    def missing(self) -> tuple[str, ...]:
        """Stages whose record is not there, in order; a finetune stage that was not wanted is not missing."""
        trained = self.finetune or (self.decision is not None and self.decision.action == "freeze") or None
        records = (self.data, self.gap, self.baseline, self.decision, trained, self.evaluation, self.registration)
        return tuple(stage for stage, record in zip(STAGES, records, strict=True) if record is None)

    @property
    def stopped_at(self) -> str | None:
        """The stage that did not finish, where an error stopped the run."""
        if self.error is None:
            return None
        return self.missing[0] if self.missing else STAGES[-1]

    @property
    def primary(self) -> Comparison | None:
        """The comparison that decides: candidate - comparator."""
        found = self.evaluation.comparisons if self.evaluation else []
        return next((row for row in found if row.role == "comparator"), None)

    @property
    def seconds_a_point(self) -> float | None:
        """Seconds of fine-tuning for each .01 gained over the comparator; None where nothing was trained or gained."""
        spent = self.seconds.get("finetune")
        if spent is None or self.finetune is None or self.primary is None or self.primary.difference.point <= 0:
            return None
        if self.evaluation is not None and self.evaluation.strategy == "frozen":
            return None
        return spent / (100 * self.primary.difference.point)

    def arm_seconds(self, strategy: str) -> float | None:
        """Measured seconds of an arm, None where nothing was measured."""
        stages = ("finetune", "baseline") if strategy == "frozen" else ("finetune",)
        return next((self.timing[s][strategy] for s in stages if strategy in self.timing.get(s, {})), None)

    @property
    def gave_way(self) -> bool:
        """Whether the frozen model was handed on in the place of the arm that was chosen (rule R10)."""
        rule = self.evaluation.handed_on if self.evaluation else None
        return rule is not None and rule.fired

    @property
    def chosen_arm(self) -> Arm | None:
        """The arm handed on, None without fine-tuning."""
        arms = self.finetune.arms if self.finetune else []
        return next((arm for arm in arms if arm.chosen), None)
