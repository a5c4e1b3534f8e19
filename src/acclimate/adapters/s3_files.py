"""Files on S3 that are read as they are found there: which ones, in which version, fetched whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from acclimate.adapters.fetched import FetchLimits, md5_of
from acclimate.adapters.s3 import S3, ObjectInfo, S3Uri
from acclimate.adapters.s3.faults import differs
from acclimate.adapters.tables.source_files import FORMATS
from acclimate.config_file.remote_uris import S3Address, is_plain
from acclimate.errors import DataError
from acclimate.records import InputFile

ENDINGS = frozenset(ending for endings in FORMATS.values() for ending in endings)
_SHOWN = 80
_MD5 = re.compile(r"[0-9a-f]{32}")


def head(s3: S3, address: S3Address) -> ObjectInfo | None:
    """The object at an address, in the version it names; None where there is none.

    Raises:
        DataError: E-S3-002, there is no such version.
    """
    uri = S3Uri(address.bucket, address.key)
    if address.version_id is None:
        return s3.head(uri)
    found = s3.request(uri, "head_object", Key=uri.key, VersionId=address.version_id)
    return ObjectInfo(uri, found["ContentLength"], found["ETag"], address.version_id, found["LastModified"])


def table_objects(s3: S3, address: S3Address) -> tuple[list[ObjectInfo], list[str], bool]:
    """The objects of a table: the one at the address, or the data files directly below it.

    Args:
        s3: the transport.
        address: of an object, or of a prefix, which stands for a folder.

    Returns:
        The objects by key, the names of what was passed over, and whether they are a folder's.

    Raises:
        DataError: E-DATA-001 nothing is there; E-DATA-004 no data file; E-DATA-051 folders in the folder.
    """
    one = head(s3, address) if address.key else None
    if one is not None:
        check_name(one.uri.name, str(address))
        return [one], [], False
    folder = S3Uri(address.bucket, address.key)
    found = [each for each in s3.list(folder) if not each.uri.key.endswith("/")]
    if not found:
        hint = "check the key; a prefix is a folder of its own: s3://BUCKET/FOLDER holds s3://BUCKET/FOLDER/a.csv"
        raise DataError("E-DATA-001", "nothing is there", where=str(address), hint=hint)
    names = [each.uri.below(folder) for each in found]
    chosen, passed = table_files(names, str(address))
    return [each for each, name in zip(found, names, strict=True) if name in chosen], passed, True


def table_files(names: Sequence[str], uri: str) -> tuple[set[str], list[str]]:
    """Which files below a remote folder are a table's, as with local folders; the others are passed over.

    Raises:
        DataError: E-DATA-004 none is; E-DATA-051 some lie in folders below, which would be left out silently.
    """
    nested = sorted(name for name in names if "/" in name)
    if nested:
        message = f"the folder holds folders, e.g. {nested[0][:_SHOWN]!r}"
        hint = "name one of them, or put all files of the table into one folder"
        raise DataError("E-DATA-051", message, where=uri, hint=hint)
    shown = [name for name in names if not name.startswith((".", "_"))]
    chosen = {name for name in shown if is_table_file(name)}
    if not chosen:
        hint = "put CSV, TSV, JSONL or Parquet files there"
        raise DataError("E-DATA-004", "the folder holds no data file", where=uri, hint=hint)
    for name in chosen:
        check_name(name, uri)
    return chosen, sorted(name for name in shown if name not in chosen)


def is_table_file(name: str) -> bool:
    """Whether a file in a folder belongs to the table there, by its name."""
    return not name.startswith((".", "_")) and PurePosixPath(name).suffix.lower() in ENDINGS


def check_name(name: str, uri: str) -> None:
    """Refuse a name that can't be a file's here.

    Raises:
        DataError: E-DATA-052.
    """
    if not is_plain(name) or any(len(part.encode()) > 255 for part in name.split("/")):
        message = f"{name[:_SHOWN]!r} can't be a file's name here"
        raise DataError("E-DATA-052", message, where=uri, hint="store it under another key")


def pins(objects: Sequence[ObjectInfo]) -> list[list[str | int | None]]:
    """What identifies the bytes of objects, without reading them."""
    return [[str(each.uri), each.size, each.etag, each.version_id] for each in objects]


def download(
    s3: S3, objects: Sequence[ObjectInfo], base: S3Uri, folder: Path, limits: FetchLimits
) -> dict[str, InputFile]:
    """Fetch objects in the version they were found in.

    Args:
        s3: the transport.
        objects: what to fetch.
        base: names are relative to it.
        folder: where to write them.
        limits: checked before anything is read.

    Raises:
        DataError: E-FETCH-001 too much; E-S3-005 an object was changed since it was found.
        IntegrityError: E-S3-006, the bytes are not those of the ETag, where it tells.
    """
    limits.check(len(objects), sum(each.size for each in objects), str(base))
    files = {}
    for each in objects:
        name = each.uri.below(base)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sha256 = s3.download(each.uri, path, etag=each.etag, version_id=each.version_id)
        _check_md5(s3, each, path)
        version = each.version_id if each.version_id != "null" else None
        files[name] = InputFile(
            uri=str(each.uri),
            sha256=sha256,
            size_bytes=path.stat().st_size,
            etag=each.etag.strip('"'),
            version_id=version,
        )
    return files


def _check_md5(s3: S3, found: ObjectInfo, path: Path) -> None:
    """The ETag of an object stored in one piece is its md5, unless the bucket encrypts with keys of its own."""
    etag = found.etag.strip('"')
    if not _MD5.fullmatch(etag) or (md5 := md5_of(path)) == etag:
        return
    version: dict[str, Any] = {"VersionId": found.version_id} if found.version_id else {}
    said = s3.request(found.uri, "head_object", Key=found.uri.key, **version)
    if said.get("ServerSideEncryption") in {None, "AES256"} and not said.get("SSECustomerAlgorithm"):
        raise differs(found.uri, etag, md5)
