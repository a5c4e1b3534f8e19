"""How a training's files reach workers that may not share a disk with the process that asked for it.

A worker that sees the driver's folder uses it as it is. Any other takes copies through the workspace's shared folders:
the source model, which the driver stores there once, and the checkpoints, which worker 0 stores as it writes them.
"""

from __future__ import annotations

import os
import shutil
import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from acclimate.errors import ConfigError, UnavailableError
from acclimate.nn.job import Job
from acclimate.nn.preflight import weight_files
from acclimate.nn.source_card import CONTENT_FILES

_MARKER = "driver"


class SharedFolders(Protocol):
    """What a training needs of a workspace that other machines reach; it is sent to the workers, so it is pickled."""

    @property
    def home(self) -> Path:
        """Local folder of the copies, in the process that asks."""

    def pull(self, name: str) -> Path:
        """Local copy of a shared folder, brought up to date."""

    def push(self, name: str) -> None:
        """Store what lies in ``home / name`` now."""


@dataclass(frozen=True)
class Exchange:
    """Where the files of one training are; :meth:`opened` by the driver, sent to the workers.

    Args:
        folder: the driver's, for the time of the training.
        shared: shared folders of the workspace; None where it is a folder.
        checkpoints: name of the shared folder that holds the job's.
        source: name of the shared folder that holds the source model.
    """

    folder: Path
    shared: SharedFolders | None
    checkpoints: str = ""
    source: str = ""

    @classmethod
    def opened(cls, job: Job, shared: SharedFolders | None) -> Exchange:
        """The driver's part: a folder of its own, and the source model in the workspace.

        Raises:
            ConfigError: E-TRAIN-034, the job's checkpoints don't lie in the shared workspace.
        """
        name = f"{job.folder.name}.ray-{uuid.uuid4().hex[:8]}"
        if shared is None:
            exchange = cls(job.folder.parent / name, None)
        else:
            checkpoints, source = _below(job.folder.parent, shared.home), f"sources/{job.source_digest[:24]}"
            _store_source(job.source, source, shared)
            exchange = cls(shared.home / "tmp" / name, shared, checkpoints, source)
        exchange.folder.mkdir(parents=True)
        (exchange.folder / _MARKER).touch()
        return exchange

    def is_here(self) -> bool:
        """Whether this process sees the driver's disk."""
        # a home has the same path on every machine: only the marker tells whether it is the driver's
        folder = self.folder if self.shared is None else self.shared.home / "tmp" / self.folder.name
        return (folder / _MARKER).exists()

    def local(self, job: Job) -> Job:
        """The worker's part: the job with the folders it has here, brought up to date.

        Raises:
            UnavailableError: E-TRAIN-033, this machine has no way to the workspace.
        """
        if self.is_here():
            return job
        if self.shared is None:
            raise UnavailableError(
                "E-TRAIN-033",
                "a training worker runs on a machine that does not see the workspace",
                where=str(job.folder.parent),
                hint="set workspace: s3://BUCKET/PREFIX, or put it on a disk that all workers share",
            )
        # several workers of one machine share its copies
        self.shared.home.mkdir(parents=True, exist_ok=True)
        with FileLock(str(self.shared.home / ".ray.lock")):
            source, checkpoints = self.shared.pull(self.source), self.shared.pull(self.checkpoints)
        return replace(job, source=source, folder=checkpoints / job.folder.name)

    def keep(self) -> None:
        """Store what worker 0 has just committed where the other machines find it."""
        if self.shared is not None and not self.is_here():
            self.shared.push(self.checkpoints)

    def collect(self) -> None:
        """Bring the driver's copy of the checkpoints up to date."""
        if self.shared is not None:
            self.shared.pull(self.checkpoints)

    def close(self) -> None:
        """Delete the driver's folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _below(folder: Path, home: Path) -> str:
    if not folder.is_relative_to(home):
        raise ConfigError(
            "E-TRAIN-034",
            "checkpoints outside of the shared workspace don't reach the workers",
            where=str(folder),
            hint=f"keep them below {home}",
        )
    return folder.relative_to(home).as_posix()


def _store_source(source: Path, name: str, shared: SharedFolders) -> None:
    """Copy what decides what the model computes; the name is its digest, so what is there stays."""
    folder = shared.pull(name)
    wanted = [path for path in (source / each for each in CONTENT_FILES) if path.is_file()]
    for path in {*wanted, *weight_files(source)}:
        target = folder / path.relative_to(source)
        if not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(path, partial)
            partial.replace(target)
    shared.push(name)
