"""What stage ``finetune`` asks of a task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np

from acclimate.config_finetune import FinetuneSpec
from acclimate.core.paired import Bounds, PairedDifference
from acclimate.nn.job import Job, Schedule, TrainResult
from acclimate.nn.strategies import STRATEGIES

Role = Literal["arm", "control"]
#: What a judge compares on the validation rows: class indices, or scores, ``[n]``.
Answers = np.ndarray


class RowJudge(Protocol):
    """Scores and compares answers on the same rows."""

    def point(self, answers: Answers) -> float:
        """The score alone."""

    def score(self, answers: Answers) -> Bounds:
        """The score with its interval."""

    def difference(self, a: Answers, b: Answers) -> PairedDifference:
        """Score of a - score of b."""


@dataclass(frozen=True)
class Finished:
    """An arm that was trained on its full schedule.

    Args:
        answers: of the model as it is served, on the validation rows.
        digest: of its folder.
        facts: further fields of its :class:`acclimate.records.Arm`.
    """

    answers: Answers
    digest: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Dropped:
    """An arm that successive halving dropped, as far as it came; its model is not kept.

    Args:
        answers: of the best epoch's model, on the validation rows.
        facts: further fields of its :class:`acclimate.records.Arm`.
    """

    answers: Answers
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class FrozenArm:
    """The frozen baseline as an arm.

    Args:
        answers: its own, on the validation rows.
        digest: of its folder.
        parameters: of the head that was made for it.
        settings: what it was made with.
        keeps_the_source: whether what is kept of the source's domain is measured: a frozen model keeps all.
    """

    answers: Answers
    digest: str
    parameters: int
    settings: Mapping[str, float | int | str]
    keeps_the_source: bool


@dataclass(frozen=True)
class Preparation:
    """What came before an arm's first epoch.

    Args:
        seconds: what it took.
        facts: further fields of its :class:`acclimate.records.Arm`.
    """

    seconds: float
    facts: Mapping[str, Any]


class ArmTask(Protocol):
    """The task's own part of the stage."""

    @property
    def judge(self) -> RowJudge:
        """What arms are chosen by."""

    @property
    def source_score(self) -> float | None:
        """The source model's own score on the source's held-out rows; None where that is not measured."""

    def frozen(self) -> FrozenArm:
        """The baseline, which has been trained already."""

    def job(self, strategy: str, settings: Mapping[str, Any], schedule: Schedule, epochs: int, folder: Path) -> Job:
        """What is to be trained; what has to come before it is done by then."""

    def preparation(self, strategy: str) -> Preparation:
        """What was done for an arm before its first job, whatever number of trainings it had."""

    def dropped(self, job: Job, result: TrainResult) -> Dropped:
        """What a training comes to, without storing its model."""

    def finished(self, job: Job, result: TrainResult, role: Role, folder: Path) -> Finished:
        """Make the model that would be served of a training, and store it."""


def fitting_penalties(strategy: str, penalties: Mapping[str, float]) -> dict[str, float]:
    """Those of the decision's penalties that mean something for a strategy."""
    chosen = STRATEGIES[strategy]
    if not chosen.starts_from_probe:
        return {}
    return {name: weight for name, weight in penalties.items() if name != "l2_sp" or chosen.trains_source_weights}


def shared_settings(config: FinetuneSpec) -> dict[str, Any]:
    """The fields of a job that are the configuration's, whatever the task."""
    names = ("batch_size", "warmup", "weight_decay", "clip_norm", "patience", "seed")
    return {name: getattr(config, name) for name in names}
