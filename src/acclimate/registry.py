"""What is asked of the model registry, and what it is told; :mod:`acclimate.adapters` implements it on MLflow."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from acclimate.core.licences import OWN, together
from acclimate.records import (
    BaselineReport,
    DataCard,
    Decision,
    Evaluation,
    Evidence,
    FinetuneReport,
    GapReport,
    LineageNode,
    Registration,
    SourceCard,
    Verdict,
)
from acclimate.records_promotion import PromotionEntry, PromotionLog


@dataclass(frozen=True)
class RegisteredVersion:
    """One live version of a registered model."""

    name: str
    version: int
    run_key: str
    verdict: str
    aliases: tuple[str, ...]
    tags: dict[str, str]

    @property
    def model_uri(self) -> str:
        """``models:/NAME/VERSION``."""
        return f"models:/{self.name}/{self.version}"


@dataclass(frozen=True)
class Descendant:
    """A live version that was made from something.

    Args:
        version: the version.
        way: what it was made from, oldest first; the last is what it was made from directly.
    """

    version: RegisteredVersion
    way: str


@dataclass(frozen=True)
class Move:
    """Where a champion was and is now; None: there was or is none."""

    name: str
    before: int | None
    after: int | None


@dataclass(frozen=True)
class Promotions:
    """Who acted on a model's aliases, and whether MLflow still agrees.

    Args:
        log: every act, oldest first.
        champion: version of the champion by the log; the alias's while it says nothing.
        pointed: version the alias ``champion`` points at.
        pending: acts that were not seen done, oldest first.
        live: versions that the registry still has.
    """

    log: PromotionLog
    champion: int | None
    pointed: int | None
    pending: tuple[PromotionEntry, ...]
    live: frozenset[int]

    @property
    def unfinished(self) -> PromotionEntry | None:
        """The last act that was not seen done."""
        return self.pending[-1] if self.pending else None

    @property
    def champion_deleted(self) -> bool:
        """The champion by the log is not in the registry any more."""
        return self.champion is not None and self.champion not in self.live

    @property
    def moved_by_hand(self) -> bool:
        """Somebody moved the alias in MLflow; an act that was interrupted is none of that."""
        interrupted = any(entry.moves_champion and self.pointed == entry.champion_before for entry in self.pending)
        return self.pointed != self.champion and not interrupted

    @property
    def earlier(self) -> int | None:
        """The last champion before this one that can still be gone back to by its number."""
        line = reversed(self.log.succession[:-1])
        fit = (one for one in line if one in self.live and one != self.champion and not self.log.recalled(one))
        return next(fit, None)

    @property
    def predecessor(self) -> int | None:
        """Where a rollback that names nobody goes; None where it would be refused."""
        before = next(iter(self.log.succession[-2:-1]), None)
        return before if before == self.earlier and self.pointed == self.champion else None


@dataclass(frozen=True)
class FinishedStage:
    """When a stage ran, and what of.

    Args:
        key: the same one stands for the same output.
        seconds: what it took.
        started_at: in seconds since 1970; None where that is not known.
        inputs: each thing that its key is made of, mostly as sha256, its code included.
        image: what it ran in on a cluster.
        digest: sha256 of what it wrote; None where that is not known.
        cost: of ``evaluate``, what the model took to serve there, by names that end in their units.
    """

    key: str
    seconds: float
    started_at: float | None = None
    inputs: dict[str, str] = field(default_factory=dict)
    image: str | None = None
    digest: str | None = None
    cost: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Considerations:
    """What people should know before they use a model, in sentences.

    Args:
        made_for: what it is for; empty where nobody said.
        not_for: what it is not for.
        limits: where it is weak, and what is not known of it.
    """

    made_for: str = ""
    not_for: tuple[str, ...] = ()
    limits: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunRecords:
    """Everything one adaptation produced, as handed to the tracker; its stages in the order in which they ran."""

    run_key: str
    name: str
    config: dict[str, Any]
    source: SourceCard
    source_uri: str
    data: DataCard
    gap: GapReport
    baseline: BaselineReport
    decision: Decision
    finetune: FinetuneReport | None
    evaluation: Evaluation
    stages: dict[str, FinishedStage]
    considerations: Considerations = Considerations()

    @property
    def outputs(self) -> dict[str, str]:
        """By stage the sha256 of what it wrote, as far as that is known."""
        return {name: stage.digest for name, stage in self.stages.items() if stage.digest is not None}


def licence_of_run(records: RunRecords) -> str | None:
    """What the adapted model's licence has to ask for: of the source, and of the rows it was fitted on."""
    data = records.data
    pool = [] if data.pool is None else [data.pool.licence]
    return together([records.source.licence, data.target.licence or OWN, *pool])


class Registry(Protocol):
    """Runs, models and lineage (MLflow)."""

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Live versions of a model, lowest first; empty when the name is unknown."""

    def require(self, name: str) -> list[RegisteredVersion]:
        """Live versions of a model, lowest first; an error that names the nearest where the name is unknown."""

    def adapted(self) -> dict[str, int | None]:
        """Names of all adapted models, each with its champion's version."""

    def champion(self, name: str) -> RegisteredVersion | None:
        """The version the alias ``champion`` points at."""

    def fetch(self, uri: str, into: Path) -> Path:
        """Folder of the model behind ``models:/NAME/VERSION``, ``models:/NAME@ALIAS`` or ``runs:/...``."""

    def version(self, reference: str) -> RegisteredVersion:
        """The version that ``NAME``, ``NAME@ALIAS`` or ``NAME/VERSION`` means."""

    def lineage(self, reference: str) -> LineageNode:
        """What made the model behind ``NAME``, ``NAME@ALIAS`` or ``NAME/VERSION``, back to its source."""

    def verdict(self, reference: str) -> tuple[RegisteredVersion, Verdict]:
        """A version, named as for :meth:`lineage`, and what the gate said of it."""

    def promotions(self, name: str) -> Promotions:
        """Who acted on a model's aliases, and whether they still agree; changes nothing."""

    def promote(self, reference: str, by: str, reason: str, expect: str | None) -> Move:
        """Make a version the champion, if the gate lets it and ``expect`` (a version or ``none``) is the champion."""

    def rollback(self, name: str, by: str, reason: str, expect: str | None, to: str | None) -> Move:
        """Go back to the champion before, or to the one that ``to`` names."""

    def shadow(self, reference: str, by: str, reason: str) -> RegisteredVersion:
        """Make a version the challenger, if the gate lets it."""

    def approve(self, reference: str, by: str, reason: str) -> tuple[RegisteredVersion, Verdict]:
        """Record that somebody answers for a version as its verdict, which is given too, saw it."""

    def descendants(self, source: str | None, data: str | None) -> list[Descendant]:
        """Live versions that were made from a source model or from the rows of a digest, directly or in steps."""

    def withdraw(self, source: str | None, data: str | None, by: str, reason: str) -> None:
        """Let nothing that is made from a source model or from data get an alias; both as for :meth:`descendants`."""

    def restore(self, source: str | None, data: str | None) -> None:
        """Undo :meth:`withdraw`; versions that were recalled stay so until they are readmitted."""

    def withdrawn(self, source: str | None, data: str | None) -> str | None:
        """What is recalled of a source model or data, by whom and why; None: nothing."""

    def recall(self, reference: str, by: str, reason: str) -> RegisteredVersion:
        """Take both aliases from a version and let it have none until it is readmitted."""

    def readmit(self, reference: str, by: str, reason: str) -> RegisteredVersion:
        """Lift a recall."""

    def look(self, test_digest: str, run_key: str) -> int:
        """Which look at the test rows of that digest a run key is, the first is 1; the next where it isn't recorded."""

    def record_run(self, records: RunRecords) -> str:
        """Keep the run (once per run key; written again it updates the same run) and return its id."""

    def keep_files(self, mlflow_run_id: str, folder: Path) -> None:
        """Keep all that lies in a folder with the run, in the place of what it had by the same names."""

    def report(self, version: RegisteredVersion) -> str | None:
        """The report that :meth:`keep_files` kept with the run of a version; None where there is none."""

    def log_model(self, mlflow_run_id: str, records: RunRecords, model_folder: Path) -> str:
        """Store the model with the run, not yet registered; returns a URI that :meth:`fetch` takes."""

    def keep_evidence(self, mlflow_run_id: str, evidence: Evidence, predictions: Path) -> None:
        """Keep what a verdict was computed from with its run, beside that of earlier verdicts."""

    def evidence(self, reference: str, into: Path) -> tuple[RegisteredVersion, Verdict, Evidence, Path]:
        """A version, its verdict, and what that was computed from; the last is a file of predictions below ``into``."""

    def register(
        self, records: RunRecords, mlflow_run_id: str, model_uri: str | None, verdict: Verdict, *, auto_promote: bool
    ) -> Registration:
        """Register idempotently by run key and set the aliases the verdict asks for."""
