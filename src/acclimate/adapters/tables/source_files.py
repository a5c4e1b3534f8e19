"""Which files a table consists of: found, contained in the project, read as they were hashed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from acclimate.digests import file_digest
from acclimate.errors import AccessError, DataError
from acclimate.records import InputFile

FORMATS = {
    "csv": (".csv",),
    "tsv": (".tsv", ".tab"),
    "jsonl": (".jsonl", ".ndjson", ".json"),
    "parquet": (".parquet", ".pq"),
}
# Column names with the kind of their values ("" where the format has no kinds).
Header = dict[str, str]
_FORMAT_OF = {ending: name for name, endings in FORMATS.items() for ending in endings}


@dataclass(frozen=True)
class Limits:
    """What a table may hold, so that memory stays bounded.

    Args:
        rows: rows of all files together.
        text_chars: characters of all texts together, or bytes of all images.
        field_chars: characters of one text, or bytes of one image.
        line_chars: characters of one line of a text file.
        name_chars: characters of a label, group, split or slice value.
    """

    rows: int = 2_000_000
    text_chars: int = 1_000_000_000
    field_chars: int = 1_000_000
    line_chars: int = 8_000_000
    name_chars: int = 1_000


@dataclass(frozen=True)
class TableFile:
    """One file of a table.

    Args:
        path: where it is.
        uri: how it is shown: relative to the project root where it lies inside.
        section: the section of the configuration that names it, for hints.
        encoding: of text files.
        limits: what it may hold.
    """

    path: Path
    uri: str
    section: str
    encoding: str
    limits: Limits

    def error(self, code: str, message: str, hint: str, line: int | None = None) -> DataError:
        """A data error at a line (or row) of this file."""
        return DataError(code, message, where=self.uri if line is None else f"{self.uri}:{line}", hint=hint)


def shown_uri(path: Path, root: Path) -> str:
    """A path as it is shown: relative to the root where it lies inside, with forward slashes."""
    root = root.resolve()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def find_files(
    path: Path, wanted: str | None, section: str, uri: Callable[[Path], str]
) -> tuple[list[Path], str, list[str]]:
    """The files of a table, sorted by name, with their one format.

    Args:
        path: a file or a folder.
        wanted: the format as configured, or None to tell it by the endings.
        section: the section of the configuration, for hints.
        uri: how a path is shown.

    Returns:
        The files, the format, and warnings on what was passed over.

    Raises:
        DataError: E-DATA-001 to -004.
    """
    if not path.exists():
        raise DataError("E-DATA-001", "nothing is there", where=uri(path), hint="check the path")
    if not path.is_dir():
        return [path], wanted or _format_of(path, section, uri), []
    entries = sorted(entry for entry in path.iterdir() if not entry.name.startswith((".", "_")))
    by_format: dict[str, list[Path]] = {}
    for entry in entries:
        ending = entry.suffix.lower()
        if ending in _FORMAT_OF and not entry.is_dir():
            by_format.setdefault(_FORMAT_OF[ending], []).append(entry)
    found = {wanted: by_format[wanted]} if wanted in by_format else by_format
    if len(found) != 1:
        what = f"files of several formats ({', '.join(sorted(found))})" if found else "no data file"
        hint = f"set {section}.format, or name one file" if found else "put CSV, TSV, JSONL or Parquet files there"
        raise DataError("E-DATA-004", f"the folder holds {what}", where=uri(path), hint=hint)
    ((form, files),) = found.items()
    left = [entry.name for entry in entries if entry not in set(files)]
    return files, form, [f"{uri(path)}: passed over {len(left)} entries, e.g. {left[0][:80]}"] if left else []


def _format_of(path: Path, section: str, uri: Callable[[Path], str]) -> str:
    form = _FORMAT_OF.get(path.suffix.lower())
    if form is None:
        hint = f"set {section}.format to one of {', '.join(FORMATS)}"
        if path.suffix.lower() in {".gz", ".zip", ".xz", ".bz2", ".zst"}:
            hint = "unpack it first"
        elif path.suffix.lower() in {".xlsx", ".xls", ".ods"}:
            hint = "save it as CSV, UTF-8"
        raise DataError("E-DATA-003", f"the ending {path.suffix!r} names no known format", where=uri(path), hint=hint)
    return form


def check_inside(path: Path, root: Path, uri: str) -> None:
    """Refuse a file that leads out of the project.

    Raises:
        DataError: E-DATA-007.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        hint = f"copy it under {root}, or pass --allow-outside"
        raise DataError("E-DATA-007", "the file leads outside the project", where=uri, hint=hint)


@contextmanager
def watched(file: TableFile) -> Iterator[os.stat_result]:
    """Let a file be read, and make sure that it was the same all the while.

    Raises:
        DataError: E-DATA-002 not a readable regular file, E-DATA-006 it changed.
        AccessError: E-DATA-008, permission denied.
    """
    try:
        before = file.path.stat()
        if not file.path.is_file():
            raise file.error("E-DATA-002", "this is not a regular file", "give a file, not a device or pipe")
        yield before
        after = file.path.stat()
    except PermissionError as error:
        raise AccessError(
            "E-DATA-008", "reading is not permitted", where=file.uri, hint="change its permissions"
        ) from error
    except OSError as error:
        raise file.error("E-DATA-002", f"the file can't be read: {error.strerror or error}", "check it") from error
    if (before.st_size, before.st_mtime_ns, before.st_ino) != (after.st_size, after.st_mtime_ns, after.st_ino):
        raise file.error("E-DATA-006", "the file changed while it was read", "run again when nothing writes to it")


@contextmanager
def recorded(file: TableFile) -> Iterator[InputFile]:
    """Hash a file, let it be read, and make sure that it was the same all the while.

    Raises:
        DataError: E-DATA-002 not a readable regular file, E-DATA-006 it changed, E-DATA-010 it has no bytes.
        AccessError: E-DATA-008, permission denied.
    """
    with watched(file) as before:
        if before.st_size == 0:
            raise file.error("E-DATA-010", "the file is empty (0 bytes)", "write it again; was its export cut short?")
        yield InputFile(uri=file.uri, sha256=file_digest(file.path), size_bytes=before.st_size)
