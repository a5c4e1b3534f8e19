"""Bytes by content: an object's name is its digest, so the same bytes are stored once and damage is found."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from acclimate.adapters.s3 import S3, S3Uri
from acclimate.adapters.s3_records import damaged, log
from acclimate.digests import file_digest
from acclimate.errors import DataError, IntegrityError
from acclimate.records import FileDigest

AT_ONCE = 8
# an older object is stored again although it is there: gc, which deletes what nothing refers to yet, goes by age
FRESH_SECONDS = 86_400.0


class Blobs:
    """The blobs of a workspace, ``blobs/ab/SHA256`` below its address.

    Args:
        s3: the transport.
        root: the workspace's address.
    """

    def __init__(self, s3: S3, root: S3Uri) -> None:
        self.s3 = s3
        self.root = root
        self._damaged: dict[S3Uri, str] = {}

    def uri(self, file: FileDigest) -> S3Uri:
        """Address of a file's bytes."""
        return self.root / "blobs" / file.sha256[:2] / file.sha256

    def store(self, folder: Path, files: Mapping[str, FileDigest]) -> None:
        """Store the files of a folder, but what is there already.

        Raises:
            IntegrityError: E-STORE-011, a file isn't the one its digest was taken of.
        """

        def store_one(name: str, file: FileDigest) -> None:
            uri, path = self.uri(file), folder / name
            there = self.s3.head(uri)
            is_whole = there is not None and there.size == file.size_bytes and uri not in self._damaged
            if there is not None and is_whole and there.age_seconds < FRESH_SECONDS:
                return
            if file_digest(path) != file.sha256:
                hint = "nothing else may write to this folder; check the disk, and run again"
                raise IntegrityError("E-STORE-011", "the file was changed while stored", where=str(path), hint=hint)
            self.s3.upload(uri, path)
            self._damaged.pop(uri, None)

        _each(store_one, files)

    def fetch(self, files: Mapping[str, FileDigest], folder: Path) -> dict[str, IntegrityError]:
        """Write files into a folder, each compared with its digest.

        Args:
            files: by path relative to ``folder``, with ``/``.
            folder: made where it is absent.

        Returns:
            What can't be had any more, by path; those files are not written.

        Raises:
            IntegrityError: E-STORE-010, a path leads out of the folder.
        """
        lost: dict[str, IntegrityError] = {}

        def fetch_one(name: str, file: FileDigest) -> None:
            path = _inside(folder, name, self.uri(file))
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._fetch(file, path)
            except IntegrityError as error:
                lost[name] = error

        _each(fetch_one, files)
        return lost

    def _fetch(self, file: FileDigest, path: Path) -> None:
        uri = self.uri(file)
        aside = path.with_name(f".{uuid.uuid4().hex}")
        try:
            if self.s3.download(uri, aside) != file.sha256:
                # once more, in case the bytes were hurt on the way, and of one state of the object
                there = self.s3.head(uri)
                found = self.s3.download(uri, aside, etag=there.etag if there else None)
                if there and found != file.sha256:
                    self._damaged[uri] = there.etag
                    raise damaged(uri, f"has the digest {found[:12]}... and {there.size} bytes")
            aside.replace(path)
        except DataError as error:
            if error.code != "E-S3-002":
                raise
            raise damaged(uri, "is gone") from error
        finally:
            aside.unlink(missing_ok=True)

    def drop_damaged(self) -> None:
        """Delete what was found damaged, so that it is stored anew; bytes stored meanwhile stay."""
        for uri, etag in list(self._damaged.items()):
            log.warning("E-STORE-010 a damaged object is deleted, to be made anew: %s", uri)
            self.s3.delete(uri, if_match=etag)
            del self._damaged[uri]


def _inside(folder: Path, name: str, uri: S3Uri) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or not path.parts:
        raise damaged(uri, f"is to be written to {name[:100]!r}, outside of its folder")
    return folder / path


def _each(work: Callable[[str, FileDigest], None], files: Mapping[str, FileDigest]) -> None:
    pool = ThreadPoolExecutor(min(AT_ONCE, len(files)) or 1, thread_name_prefix="blobs")
    try:
        for done in [pool.submit(work, name, file) for name, file in files.items()]:
            done.result()
    finally:
        pool.shutdown(cancel_futures=True)
