"""Files for people and machines, written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from acclimate.errors import UnavailableError


def write_whole(path: Path, text: str, what: str, hint: str) -> Path:
    """Write a file, whole or not at all.

    Args:
        path: the file; an older one is replaced, a missing folder is made.
        text: what it shall hold.
        what: what it is called where it can't be written.
        hint: what to do then.

    Returns:
        ``path``.

    Raises:
        UnavailableError: E-REPORT-001, it can't be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _replace(path, text)
    except OSError as error:
        said = f"{what} can't be written: {error.strerror}"
        raise UnavailableError("E-REPORT-001", said, where=str(path), hint=hint) from error
    return path


def _replace(path: Path, text: str) -> None:
    handle, name = tempfile.mkstemp(prefix=".report-", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
