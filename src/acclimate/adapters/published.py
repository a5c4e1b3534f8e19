"""Local data and models, put into a shared workspace for other machines, content-addressed.

``WORKSPACE/data/DIGEST/`` and ``WORKSPACE/sources/DIGEST/`` hold the files and ``_acclimate.json``, written last.
DIGEST is that of the record in it, which names every file's sha256: whoever knows the address can check every byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from acclimate.adapters.s3 import S3, S3Uri
from acclimate.digests import data_digest, file_digest
from acclimate.errors import DataError, IntegrityError
from acclimate.nn.preflight import UNSAFE_ENDINGS
from acclimate.records import InputFile, Record, SourceCard

MANIFEST = "_acclimate.json"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MANIFEST_BYTES = 64_000_000


class Published(Record):
    """What lies in a published folder.

    Args:
        name: of the model; None for data.
        revision: of the model; None for data.
        licence: of the model, where known.
        files: by path relative to the folder, each with where it came from.
    """

    name: str | None = None
    revision: str | None = None
    licence: str | None = None
    files: dict[str, InputFile]


def publish_source(folder: Path, card: SourceCard, workspace: str) -> str:
    """Put a source model into a shared workspace; what is there already is left as it is.

    Args:
        folder: its folder, which passed the preflight. Files that are never loaded are left out.
        card: name, revision and licence, which the model keeps there.
        workspace: ``s3://BUCKET/PREFIX``.

    Returns:
        ``s3://BUCKET/PREFIX/sources/DIGEST``, which :func:`~acclimate.adapters.sources.resolve_source` takes.

    Raises:
        AcclimateError: E-S3-NNN.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix not in UNSAFE_ENDINGS)
    files = {name: path for path in paths if "__pycache__" not in (name := path.relative_to(folder).as_posix())}
    described = {
        name: InputFile(uri=name, sha256=file_digest(path), size_bytes=path.stat().st_size)
        for name, path in files.items()
    }
    record = Published(name=card.name, revision=card.revision, licence=card.licence, files=described)
    return str(_publish(record, files, S3Uri.parse(workspace) / "sources"))


def publish_data(
    files: Mapping[str, Path], origins: Mapping[str, InputFile], workspace: str, *, is_folder: bool
) -> str:
    """Put the files of a table into a shared workspace; what is there already is left as it is.

    Args:
        files: by name.
        origins: what each is and where it came from, which it keeps.
        workspace: ``s3://BUCKET/PREFIX``.
        is_folder: whether they are a folder's files; else there is one.

    Returns:
        ``s3://BUCKET/PREFIX/data/DIGEST``, and with ``/NAME`` for a single file, to be used as data.

    Raises:
        AcclimateError: E-S3-NNN.
    """
    place = _publish(Published(files=dict(origins)), files, S3Uri.parse(workspace) / "data")
    return str(place if is_folder else place / next(iter(files)))


def _publish(record: Published, files: Mapping[str, Path], parent: S3Uri) -> S3Uri:
    content = record.model_dump(mode="json", exclude_none=True)
    digest = data_digest(content)
    place = parent / digest
    with closing(S3()) as s3:
        if s3.head(place / MANIFEST) is None:
            for name, path in files.items():
                s3.upload(place / name, path)
            body = json.dumps({"sha256": digest, "record": content}, sort_keys=True).encode()
            s3.put_bytes(place / MANIFEST, body, if_absent=True)
    return place


def published_at(s3: S3, place: S3Uri) -> Published | None:
    """What was published at an address; None where nothing was.

    Raises:
        IntegrityError: E-PUBLISH-001, its manifest is not the one the address names.
    """
    if not _DIGEST.fullmatch(place.name):
        return None
    try:
        body, _ = s3.get_bytes(place / MANIFEST, max_bytes=_MANIFEST_BYTES)
    except DataError as error:
        if error.code != "E-S3-002":
            raise
        return None
    try:
        content = json.loads(body)["record"]
        published = Published.model_validate(content)
    except (ValueError, KeyError, TypeError) as error:
        raise _not_as_published(place, f": {str(error).splitlines()[0][:200]}") from error
    if data_digest(content) != place.name:
        raise _not_as_published(place)
    return published


def _not_as_published(place: S3Uri, says: str = "") -> IntegrityError:
    message, hint = f"the manifest is not the one that was published{says}", "delete this folder and submit again"
    return IntegrityError("E-PUBLISH-001", message, where=str(place / MANIFEST), hint=hint)


def download_published(s3: S3, place: S3Uri, files: Mapping[str, InputFile], folder: Path) -> dict[str, InputFile]:
    """Fetch published files, every byte checked.

    Raises:
        IntegrityError: E-PUBLISH-002, an object's bytes are not those that were published.
        DataError: E-S3-002, an object is gone.
    """
    for name, file in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if s3.download(place / name, path) != file.sha256:
            message, hint = "the bytes are not those that were published", "delete this folder and submit again"
            raise IntegrityError("E-PUBLISH-002", message, where=str(place / name), hint=hint)
    return dict(files)
