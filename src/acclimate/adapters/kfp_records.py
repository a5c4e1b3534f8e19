"""What Kubeflow Pipelines knows about runs and schedules, as far as acclimate looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

ENDED = frozenset({"SUCCEEDED", "FAILED", "CANCELED", "SKIPPED"})


@dataclass(frozen=True)
class PipelineVersion:
    """An uploaded pipeline at one content."""

    pipeline_id: str
    version_id: str
    name: str

    @property
    def reference(self) -> dict[str, str]:
        """How a run names it."""
        return {"pipeline_id": self.pipeline_id, "pipeline_version_id": self.version_id}


@dataclass(frozen=True)
class KfpTask:
    """One task of a run."""

    name: str
    state: str
    error: str


@dataclass(frozen=True)
class KfpRun:
    """One run.

    Args:
        id: KFP's.
        name: as submitted.
        state: ``PENDING``, ``RUNNING``, ``SUCCEEDED``, ``FAILED``, ``CANCELING``, ``CANCELED`` and the like.
        created_at: RFC 3339, KFP's clock.
        finished_at: the same; empty while it runs.
        error: why it failed, in KFP's words.
        parameters: what the pipeline was given.
        schedule_id: of the recurring run that started it, or empty.
        tasks: what it consists of; empty in lists.
    """

    id: str
    name: str
    state: str
    created_at: str = ""
    finished_at: str = ""
    error: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    schedule_id: str = ""
    tasks: tuple[KfpTask, ...] = ()

    @property
    def ended(self) -> bool:
        """Whether it will change no more."""
        return self.state in ENDED

    @classmethod
    def read(cls, data: dict[str, Any]) -> KfpRun:
        """Read KFP's answer."""
        details = _dict(data, "run_details").get("task_details") or []
        return cls(
            id=_text(data, "run_id"),
            name=_text(data, "display_name"),
            state=_text(data, "state") or "PENDING",
            created_at=_text(data, "created_at"),
            finished_at=_text(data, "finished_at") if _text(data, "state") in ENDED else "",
            error=_text(_dict(data, "error"), "message"),
            parameters=_dict(_dict(data, "runtime_config"), "parameters"),
            schedule_id=_text(data, "recurring_run_id"),
            tasks=tuple(
                KfpTask(_text(task, "display_name"), _text(task, "state"), _text(_dict(task, "error"), "message"))
                for task in details
                if isinstance(task, dict)
            ),
        )


@dataclass(frozen=True)
class KfpSchedule:
    """One recurring run.

    Args:
        id: KFP's.
        name: as made.
        enabled: whether it starts runs.
        cron: six fields, or empty when it is periodic.
        description: free text.
        created_at: RFC 3339, KFP's clock.
        parameters: what each run is given.
        experiment_id: where its runs go.
    """

    id: str
    name: str
    enabled: bool
    cron: str
    description: str = ""
    created_at: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    experiment_id: str = ""

    @classmethod
    def read(cls, data: dict[str, Any]) -> KfpSchedule:
        """Read KFP's answer."""
        state = _text(data, "status") or _text(data, "mode")
        return cls(
            id=_text(data, "recurring_run_id"),
            name=_text(data, "display_name"),
            enabled=state in {"ENABLED", "ENABLE"},
            cron=_text(_dict(_dict(data, "trigger"), "cron_schedule"), "cron"),
            description=_text(data, "description"),
            created_at=_text(data, "created_at"),
            parameters=_dict(_dict(data, "runtime_config"), "parameters"),
            experiment_id=_text(data, "experiment_id"),
        )


def _dict(data: dict[str, Any], name: str) -> dict[str, Any]:
    found = data.get(name)
    return found if isinstance(found, dict) else {}


def _text(data: dict[str, Any], name: str) -> str:
    found = data.get(name)
    return found if isinstance(found, str) else ""
