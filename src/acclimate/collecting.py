"""Garbage collection: what a workspace keeps and nobody will use again."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from acclimate.adapters.s3_collecting import CHECKPOINTS, Garbage
from acclimate.adapters.s3_collecting import garbage as garbage_on_s3
from acclimate.adapters.s3_store import S3Store
from acclimate.errors import ConfigError, DataError, UnavailableError

DAY_SECONDS = 86_400.0


def gc(workspace: str, *, dry_run: bool, keep_days: int = 7) -> dict[str, Any]:
    """Delete what is left over in a workspace: half-done outputs, discarded stages, old checkpoints, unused bytes.

    Nothing that a manifest or an index refers to is deleted. Ages are by the clock of the server or the file system
    that holds the files.

    Args:
        workspace: a folder, or ``s3://BUCKET/PREFIX``: then the local copies' leftovers are deleted too.
        dry_run: only say what would be deleted.
        keep_days: younger leftovers are kept: a run may be at work on them. 0 only while nothing runs.

    Returns:
        ``workspace``, ``dry_run``, ``keep_days``, ``removed`` (a list of ``kind``, ``name``, ``bytes``), ``bytes`` in
        all and ``bytes_by_kind``.

    Raises:
        ConfigError: E-GC-001, ``keep_days`` is negative.
        DataError: E-GC-002, there is no such workspace.
        IntegrityError: E-STORE-010, a record on S3 can't be read; nothing was deleted.
        UnavailableError: E-GC-003, a file can't be deleted.
    """
    if keep_days < 0:
        raise ConfigError("E-GC-001", "the days to keep can't be negative", where=str(keep_days), hint="0 or more")
    removed: list[dict[str, Any]] = []
    by_kind: Counter[str] = Counter()
    for each in _garbage(workspace, keep_days * DAY_SECONDS):
        if not dry_run:
            each.remove()
        by_kind[each.kind] += each.size_bytes
        removed.append({"kind": each.kind, "name": each.name, "bytes": each.size_bytes})
    return {
        "workspace": workspace,
        "dry_run": dry_run,
        "keep_days": keep_days,
        "removed": removed,
        "bytes": sum(by_kind.values()),
        "bytes_by_kind": dict(by_kind),
    }


def _garbage(workspace: str, age_seconds: float) -> Iterator[Garbage]:
    if not workspace.startswith("s3://"):
        yield from _local(Path(workspace), age_seconds)
        return
    store = S3Store(workspace)
    try:
        # whole before anything is deleted: an unreadable record stops it
        yield from list(garbage_on_s3(store, age_seconds))
        yield from _local(store.home, age_seconds)
    finally:
        store.close()


def _local(workspace: Path, age_seconds: float) -> Iterator[Garbage]:
    if not (workspace / "stages").is_dir():
        hint = "give the folder that the adaptation's workspace: names"
        raise DataError("E-GC-002", "this is no workspace", where=str(workspace), hint=hint)
    newest_allowed = _now(workspace) - age_seconds
    for kind, folder in (("unfinished or discarded outputs", "tmp"), ("old checkpoints", CHECKPOINTS)):
        for path in sorted((workspace / folder).glob("*")):
            newest, size = _newest_and_size(path)
            if newest <= newest_allowed:
                yield Garbage(kind, str(path), size, partial(_remove, path))


def _now(workspace: Path) -> float:
    with tempfile.NamedTemporaryFile(dir=workspace / "tmp", prefix=".now-") as probe:
        return os.fstat(probe.fileno()).st_mtime


def _newest_and_size(path: Path) -> tuple[float, int]:
    """When anything in it was last written, and its bytes. Links aren't followed."""
    stats = [each.lstat() for each in (path, *(path.rglob("*") if path.is_dir() and not path.is_symlink() else ()))]
    return max(stat.st_mtime for stat in stats), sum(stat.st_size for stat in stats[1:] or stats)


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UnavailableError(
            "E-GC-003",
            f"it can't be deleted: {error.strerror}",
            where=str(path),
            hint="check who owns it, and run gc again",
        ) from error
