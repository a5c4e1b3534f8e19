"""Reads an image folder: one image a file, its class the name of its folder."""

from __future__ import annotations

import hashlib
from array import array
from pathlib import Path

from acclimate.adapters.images.folder_files import Listing, check_layout, list_folder, readable
from acclimate.adapters.images.image_cells import Images
from acclimate.adapters.tables.source_files import TableFile, check_inside, watched
from acclimate.adapters.tables.values import canonical
from acclimate.adapters.tables.wanted import Wanted
from acclimate.errors import DataError
from acclimate.ports import RawTable
from acclimate.records import InputFile

LABEL, FILE, SPLIT = "label", "file", "split"


def read_folder(folder: TableFile, wanted: Wanted, *, root: Path, allow_outside: bool) -> RawTable:
    """Read ``PATH/LABEL/**/FILE``, or ``PATH/SPLIT/LABEL/**/FILE`` where the first level is split folders only.

    Its columns are the images' (named as wanted), ``label``, ``file`` (the path inside the folder) and, with split
    folders, ``split``. Rows come in the order of the bytes of their paths. The one record of what was read has the
    digest of the lines ``PATH SHA256`` in that order. Where no column is wanted the images may lie anywhere; where
    it is optional all may lie directly in the folder, and have none.

    Raises:
        DataError: E-DATA-002, -005 to -007, -016 to -018, -060 to -064 and -066.
        AccessError: E-DATA-008.
    """
    if not allow_outside:
        check_inside(folder.path, root, folder.uri)
    listing = _list(folder, root, allow_outside=allow_outside)
    columns = _columns(folder, listing, wanted)
    header = [wanted.content, *columns]
    wanted.check_header(header, folder, line=None)
    images = Images(folder.limits)
    keys, record = _read(folder, listing, images)
    if _list(folder, root, allow_outside=allow_outside).images != listing.images:
        raise folder.error("E-DATA-006", "the folder changed while it was read", "run again when nothing writes to it")
    rows = len(keys)
    return RawTable(
        columns={wanted.content: keys, **{column: columns[column] for column in wanted.names if column in columns}},
        lines=range(1, rows + 1),
        file_of=array("i", bytes(4 * rows)),
        files=[record],
        header=header,
        warnings=listing.warnings(folder.uri),
        images=images.images,
        near=images.near,
        names=listing.images,
    )


def _list(folder: TableFile, root: Path, *, allow_outside: bool) -> Listing:
    with readable(folder):
        return list_folder(folder, root, allow_outside=allow_outside)


def _columns(folder: TableFile, listing: Listing, wanted: Wanted) -> dict[str, list[str | None]]:
    is_flat = not any("/" in path for path in listing.images)
    nothing_asked = not wanted.required and LABEL not in wanted.optional
    if nothing_asked or (is_flat and listing.images and LABEL in wanted.optional):
        return {FILE: list(listing.images)}
    check_layout(folder, listing)
    if listing.has_splits and SPLIT not in wanted.names:
        message = f"its folders name splits, which {folder.section}.split does not"
        hint = f"set {folder.section}.split: {SPLIT}, or move the label folders to the top to have it split anew"
        raise folder.error("E-DATA-066", message, hint)
    depth = 1 if listing.has_splits else 0
    parts = [path.split("/", depth + 1) for path in listing.images]
    labels = {label: canonical(label) for label in {part[depth] for part in parts}}
    columns: dict[str, list[str | None]] = {
        LABEL: [labels[part[depth]] for part in parts],
        FILE: list(listing.images),
    }
    return {**columns, SPLIT: [part[0] for part in parts]} if listing.has_splits else columns


def _read(folder: TableFile, listing: Listing, images: Images) -> tuple[list[str | None], InputFile]:
    """Keys of all images, and the folder's record; each file is read once."""
    keys = []
    digest = hashlib.sha256()
    for name in listing.images:
        file = TableFile(folder.path / name, f"{folder.uri}/{name}", folder.section, "", folder.limits)
        raw = _bytes(file)
        keys.append(images.take(file, raw, None))
        digest.update(f"{name} {hashlib.sha256(raw).hexdigest()}\n".encode())
        if images.size > folder.limits.text_chars:
            message = f"the images have over {folder.limits.text_chars:,} bytes in all"
            raise file.error("E-DATA-005", message, "take a sample, or make them smaller")
    return keys, InputFile(uri=folder.uri, sha256=digest.hexdigest(), size_bytes=images.size)


def _bytes(file: TableFile) -> bytes:
    limit = file.limits.field_chars
    with watched(file) as before:
        if before.st_size > limit:
            message = f"the image has {before.st_size:,} bytes, over {limit:,}"
            raise file.error("E-DATA-016", message, "make it smaller")
        with file.path.open("rb") as stream:
            raw = stream.read(limit + 1)
        if len(raw) != before.st_size:
            raise _changed(file)
    return raw


def _changed(file: TableFile) -> DataError:
    return file.error("E-DATA-006", "the file changed while it was read", "run again when nothing writes to it")
