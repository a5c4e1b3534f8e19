"""Checkpoints: safetensors and one JSON file, whose replacement is the commit. No pickle.

``checkpoint.json`` names the tensor files with their sha256. It is replaced atomically after they are on disk, and
files it doesn't name are deleted after that: a kill at any point leaves the old checkpoint or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from acclimate.digests import file_digest
from acclimate.errors import IntegrityError, UnavailableError
from acclimate.records import EpochPoint, Record

INDEX = "checkpoint.json"
Tensors = dict[str, torch.Tensor]


class StoredTensors(Record):
    """A safetensors file beside the index."""

    file: str
    sha256: str


class Checkpoint(Record):
    """Where a training is, after a whole epoch or between two steps of one.

    Args:
        job: digest of the job and the code; a checkpoint of another job is foreign.
        finished: nothing is left to train.
        best_epoch: epoch with the best validation score, from 1; 0 while there is none.
        history: one point for each epoch done.
        steps: done of the epoch after these; 0 after a whole one.
        seconds: spent in epochs so far.
        kept: parameters and validation outputs of the best epochs, best first; empty before the first is done.
        state: parameters and optimizer now, amid an epoch also its loss so far and the random generators; absent once
            finished.
    """

    schema_version: Literal[3] = 3
    job: str
    finished: bool
    best_epoch: int
    history: list[EpochPoint]
    steps: int = Field(ge=0)
    seconds: float
    trained_parameters: int
    total_parameters: int
    kept: list[StoredTensors]
    state: StoredTensors | None

    @model_validator(mode="after")
    def _has_what_it_needs(self) -> Self:
        if self.finished == (self.state is not None) or bool(self.history) != bool(self.kept):
            raise ValueError("it lacks tensors, or has some that do not belong to it")
        return self

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)


def store_tensors(folder: Path, name: str, tensors: Mapping[str, torch.Tensor]) -> StoredTensors:
    """Write tensors, flushed to disk, under a name no index holds yet.

    Raises:
        UnavailableError: E-TRAIN-015, the disk is full or not writable.
    """
    # one name for all: what kills and a full disk leave does not pile up
    partial, path = folder / ".tensors.partial", folder / f"{name}.safetensors"
    with _writing(folder):
        save_file({key: value.detach().contiguous() for key, value in tensors.items()}, partial)
        digest = file_digest(partial)
        _flush(partial)
        partial.replace(path)
    return StoredTensors(file=path.name, sha256=digest)


def commit(folder: Path, checkpoint: Checkpoint) -> None:
    """Make a checkpoint the folder's current one and delete what it doesn't name.

    Raises:
        UnavailableError: E-TRAIN-015, the disk is full or not writable.
    """
    partial = folder / f".{INDEX}.partial"
    with _writing(folder):
        partial.write_text(checkpoint.model_dump_json(indent=1) + "\n", encoding="utf-8")
        _flush(partial)
        partial.replace(folder / INDEX)
        _flush(folder)
        named = {INDEX, *(stored.file for stored in _stored(checkpoint))}
        for path in folder.iterdir():
            if path.name not in named:
                path.unlink()


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise UnavailableError(
            "E-TRAIN-015",
            f"a checkpoint can't be written: {error}",
            where=str(folder),
            hint="free disk space in the workspace and run again: training goes on after the last checkpoint",
        ) from error


def read_checkpoint(folder: Path, job: str) -> Checkpoint | None:
    """The folder's checkpoint, every byte of it checked; None when there is none.

    Args:
        folder: a job's folder.
        job: the digest the checkpoint must carry.

    Raises:
        IntegrityError: E-TRAIN-010 it can't be read, E-TRAIN-011 it is of another job, E-TRAIN-012 a tensor file is
            absent or not the one that was written.
    """
    path = folder / INDEX
    if not path.exists():
        return None
    try:
        found = Checkpoint.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise _refused("E-TRAIN-010", f"it can't be read: {str(error).splitlines()[0]}", path) from error
    if found.job != job:
        raise _refused("E-TRAIN-011", "it is of another job, or of another version of the code", path)
    for stored in _stored(found):
        _check(folder, stored)
    return found


def _stored(checkpoint: Checkpoint) -> list[StoredTensors]:
    return [*checkpoint.kept, *([checkpoint.state] if checkpoint.state else [])]


def load_tensors(folder: Path, stored: StoredTensors) -> Tensors:
    """Read tensors back.

    Raises:
        IntegrityError: E-TRAIN-012, they are not the ones that were written.
    """
    _check(folder, stored)
    try:
        tensors: Tensors = load_file(folder / stored.file)
    except (OSError, SafetensorError) as error:
        raise _refused("E-TRAIN-012", str(error), folder / stored.file) from error
    return tensors


def _check(folder: Path, stored: StoredTensors) -> None:
    path = folder / stored.file
    if Path(stored.file).name != stored.file or not path.is_file():
        raise _refused("E-TRAIN-012", "a file it names is absent", path)
    if file_digest(path) != stored.sha256:
        raise _refused("E-TRAIN-012", "the bytes are not the ones that were written", path)


def _refused(code: str, why: str, path: Path) -> IntegrityError:
    return IntegrityError(
        code, f"a checkpoint is not used: {why}", where=str(path), hint="nothing to do: training starts again"
    )


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
