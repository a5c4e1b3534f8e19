"""A workspace on S3: stage outputs for every machine that may read it, whole or not there.

``stages/STAGE/KEY24/manifest.json`` is written last and only where there is none, so that of two that publish one key
the first wins. It names blobs by digest; a local copy is used only while it agrees. What is found damaged: ``find``
takes the stage out of use, with a warning, because whoever asks can make it again; ``open`` raises, because whoever
asks can't.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from acclimate.adapters.local_store import LocalStore
from acclimate.adapters.s3 import S3, S3Uri
from acclimate.adapters.s3_blobs import Blobs
from acclimate.adapters.s3_lease import Lease, LeaseTimes
from acclimate.adapters.s3_records import AGAIN, Found, Records, damaged, log
from acclimate.adapters.s3_shared import SharedFolders
from acclimate.digests import data_digest
from acclimate.errors import DataError, IntegrityError, UnavailableError
from acclimate.records import Manifest

HOME = "ACCLIMATE_HOME"
TIMING = "timing.json"
_TRIES = 8


def home_of(workspace: str) -> Path:
    """Where the local copies of a remote workspace lie: below ACCLIMATE_HOME or ~/.cache/acclimate."""
    home = os.environ.get(HOME)
    return (Path(home) if home else Path.home() / ".cache" / "acclimate") / data_digest(workspace)[:16]


class S3Store:
    """Stage outputs, shared folders, locks and claims of the workspace at ``s3://BUCKET/PREFIX``.

    Args:
        uri: the workspace's address.
        home: for local copies; :func:`home_of` by default.
        times: of locks and claims.

    Raises:
        ConfigError: E-S3-020, it is no such address.
        AccessError: E-STORE-001, ``home`` can't be used.
    """

    def __init__(self, uri: str, home: Path | None = None, *, times: LeaseTimes | None = None) -> None:
        self.root = S3Uri.parse(uri)
        self.home = home or home_of(str(self.root))
        self.times = times or LeaseTimes()
        self.local = LocalStore(self.home)
        self.s3 = S3()
        self.records = Records(self.s3, self.root)
        self.blobs = Blobs(self.s3, self.root)
        self.shared = SharedFolders(self.records, self.blobs, self.home)
        # a heartbeat that is tried for longer than waiters wait is worth nothing
        self._leases = Records(S3(budget_seconds=max(5.0, self.times.takeover * 0.6)), self.root)
        self._held: list[Lease] = []

    def __reduce__(self) -> tuple[Any, ...]:
        """Sent to another process, the store is made anew there; what is held stays here."""
        return _rebuilt, (str(self.root), self.home, self.times)

    def close(self) -> None:
        """Close the connections; they open again when needed."""
        self.s3.close()
        self._leases.s3.close()

    # --- stages -------------------------------------------------------------------------------

    def find(self, stage: str, key: str) -> Path | None:
        """Local path of a finished stage, or None; a damaged one is taken out of use."""
        name = _stage(stage, key)
        found = self.records.read(name)
        if found is None:
            return None
        try:
            manifest, timing = self._manifest(name, found)
            return self._fetch(manifest, timing) if manifest.key == key else None
        except IntegrityError as error:
            log.warning("%s %s: %s; the stage is made again", error.code, error.where, error)
            self.records.delete(name, found)
            self.blobs.drop_damaged()
            return None

    def publish(self, stage: str, key: str, folder: Path, manifest: Manifest) -> Path:
        """Store a stage's files, then its manifest; the first of several publishers wins, all return what it stored."""
        name = _stage(stage, key)
        self.blobs.store(folder, manifest.files)
        record = {"manifest": manifest.model_dump(mode="json"), "timing": _timing(folder)}
        for _ in range(_TRIES):
            lost = [lease.name for lease in self._held if not lease.is_held()]
            if not lost and self.records.write(name, record, if_absent=True):
                with self._one_writer_here(stage, key):
                    return self.local.publish(stage, key, folder, manifest)
            winner = self.find(stage, key)
            if winner is not None:
                log.warning("%s was published by another meanwhile; its output is used", name)
                shutil.rmtree(folder)
                return winner
            self._fence(lost)
            found = self.records.read(name)
            if found is not None:
                self.records.delete(name, found)
        raise UnavailableError("E-STORE-012", "the output can't be stored", where=str(self.root / name), hint=AGAIN)

    def discard(self, place: Path) -> None:
        """Take a stage out of use, here and for everybody."""
        name = _stage(place.parent.name, place.name)
        found = self.records.read(name)
        if found is not None:
            self.records.delete(name, found)
        if place.exists():
            self.local.discard(place)

    def reference(self, folder: Path) -> str:
        """``s3://BUCKET/PREFIX/stages/STAGE/KEY24`` of the local copy of a stage."""
        return str(self.root / "stages" / folder.parent.name / folder.name)

    def open(self, reference: str) -> Path:
        """Local path of the stage that a reference names."""
        parts = reference.removeprefix(str(self.root / "stages") + "/").split("/")
        if len(parts) != 2 or not reference.startswith(str(self.root / "stages") + "/"):
            hint = f"references of this workspace begin with {self.root}/stages/"
            raise DataError("E-STORE-014", "no reference of this workspace", where=reference[:200], hint=hint)
        name = _stage(*parts)
        found = self.records.read(name)
        if found is None:
            raise DataError("E-STORE-015", "no finished stage lies here", where=reference, hint=AGAIN)
        return self._fetch(*self._manifest(name, found))

    def _manifest(self, name: str, found: Found) -> tuple[Manifest, str | None]:
        try:
            record = found.record or {}
            manifest = Manifest.model_validate(record["manifest"])
        except (KeyError, ValidationError) as error:
            raise damaged(self.root / name, "is no manifest") from error
        if _stage(manifest.stage, manifest.key) != name:
            raise damaged(self.root / name, "is another stage's manifest")
        return manifest, record.get("timing")

    def _fetch(self, manifest: Manifest, timing: str | None) -> Path:
        with self._one_writer_here(manifest.stage, manifest.key):
            there = self.local.find(manifest.stage, manifest.key)
            if there is not None and Manifest.read(there) == manifest:
                return there
            partial = self.home / "tmp" / f"fetch-{uuid.uuid4().hex}"
            partial.mkdir(parents=True)
            try:
                for error in self.blobs.fetch(manifest.files, partial).values():
                    raise error
                if timing is not None:
                    (partial / TIMING).write_text(timing, encoding="utf-8")
                return self.local.publish(manifest.stage, manifest.key, partial, manifest)
            finally:
                shutil.rmtree(partial, ignore_errors=True)

    @contextmanager
    def _one_writer_here(self, kind: str, name: str) -> Iterator[None]:
        with self.local.lock(f"copy-{kind}-{data_digest(name)[:24]}"):
            yield

    def _fence(self, lost: list[str]) -> None:
        if lost:
            raise UnavailableError(
                "E-STORE-013",
                "another process took this work over: this one gave no sign of life for too long",
                where=str(self.root / lost[0]),
                hint="run again: what the other one finishes is used",
            )

    # --- shared folders -----------------------------------------------------------------------

    def pull(self, name: str) -> Path:
        """Local copy of a shared folder, brought up to date."""
        with self._one_writer_here("shared", name):
            return self.shared.pull(name)

    def push(self, name: str) -> None:
        """Store the changes in ``home / name``, unless another has taken the work over."""
        self._fence([lease.name for lease in self._held if not lease.is_held()])
        with self._one_writer_here("shared", name):
            self.shared.push(name)

    def remove(self, name: str) -> None:
        """Delete a shared folder, here and for everybody."""
        with self._one_writer_here("shared", name):
            self.shared.remove(name)

    # --- locks and claims ---------------------------------------------------------------------

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold an exclusive lock; another takes it over when its holder dies."""
        lease = self._lease(f"locks/{name}.json", f"lock-{uuid.uuid4().hex}", self.times.takeover)
        lease.take(wait=True)
        self._held.append(lease)
        try:
            with lease.beating():
                yield
        finally:
            self._held.remove(lease)
            lease.give_back()

    def claim(self, name: str, owner: str) -> str:
        """Take or keep a claim; returns its owner, who is alive if it is another."""
        return self._claim(name, owner).take(wait=False)

    @contextmanager
    def beating(self, name: str, owner: str) -> Iterator[None]:
        """Show that the owner of a claim is alive; where another has it by now, only the work goes on."""
        lease = self._claim(name, owner)
        holder = lease.look()
        if holder != owner:
            log.warning("the run %s works on the same by now: what either finishes, both use", holder)
            yield
            return
        with lease.beating():
            yield

    def release(self, name: str, owner: str) -> None:
        """Give a claim back, if it is the owner's."""
        self._claim(name, owner).give_back()

    def _claim(self, name: str, owner: str) -> Lease:
        return self._lease(f"claims/{name}.json", owner, self.times.claim)

    def _lease(self, name: str, owner: str, patience: float) -> Lease:
        return Lease(self._leases, name, owner, self.times, patience)


def _rebuilt(uri: str, home: Path, times: LeaseTimes) -> S3Store:
    return S3Store(uri, home, times=times)


def _stage(stage: str, key: str) -> str:
    return f"stages/{stage}/{key[:24]}/{Manifest.file_name}"


def _timing(folder: Path) -> str | None:
    path = folder / TIMING
    return path.read_text(encoding="utf-8") if path.is_file() else None
