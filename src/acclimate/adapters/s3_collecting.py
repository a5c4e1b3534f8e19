"""What may be deleted from a workspace on S3: only what is old by the server's clock and nothing refers to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from acclimate.adapters.s3 import ObjectInfo, S3Uri
from acclimate.adapters.s3_records import damaged
from acclimate.adapters.s3_store import S3Store
from acclimate.records import FileDigest

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Garbage:
    """Something that may be deleted.

    Args:
        kind: what it is, in words.
        name: where it is.
        size_bytes: how much is freed.
        remove: deletes it.
    """

    kind: str
    name: str
    size_bytes: int
    remove: Callable[[], None]


def garbage(store: S3Store, age_seconds: float) -> Iterator[Garbage]:
    """What may be deleted from a workspace.

    A publisher stores blobs first and what refers to them last, and stores a blob anew when it is older than a day.
    So what is older than ``age_seconds`` and not referred to *after* it was listed is referred to by nobody, unless a
    publisher took ``age_seconds`` less a day over one stage.

    Raises:
        IntegrityError: E-STORE-010, a record can't be read: what it refers to is unknown, so nothing is deleted.
    """
    old_blobs = [info for info in store.s3.list(store.root / "blobs") if info.age_seconds >= age_seconds]
    checkpoints = [info for info in _indexes(store) if _is_old_checkpoint(store, info, age_seconds)]
    referred = _referred(store, {info.uri for info in checkpoints})
    for info in checkpoints:
        yield Garbage("old checkpoints", str(info.uri), info.size, _deleting(store, info))
    for info in old_blobs:
        if info.uri.name not in referred:
            yield Garbage("bytes nothing refers to", str(info.uri), info.size, _deleting(store, info, age_seconds))
    for folder in ("locks", "claims"):
        for info in store.s3.list(store.root / folder):
            if info.age_seconds >= age_seconds:
                yield Garbage("leases nobody renews", str(info.uri), info.size, _deleting(store, info))
    for uri, upload in store.s3.abandoned_uploads(store.root, age_seconds):
        yield Garbage("uploads never finished", str(uri), 0, _aborting(store, uri, upload))


def _indexes(store: S3Store) -> Iterator[ObjectInfo]:
    return (info for info in store.s3.list(store.root / "shared") if info.uri.name == "index.json")


def _is_old_checkpoint(store: S3Store, info: ObjectInfo, age_seconds: float) -> bool:
    return info.uri.below(store.root / "shared").startswith(f"{CHECKPOINTS}/") and info.age_seconds >= age_seconds


def _referred(store: S3Store, leaving: set[S3Uri]) -> set[str]:
    """Digests that a manifest or an index names."""
    manifests = (info for info in store.s3.list(store.root / "stages") if info.uri.name == "manifest.json")
    found: set[str] = set()
    for info in [*manifests, *_indexes(store)]:
        if info.uri in leaving:
            continue
        read = store.records.read(info.uri.below(store.root))
        if read is None:
            continue
        record = read.record or {}
        try:
            files = record["manifest"]["files"] if "manifest" in record else record["files"]
            found |= {FileDigest.model_validate(file).sha256 for file in files.values()}
        except (KeyError, ValidationError) as error:
            hint = "run the adaptation again, which replaces it, or delete it; then run gc again"
            raise damaged(
                info.uri, "can't be read, so what it refers to is unknown; nothing is deleted", hint
            ) from error
    return found


def _deleting(store: S3Store, info: ObjectInfo, age_seconds: float = 0.0) -> Callable[[], None]:
    def remove() -> None:
        now = store.s3.head(info.uri)
        if now is not None and now.age_seconds >= age_seconds:
            store.s3.delete(info.uri, if_match=info.etag)

    return remove


def _aborting(store: S3Store, uri: S3Uri, upload: str) -> Callable[[], None]:
    def remove() -> None:
        store.s3.request(uri, "abort_multipart_upload", Key=uri.key, UploadId=upload)

    return remove
