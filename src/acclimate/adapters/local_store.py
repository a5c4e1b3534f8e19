"""Stage outputs in a local folder: whole or not there, one writer at a time."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock

from acclimate.digests import file_digest
from acclimate.errors import AccessError, IntegrityError, UnavailableError
from acclimate.records import FileDigest, Manifest

UNSIGNED = frozenset({Manifest.file_name, "timing.json"})


def signed_files(folder: Path) -> dict[str, FileDigest]:
    """Digest of every file below ``folder`` but the manifest and timing.json, by relative path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return {
        name: FileDigest(sha256=file_digest(path), size_bytes=path.stat().st_size)
        for name, path in named.items()
        if name not in UNSIGNED
    }


class LocalStore:
    """The workspace's folders on this machine.

    Args:
        workspace: created when absent.

    Raises:
        AccessError: E-STORE-001, the workspace can't be created or written.
    """

    def __init__(self, workspace: Path) -> None:
        self.home = self.workspace = workspace
        try:
            for name in ("stages", "locks", "tmp"):
                (workspace / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AccessError(
                "E-STORE-001",
                f"the workspace can't be used: {error.strerror}",
                where=str(workspace),
                hint="set workspace: to a folder you may write to",
            ) from error

    def place(self, stage: str, key: str) -> Path:
        """Where a stage's folder lies once it is finished."""
        return self.workspace / "stages" / stage / key[:24]

    def find(self, stage: str, key: str) -> Path | None:
        """The finished folder of a stage, all digests checked; None where there is none or it is damaged."""
        folder = self.place(stage, key)
        if not (folder / Manifest.file_name).is_file():
            return None
        try:
            manifest = Manifest.read(folder)
        except IntegrityError:
            return None
        whole = manifest.key == key and manifest.files == signed_files(folder)
        return folder if whole else None

    def publish(self, stage: str, key: str, folder: Path, manifest: Manifest) -> Path:
        """Write the manifest, flush everything to disk and move ``folder`` to its place in one rename."""
        place = self.place(stage, key)
        try:
            manifest.write(folder)
            _flush(folder)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.exists():
                self.discard(place)
            folder.rename(place)
        except OSError as error:
            raise UnavailableError(
                "E-STORE-002",
                f"the output of {stage} can't be stored: {error.strerror}",
                where=str(place),
                hint="free disk space and run again: finished stages are kept",
            ) from error
        return place

    def discard(self, place: Path) -> None:
        """Take a damaged or outdated stage folder out of use; it is kept in the workspace's tmp folder."""
        aside = self.workspace / "tmp" / f"discarded-{place.parent.name}-{place.name}"
        if aside.exists():
            shutil.rmtree(aside)
        place.rename(aside)

    def reference(self, folder: Path) -> str:
        """The folder's path."""
        return str(folder)

    def open(self, reference: str) -> Path:
        """The folder of that path. It was checked when its stage ended or was found, by this run.

        Raises:
            IntegrityError: E-STORE-003, it is no finished stage's folder.
        """
        folder = Path(reference)
        if not (folder / Manifest.file_name).is_file():
            raise IntegrityError(
                "E-STORE-003", "this is no finished stage's folder", where=reference, hint="run the pipeline again"
            )
        return folder

    def pull(self, name: str) -> Path:
        """The folder itself: there is no other copy."""
        folder = self.home / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def push(self, name: str) -> None:
        """Nothing to do: there is no other copy."""

    def remove(self, name: str) -> None:
        """Delete the folder; of several that do so at once one does, and the others find nothing to do."""
        folder = self.home / name
        aside = self.workspace / "tmp" / f"removed-{uuid.uuid4().hex}"
        try:
            folder.rename(aside)
        except FileNotFoundError:
            return
        shutil.rmtree(aside)

    def claim(self, name: str, owner: str) -> str:  # noqa: ARG002 - the port's signature
        """Always the owner's: on one machine runs wait for each other's locks and reuse what they find."""
        return owner

    def beating(self, name: str, owner: str) -> AbstractContextManager[None]:  # noqa: ARG002 - the port's signature
        """Nothing to do, see :meth:`claim`."""
        return nullcontext()

    def release(self, name: str, owner: str) -> None:
        """Nothing to do, see :meth:`claim`."""

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold an exclusive lock between processes; the system frees it when its holder dies."""
        with FileLock(str(self.workspace / "locks" / f"{name}.lock")):
            yield


def _flush(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
