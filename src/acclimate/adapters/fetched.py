"""Files fetched from elsewhere: kept by what pins their bytes, whole or not there, checked whenever they are used."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock

from acclimate.digests import data_digest, file_digest
from acclimate.errors import DataError, IntegrityError, UnavailableError
from acclimate.records import InputFile, StoredRecord

_FILES = "files"


@dataclass(frozen=True)
class FetchLimits:
    """What may be fetched for one table or model, so that disks stay bounded.

    Args:
        files: number of files.
        size_bytes: of all files together.
    """

    files: int = 10_000
    size_bytes: int = 20_000_000_000

    def check(self, files: int, size_bytes: int, uri: str) -> None:
        """Refuse more than that.

        Raises:
            DataError: E-FETCH-001.
        """
        if files > self.files or size_bytes > self.size_bytes:
            found = f"{files:,} files" if files > self.files else f"{size_bytes:,} bytes"
            allowed = f"{self.files:,} files and {self.size_bytes:,} bytes"
            hint = "name a single file or folder of a smaller sample"
            raise DataError("E-FETCH-001", f"{found} are more than the {allowed} fetched", where=uri, hint=hint)


class _Fetched(StoredRecord):
    """Written last: what was fetched is whole if and only if this is there and every digest holds."""

    file_name: ClassVar[str] = "fetched.json"
    key: str
    digest: str
    files: dict[str, InputFile]


def cache_home() -> Path:
    """Where fetched files are kept that belong to no workspace: ACCLIMATE_HOME, else ~/.cache/acclimate."""
    return Path(os.environ.get("ACCLIMATE_HOME") or Path.home() / ".cache" / "acclimate")


def fetched(
    cache: Path, pins: Any, fetch: Callable[[Path], Mapping[str, InputFile]]
) -> tuple[Path, dict[str, InputFile]]:
    """The folder of the files that ``pins`` identify, fetched unless it is there already and undamaged.

    Args:
        cache: folder of such folders, made when absent.
        pins: plain data that change whenever the bytes may.
        fetch: writes the files into the folder it is given and says what they are, by relative path.

    Returns:
        The folder, and its files by relative path, every sha256 just checked or just computed.

    Raises:
        UnavailableError: E-FETCH-002, the disk is full or the cache can't be written.
        AcclimateError: whatever ``fetch`` raises; nothing is kept then.
    """
    key = data_digest(pins)
    place, partial = cache / key[:24], cache / f"{key[:24]}.partial"
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(str(cache / f"{key[:24]}.lock")):
            found = _whole(place, key)
            if found is None:
                for leftover in (place, partial):
                    if leftover.exists():
                        shutil.rmtree(leftover)
                (partial / _FILES).mkdir(parents=True)
                found = dict(fetch(partial / _FILES))
                _Fetched(key=key, digest=_digest(found), files=found).write(partial)
                partial.rename(place)
    except OSError as error:
        raise UnavailableError(
            "E-FETCH-002",
            f"what was fetched can't be kept here: {error.strerror or error}",
            where=str(cache),
            hint="free disk space, or set ACCLIMATE_HOME to a folder you may write to",
        ) from error
    return place / _FILES, found


def md5_of(path: Path) -> str:
    """md5 of a file's bytes, as S3 and DVC name them by; it guards against accidents only."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _digest(files: Mapping[str, InputFile]) -> str:
    return data_digest({name: file.model_dump(mode="json") for name, file in files.items()})


def _whole(place: Path, key: str) -> dict[str, InputFile] | None:
    if not (place / _Fetched.file_name).is_file():
        return None
    try:
        record = _Fetched.read(place)
    except IntegrityError:
        return None
    folder = place / _FILES
    there = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if (record.key, record.digest) != (key, _digest(record.files)) or there.keys() != record.files.keys():
        return None
    whole = all(file_digest(path) == record.files[name].sha256 for name, path in there.items())
    return record.files if whole else None
