"""Which images an image folder holds, and what its folders say about them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from acclimate.adapters.tables.source_files import TableFile, check_inside
from acclimate.core.row_identity import spelled_split
from acclimate.errors import AccessError

ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_LAYOUT = "put each image into the folder of its class: LABEL/FILE, or train/LABEL/FILE beside test/LABEL/FILE"


@dataclass(frozen=True)
class Listing:
    """What was found in a folder.

    Args:
        images: paths inside the folder with forward slashes, in the order of their bytes.
        others: files of other endings, in the same order.
        hidden: files and folders whose names start with "." or "_", in the same order.
    """

    images: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list)

    @property
    def has_splits(self) -> bool:
        """Whether the first level is split folders, not classes."""
        return all(spelled_split(path.partition("/")[0]) for path in self.images)

    def warnings(self, uri: str) -> list[str]:
        """What was passed over."""
        kinds = [(self.hidden, "hidden entries"), (self.others, "files that don't end like an image")]
        return [f"{uri}: passed over {len(paths):,} {what}, e.g. {paths[0][:80]}" for paths, what in kinds if paths]


@contextmanager
def readable(folder: TableFile) -> Iterator[None]:
    """Say where it is when a folder can't be read.

    Raises:
        DataError: E-DATA-002.
        AccessError: E-DATA-008, permission denied.
    """
    try:
        yield
    except PermissionError as error:
        message, hint = "reading a folder is not permitted", f"change the permissions of {error.filename}"
        raise AccessError("E-DATA-008", message, where=folder.uri, hint=hint) from error
    except OSError as error:
        message = f"the folder can't be read: {error.strerror or error}"
        raise folder.error("E-DATA-002", message, "check it") from error


def list_folder(folder: TableFile, root: Path, *, allow_outside: bool) -> Listing:
    """Find the images below a folder; links are followed.

    Args:
        folder: the folder.
        root: the project root.
        allow_outside: links may lead out of it.

    Raises:
        DataError: E-DATA-005 too many, -007 a link leads outside the project, -063 a name is not UTF-8, -064 a link
            leads back to a folder it is in.
        OSError: a folder can't be read.
    """
    found = Listing()
    seen = 0
    waiting: list[tuple[Path, tuple[Path, ...]]] = [(folder.path, (folder.path.resolve(),))]
    while waiting:
        at, above = waiting.pop()
        with os.scandir(at) as entries:
            inside = list(entries)
        # Folders count too: links to links make many of few.
        seen += len(inside)
        if seen > folder.limits.rows:
            raise folder.error("E-DATA-005", f"over {folder.limits.rows:,} files and folders", "take a sample")
        for entry in inside:
            path = _inside(folder, Path(entry.path))
            if entry.name.startswith((".", "_")):
                found.hidden.append(path)
                continue
            if entry.is_symlink() and not allow_outside:
                check_inside(Path(entry.path), root, f"{folder.uri}/{path}")
            if entry.is_dir():
                waiting.append((Path(entry.path), (*above, _below(folder, entry, path, above))))
            elif entry.name.lower().endswith(ENDINGS):
                found.images.append(path)
            else:
                found.others.append(path)
    # UTF-8 sorts by code points, as Python's strings do.
    for paths in (found.images, found.others, found.hidden):
        paths.sort()
    return found


def _inside(folder: TableFile, path: Path) -> str:
    name = path.relative_to(folder.path).as_posix()
    shown = os.fsencode(name).decode("utf-8", "backslashreplace")
    if shown != name:
        raise folder.error("E-DATA-063", f"the name {shown[:200]!r} is not UTF-8", "rename it")
    return name


def _below(folder: TableFile, entry: os.DirEntry[str], path: str, above: tuple[Path, ...]) -> Path:
    real = Path(entry.path).resolve() if entry.is_symlink() else above[-1] / entry.name
    if real in above:
        raise folder.error("E-DATA-064", f"the link {path[:200]!r} leads back to a folder it is in", "remove the link")
    return real


def check_layout(folder: TableFile, listing: Listing) -> None:
    """Refuse a folder in which not every image has a class.

    Raises:
        DataError: E-DATA-061 no images, -062 images outside class folders.
    """
    if not listing.images:
        hint = f"its files must end in {', '.join(ENDINGS)}"
        raise folder.error("E-DATA-061", "the folder holds no images", hint)
    depth = 2 if listing.has_splits else 1
    loose = [path for path in listing.images if path.count("/") < depth]
    if loose:
        where = "directly in the folder" if "/" not in loose[0] else "directly in a split's folder"
        message = f"{len(loose):,} of {len(listing.images):,} images lie {where}, e.g. {loose[0][:80]}"
        raise folder.error("E-DATA-062", message, _LAYOUT)
