"""What the stages need from the world, as Protocols; :mod:`acclimate.adapters` implements them."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from acclimate.records import InputFile, Manifest

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
