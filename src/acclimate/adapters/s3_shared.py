"""Shared folders on S3: an index of files over blobs, merged where several write to one."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from acclimate.adapters.s3_blobs import Blobs
from acclimate.adapters.s3_records import Found, Records, damaged, log
from acclimate.digests import file_digest
from acclimate.errors import DataError, IntegrityError, UnavailableError
from acclimate.records import FileDigest

Index = dict[str, FileDigest]

_INDEX: TypeAdapter[Index] = TypeAdapter(Index)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_TRIES = 8


class SharedFolders:
    """The shared folders of a workspace.

    What was last seen of each is noted below ``home/synced``: a file that is noted and not here was deleted here, a
    file that is here and not noted is new here. So two machines that write different files lose none.

    Args:
        records: of the workspace.
        blobs: of the workspace.
        home: where the local copies lie.
    """

    def __init__(self, records: Records, blobs: Blobs, home: Path) -> None:
        self.records = records
        self.blobs = blobs
        self.home = home

    def pull(self, name: str) -> Path:
        """Bring the local copy up to date. What is damaged is left out, with a warning: caches are made anew."""
        folder = self._folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        index = self._read(name, self.records.read(_record(name)))
        for path in set(self._synced(name)) - set(index):
            (folder / path).unlink(missing_ok=True)
        here = _files(folder)
        lost = self.blobs.fetch({path: file for path, file in index.items() if here.get(path) != file}, folder)
        for path, error in lost.items():
            log.warning("%s %s of %s is left out: %s", error.code, path, name, error)
            (folder / path).unlink(missing_ok=True)
        self.blobs.drop_damaged()
        self._note(name, index)
        return folder

    def push(self, name: str) -> None:
        """Store the local copy's changes since it was last pulled or pushed."""
        folder = self._folder(name)
        for _ in range(_TRIES):
            before = self._synced(name)
            try:
                here = _files(folder)
                changed = {path: file for path, file in here.items() if before.get(path) != file}
                self.blobs.store(folder, changed)
            except (IntegrityError, FileNotFoundError):
                # a file that is still written to, e.g. a log: take it as it is now
                continue
            found = self.records.read(_record(name))
            index = self._read(name, found)
            for path in set(before) - set(here):
                index.pop(path, None)
            index.update(changed)
            if self._write(name, index, found):
                self._note(name, here)
                return
        raise UnavailableError(
            "E-STORE-012",
            f"the shared folder {name!r} can't be stored: it changes all the time",
            where=str(self.records.uri(_record(name))),
            hint="run again",
        )

    def remove(self, name: str) -> None:
        """Delete the index, the local copy and the note; gc deletes the bytes."""
        folder = self._folder(name)
        found = self.records.read(_record(name))
        if found:
            self.records.delete(_record(name), found)
        if folder.exists():
            shutil.rmtree(folder)
        self._note_path(name).unlink(missing_ok=True)

    def _read(self, name: str, found: Found | None) -> Index:
        if found is None:
            return {}
        try:
            return _INDEX.validate_python((found.record or {})["files"])
        except (KeyError, ValidationError):
            log.warning("%s the folder is begun anew", damaged(self.records.uri(_record(name)), "is no index"))
            return {}

    def _write(self, name: str, index: Index, found: Found | None) -> bool:
        record = {"files": {path: file.model_dump() for path, file in sorted(index.items())}}
        if found is not None and found.record == record:
            return True
        etag = found.etag if found else None
        return self.records.write(_record(name), record, if_absent=etag is None, if_match=etag) is not None

    def _folder(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise DataError("E-STORE-017", f"{name[:100]!r} is no name of a shared folder", where=str(self.home))
        return self.home / name

    def _note_path(self, name: str) -> Path:
        return self.home / "synced" / f"{name}.json"

    def _synced(self, name: str) -> Index:
        try:
            return _INDEX.validate_json(self._note_path(name).read_bytes())
        except (FileNotFoundError, ValidationError):
            # no note, or one of a machine that crashed: then nothing counts as deleted
            return {}

    def _note(self, name: str, index: Index) -> None:
        path = self._note_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}")
        partial.write_text(json.dumps({file: digest.model_dump() for file, digest in index.items()}), encoding="utf-8")
        partial.replace(path)


def _record(name: str) -> str:
    return f"shared/{name}/index.json"


def _files(folder: Path) -> Index:
    """What lies there and is finished: names that begin with a dot are of writes under way."""
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    return {
        path.relative_to(folder).as_posix(): FileDigest(sha256=file_digest(path), size_bytes=path.stat().st_size)
        for path in sorted(paths)
    }
