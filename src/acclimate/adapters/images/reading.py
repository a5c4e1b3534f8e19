"""Reads images with their labels from an image folder or from Parquet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from acclimate.adapters.images.folder_files import list_folder, readable
from acclimate.adapters.images.folder_reading import read_folder
from acclimate.adapters.images.image_cells import Images
from acclimate.adapters.tables.columns import Columns
from acclimate.adapters.tables.reading import fill
from acclimate.adapters.tables.source_files import FORMATS, Limits, TableFile, recorded, shown_uri
from acclimate.adapters.tables.wanted import Wanted
from acclimate.ports import RawTable

LIMITS = Limits(text_chars=4_000_000_000, field_chars=64_000_000)


def read_images(
    path: Path,
    *,
    name: str = "target",
    image: str = "image",
    required: Sequence[str] = (),
    optional: Sequence[str] = (),
    format: str | None = None,  # noqa: A002
    root: Path,
    allow_outside: bool = False,
    limits: Limits | None = None,
    shown: Callable[[Path], str] | None = None,
) -> RawTable:
    """Read images and the columns beside them; every image is decoded once, as its check.

    An *image folder* whose labels are required holds ``LABEL/**/FILE``, or ``SPLIT/LABEL/**/FILE`` where the first
    level has folders named like splits only. Its columns are ``label``, ``file`` (path inside it) and, with splits,
    ``split``. In a *Parquet file* the column of the images is binary, or a struct whose field ``bytes`` is, as Hugging
    Face's datasets writes; its ``path`` is not looked at.

    Args:
        path: an image folder, a Parquet file, or a folder of them.
        name: section of the configuration, for hints.
        image: column of the images; what an image folder's is called.
        required: further columns that must be there; their values in one spelling, see
            :func:`acclimate.adapters.tables.values.canonical`.
        optional: columns that may be absent.
        format: image-folder or parquet; None tells by the endings.
        root: project root; files are shown relative to it and must lie in it, links followed.
        allow_outside: files may lie outside of it.
        limits: what may be read; by default 2 million rows, 4 GB of encoded images, 64 MB each.
        shown: how a path is shown; by default relative to ``root``.

    Returns:
        The table, with ``images`` and ``near``; the images' column holds the key of each one's content, None where
        a cell is null.

    Raises:
        DataError: E-DATA-001 to -007 and -010 to -034 as for tables; E-DATA-060 an image can't be used, -061 a folder
            holds none, -062 some lie outside class folders, -063 a name is not UTF-8, -064 a link leads back, -066
            there are split folders and ``split`` is not wanted.
        AccessError: E-DATA-008.
    """

    def uri(file: Path) -> str:
        return shown(file) if shown else shown_uri(file, root)

    limits = limits or LIMITS
    wanted = Wanted(image, required, optional, kind="image")
    folder = TableFile(path, uri(path), name, "", limits)
    with readable(folder):
        is_folder = _is_image_folder(folder, format)
    if is_folder:
        return read_folder(folder, wanted, root=root, allow_outside=allow_outside)
    images = Images(limits)
    columns = Columns(wanted, limits, images)
    table = fill(columns, path, name=name, format="parquet", root=root, allow_outside=allow_outside, shown=shown)
    return replace(table, images=images.images, near=images.near)


def read_image(path: Path) -> bytes:
    """One image file, checked.

    Raises:
        DataError: E-DATA-002 it can't be read, -060 it can't be used as an image, and as for tables.
    """
    file = TableFile(path, str(path), "data", "", LIMITS)
    with recorded(file):
        raw = path.read_bytes()
    Images(LIMITS).take(file, raw, None)
    return raw


def holds_parquet(folder: Path) -> bool:
    """Whether a folder is a table of Parquet files, not an image folder."""
    return any(_ends_as_parquet(entry) for entry in folder.iterdir())


def images_below(path: Path, uri: str, root: Path, *, allow_outside: bool) -> list[Path]:
    """The images that :func:`read_images` reads of an image folder, in its order.

    Args:
        path: the folder.
        uri: how it is shown.
        root: the project root; links may not lead out of it.
        allow_outside: they may.

    Raises:
        DataError: E-DATA-002, -005, -007, -063, -064.
        AccessError: E-DATA-008.
    """
    folder = TableFile(path, uri, "data", "", LIMITS)
    with readable(folder):
        return [path / name for name in list_folder(folder, root, allow_outside=allow_outside).images]


def _is_image_folder(folder: TableFile, form: str | None) -> bool:
    path = folder.path
    if not path.exists():
        raise folder.error("E-DATA-001", "nothing is there", "check the path")
    if form not in {None, "image-folder", "parquet"}:
        hint = f"set {folder.section}.format to image-folder or parquet"
        raise folder.error("E-DATA-003", f"images can't be read from {form}", hint)
    if path.is_dir():
        return form == "image-folder" or not (form or holds_parquet(path))
    if form == "image-folder" or not (form or _ends_as_parquet(path)):
        hint = "unpack it first" if path.suffix.lower() in {".zip", ".tar", ".gz", ".tgz"} else "name a folder of them"
        raise folder.error("E-DATA-003", "this is neither an image folder nor a Parquet file", hint)
    return False


def _ends_as_parquet(path: Path) -> bool:
    return path.name.lower().endswith(FORMATS["parquet"])
