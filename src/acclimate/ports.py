"""What the stages need from the world, as Protocols; :mod:`acclimate.adapters` implements them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from acclimate.core.licences import OWN, together
from acclimate.records import (
    BaselineReport,
    DataCard,
    Decision,
    Evaluation,
    Evidence,
    FinetuneReport,
    GapReport,
    InputFile,
    LineageNode,
    Manifest,
    Registration,
    SourceCard,
    Verdict,
)
from acclimate.records_promotion import PromotionEntry, PromotionLog

if TYPE_CHECKING:
    from acclimate.nn.job import Job, TrainResult


class Progress(Protocol):
    """Tells people and machines how far a stage is."""

    def __call__(self, event: str, /, **fields: Any) -> None:
        """Report one event, e.g. ``progress("epoch", strategy="lora", epoch=2, of=5, score=0.84)``.

        ``done`` and ``of`` (counts) let a terminal draw a bar.
        """


def silent(event: str, /, **fields: Any) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class RawTable:
    """Rows as read, nothing dropped and no meaning checked.

    Args:
        columns: values by column name, all of one length; None where a value is missing. A column that was optional
            and isn't there is left out.
        lines: line (text formats) or row (Parquet) of each row in its file, counted from 1.
        file_of: index into ``files`` of each row.
        files: what was read, in order.
        header: all column names of the first file, or of all rows of JSON lines.
        warnings: what a user should know, e.g. files that were passed over.
        images: of images: the encoded image of each row, ``b""`` where the cell is null; None for texts. Its column
            then holds what identifies the image, see :func:`acclimate.nn.images.pixel_key`.
        near: of images: the key of each that look-alikes share, see :func:`acclimate.nn.images.near_key`; ``""``
            where the cell is null.
        names: path of each row's own file inside the folder that ``files`` names, where every row has one.
    """

    columns: dict[str, list[str | None]]
    lines: Sequence[int]
    file_of: Sequence[int]
    files: list[InputFile]
    header: list[str]
    warnings: list[str]
    images: Sequence[bytes] | None = None
    near: Sequence[str] | None = None
    names: Sequence[str] | None = None

    def place(self, row: int) -> str:
        """``file:line`` of a row, or its own file, for errors."""
        uri = self.files[self.file_of[row]].uri
        return f"{uri}:{self.lines[row]}" if self.names is None else f"{uri}/{self.names[row]}"


@dataclass(frozen=True)
class TokenCounts:
    """Tokens of rows as a language model reads them.

    Args:
        rows: of the whole row, the end of the text included, ``[n]``.
        answers: of what is to be written, without the end, ``[n]``.
    """

    rows: list[int]
    answers: list[int]


class TokenCounter(Protocol):
    """Counts tokens of prompts and answers."""

    def __call__(self, prompts: Sequence[str] | None, answers: Sequence[str]) -> TokenCounts:
        """Count them, whatever their number.

        Args:
            prompts: what is read; None for plain texts, which have none.
            answers: what is to be written, or the plain texts.
        """


class TableReader(Protocol):
    """Reads a table of examples from a file or a folder of files."""

    def __call__(
        self,
        path: Path,
        *,
        name: str,
        required: Sequence[str],
        optional: Sequence[str],
        format: str | None,  # noqa: A002
        text: str = "",
        answer: str | None = None,
        image: str = "",
        encoding: str = "utf-8",
        root: Path,
        allow_outside: bool,
    ) -> RawTable:
        """Read the column of texts or of images, and the named ones.

        Args:
            path: file or folder, resolved.
            name: the section of the configuration, for hints, e.g. ``target``.
            text: column that holds the text, kept exactly as read; empty where images are read.
            answer: column of texts that holds the answers and must be there; None reads none.
            image: column that holds encoded images; empty where texts are read.
            required: further columns that must be there; their values in one canonical spelling.
            optional: columns that may be absent.
            encoding: of text files.
            format: csv, tsv, jsonl, parquet or image-folder; None tells by what is there.
            root: the project root: names are shown relative to it, and no file may lie outside of it.
            allow_outside: files may lie outside of it.
        """


class Store(Protocol):
    """Where stage outputs lie: whole or not there.

    Stages hand on *references*: what another process, or another machine where the workspace is shared, calls a
    finished folder. A *shared folder* is a named one that isn't final: features, checkpoints, a run's records.
    """

    @property
    def home(self) -> Path:
        """Local folder of scratch and caches; the workspace itself where that is local."""

    def find(self, stage: str, key: str) -> Path | None:
        """Local path of a finished stage, its digests checked; None where there is none or it must be made again."""

    def publish(self, stage: str, key: str, folder: Path, manifest: Manifest) -> Path:
        """Put ``folder`` in its place, the manifest last; returns the local path of what is there then.

        Of two that publish one key at once the first wins, and both return what the first published.
        """

    def discard(self, place: Path) -> None:
        """Take an outdated stage folder out of use."""

    def lock(self, name: str) -> AbstractContextManager[None]:
        """Exclusive lock between all users of the workspace, freed when its holder dies."""

    def reference(self, folder: Path) -> str:
        """What :meth:`open` takes for a finished folder that :meth:`find` or :meth:`publish` returned."""

    def open(self, reference: str) -> Path:
        """Local path of a finished folder, its digests checked.

        Raises:
            DataError: it is no reference of this workspace, or nothing finished lies there.
            IntegrityError: its bytes are not those that were published.
        """

    def pull(self, name: str) -> Path:
        """Local copy of a shared folder, brought up to date; empty where nobody has stored any."""

    def push(self, name: str) -> None:
        """Store what lies in ``home / name`` now."""

    def remove(self, name: str) -> None:
        """Delete a shared folder, here and for everybody."""

    def claim(self, name: str, owner: str) -> str:
        """Take or keep a claim; returns who has it: ``owner``, or another that is alive."""

    def beating(self, name: str, owner: str) -> AbstractContextManager[None]:
        """Show that the owner of a claim is alive while a step works.

        A claim spares a later run the work; it guards nothing. Where another has taken it over the step goes on:
        stages are locked one by one and found by key, so that nothing is made twice.
        """

    def release(self, name: str, owner: str) -> None:
        """Give a claim back; nothing happens where it is another's."""


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
        unfinished: the last act on the champion, where the alias was not seen to follow it yet.
    """

    log: PromotionLog
    champion: int | None
    pointed: int | None
    unfinished: PromotionEntry | None

    @property
    def moved_by_hand(self) -> bool:
        """Somebody moved the alias in MLflow; an act that was interrupted is none of that."""
        interrupted = self.unfinished is not None and self.pointed == self.unfinished.champion_before
        return self.pointed != self.champion and not interrupted


@dataclass(frozen=True)
class FinishedStage:
    """When a stage ran, and what of.

    Args:
        seconds: what it took.
        started_at: in seconds since 1970; None where that is not known.
        inputs: sha256 of each thing that its key is made of, its code included.
    """

    seconds: float
    started_at: float | None = None
    inputs: dict[str, str] = field(default_factory=dict)


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


def licence_of_run(records: RunRecords) -> str | None:
    """What the adapted model's licence has to ask for: of the source, and of the rows it was fitted on."""
    data = records.data
    pool = [] if data.pool is None else [data.pool.licence]
    return together([records.source.licence, data.target.licence or OWN, *pool])


class Registry(Protocol):
    """Runs, models and lineage (MLflow)."""

    def versions(self, name: str) -> list[RegisteredVersion]:
        """Live versions of a model, lowest first; empty when the name is unknown."""

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

    def approve(self, reference: str, by: str, reason: str) -> RegisteredVersion:
        """Record that somebody answers for a version as its verdict saw it."""

    def descendants(self, source: str | None, data: str | None) -> list[Descendant]:
        """Live versions that were made from a source model or from the rows of a digest, directly or in steps."""

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


class Trainer(Protocol):
    """Trains one strategy, on one worker or several."""

    @property
    def workers(self) -> int:
        """Number of training processes; the most of a training whose workers come and go."""

    def train(self, job: Job, *, progress: Progress = silent) -> TrainResult:
        """Train a job to its end, or take it up where an earlier run left it.

        Raises:
            ModelError: training itself failed, the same way as it would again.
            UnavailableError: the workers did; trying again may work.
        """


class Clock(Protocol):
    """Monotonic seconds, for durations only."""

    def __call__(self) -> float:
        """Seconds since an arbitrary start."""
