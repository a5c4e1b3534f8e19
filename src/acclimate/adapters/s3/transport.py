"""S3 as acclimate uses it: whole objects, conditional writes, one budget of seconds for whatever passes."""

from __future__ import annotations

import base64
import hashlib
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from acclimate.adapters.s3.address import ObjectInfo, S3Uri
from acclimate.adapters.s3.connection import connect
from acclimate.adapters.s3.faults import changed, no_bucket, not_s3, too_large, unavailable
from acclimate.adapters.s3.patience import answer, attempts, chunks
from acclimate.errors import DataError, UnavailableError

PART_BYTES = 8 << 20
MAX_PARTS = 9000
UPLOADS_A_PAGE = 1000
UPLOAD_BYTES_PER_SECOND = 64 << 10


class S3:
    """Reads and writes objects.

    Credentials come from the standard chain, the endpoint from AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL, the region from
    AWS_REGION. Failures that pass (UnavailableError) are tried again; refusals and missing objects never are.

    Args:
        budget_seconds: for all attempts at one request together.
        stall_seconds: how long next to nothing may arrive before an attempt is given up.

    Raises:
        AcclimateError: every method; the codes E-S3-001 to E-S3-015 name what failed, where and what to do.
    """

    def __init__(self, *, budget_seconds: float = 60.0, stall_seconds: float = 15.0) -> None:
        self.budget_seconds = budget_seconds
        self.stall_seconds = min(stall_seconds, budget_seconds)
        self._lock = threading.Lock()
        self._client: tuple[int, Any] | None = None
        self._buckets: set[str] = set()

    def __getstate__(self) -> dict[str, float]:
        """Only the settings: connections stay where they are."""
        return {"budget_seconds": self.budget_seconds, "stall_seconds": self.stall_seconds}

    def __setstate__(self, state: dict[str, float]) -> None:
        """A transport without connections."""
        self.__init__(**state)  # type: ignore[misc]

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            if self._client is not None and self._client[0] == os.getpid():
                self._client[1].close()
            self._client = None

    @property
    def client(self) -> Any:
        """The boto3 client of this process: connections don't survive a fork."""
        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                self._client = (os.getpid(), connect(stall_seconds=self.stall_seconds))
            return self._client[1]

    def call(self, uri: S3Uri, operation: str, *, sends: int = 0, **arguments: Any) -> dict[str, Any]:
        """One attempt at one request on ``uri``'s bucket; ``sends`` is the size of its body."""
        method = getattr(self.client, operation)
        seconds = self.stall_seconds + sends / UPLOAD_BYTES_PER_SECOND
        done: dict[str, Any] = answer(lambda: method(Bucket=uri.bucket, **arguments), uri, seconds)
        return done

    def request(self, uri: S3Uri, operation: str, *, sends: int = 0, **arguments: Any) -> dict[str, Any]:
        """Attempts at one request, within the budget."""
        return attempts(lambda: self.call(uri, operation, sends=sends, **arguments), self.budget_seconds)

    def head(self, uri: S3Uri) -> ObjectInfo | None:
        """What the server knows of an object; None where there is none (but not where there is no bucket)."""
        try:
            found = self.request(uri, "head_object", Key=uri.key)
        except DataError as error:
            if error.code != "E-S3-002":
                raise
            self._check_bucket(uri)
            return None
        return ObjectInfo(uri, found["ContentLength"], _etag(found, uri), found.get("VersionId"), *_age(found, found))

    def _check_bucket(self, uri: S3Uri) -> None:
        if uri.bucket in self._buckets:
            return
        try:
            self.request(uri, "head_bucket")
        except DataError as error:
            raise no_bucket(uri) from error
        self._buckets.add(uri.bucket)

    def list(self, folder: S3Uri) -> Iterator[ObjectInfo]:
        """All objects below a folder (all of the bucket for an empty key), sorted by key."""
        prefix = f"{folder.key}/" if folder.key else ""
        found: list[ObjectInfo] = []
        token: dict[str, Any] = {}
        while True:
            page = self.request(folder, "list_objects_v2", Prefix=prefix, **token)
            if "KeyCount" not in page and "IsTruncated" not in page:
                raise not_s3(folder, "its answer is no list of objects")
            for each in page.get("Contents", []):
                uri = S3Uri(folder.bucket, each["Key"])
                found.append(ObjectInfo(uri, each["Size"], each["ETag"], None, *_age(page, each)))
            if not page.get("IsTruncated"):
                return iter(sorted(found, key=lambda info: info.uri.key))
            if page.get("NextContinuationToken") in {None, "", token.get("ContinuationToken")}:
                raise not_s3(folder, "its list of objects has no next page and says that it has")
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def abandoned_uploads(self, folder: S3Uri, age_seconds: float) -> Iterator[tuple[S3Uri, str]]:
        """Multipart uploads below a folder that were begun so long ago and never finished: object and upload id."""
        asked: dict[str, Any] = {"Prefix": f"{folder.key}/" if folder.key else "", "MaxUploads": UPLOADS_A_PAGE}
        marks: dict[str, Any] = {}
        while True:
            page = self.request(folder, "list_multipart_uploads", **asked, **marks)
            for each in page.get("Uploads", []):
                if _age(page, each, "Initiated")[1] >= age_seconds:
                    yield S3Uri(folder.bucket, each["Key"]), each["UploadId"]
            if not page.get("IsTruncated"):
                return
            # AWS goes on after a key and an upload id, SeaweedFS after an upload id alone
            told = {"KeyMarker": page.get("NextKeyMarker"), "UploadIdMarker": page.get("NextUploadIdMarker")}
            following = {name: value for name, value in told.items() if value}
            if following in ({}, marks):
                raise not_s3(folder, "its list of uploads has no next page and says that it has")
            marks = following

    def get_bytes(self, uri: S3Uri, *, max_bytes: int = 64_000_000, etag: str | None = None) -> tuple[bytes, str]:
        """An object's bytes and its ETag.

        Args:
            uri: the object.
            max_bytes: more are refused with E-S3-015 before they are read.
            etag: the object must still have it, else E-S3-005.
        """

        def read() -> tuple[bytes, str]:
            with self._opened(uri, etag, None) as (body, size, found):
                if size > max_bytes:
                    raise too_large(uri, size, max_bytes)
                return b"".join(chunks(body, size, uri, self.stall_seconds)), found

        return attempts(read, self.budget_seconds)

    def download(self, uri: S3Uri, path: Path, *, etag: str | None = None, version_id: str | None = None) -> str:
        """Write an object to ``path``: all of it or nothing.

        Args:
            uri: the object.
            path: its folder must exist.
            etag: the object must still have it, else E-S3-005.
            version_id: this version of it.

        Returns:
            sha256 of what was written, hexadecimal.
        """
        partial = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex[:12]}")

        def read() -> str:
            digest = hashlib.sha256()
            with self._opened(uri, etag, version_id) as (body, size, _), partial.open("wb") as file:
                for chunk in chunks(body, size, uri, self.stall_seconds):
                    digest.update(chunk)
                    file.write(chunk)
            return digest.hexdigest()

        try:
            found = attempts(read, self.budget_seconds)
            partial.replace(path)
        except OSError as error:
            raise UnavailableError(
                "E-S3-016",
                f"the object can't be written here: {error.strerror}",
                where=str(path),
                hint="free disk space and run again",
            ) from error
        finally:
            partial.unlink(missing_ok=True)
        return found

    @contextmanager
    def _opened(self, uri: S3Uri, etag: str | None, version_id: str | None) -> Iterator[tuple[Any, int, str]]:
        asked: dict[str, Any] = {"IfMatch": etag, "VersionId": version_id}
        found = self.call(uri, "get_object", Key=uri.key, **{name: value for name, value in asked.items() if value})
        body = found["Body"]
        try:
            if "ETag" not in found:
                page = next(chunks(body, int(found["ContentLength"]), uri, self.stall_seconds), b"")
                if b"<Error>" in page:
                    raise unavailable(uri, "answers 200 with an error inside")
                raise not_s3(uri, "its answer has no ETag")
            if etag is not None and found["ETag"] != etag:
                raise changed(uri)
            yield body, int(found["ContentLength"]), found["ETag"]
        finally:
            body.close()

    def put_bytes(self, uri: S3Uri, data: bytes, *, if_absent: bool = False, if_match: str | None = None) -> str | None:
        """Write a small object.

        Args:
            uri: the object.
            data: its bytes.
            if_absent: only where there is none.
            if_match: only where it still has this ETag.

        Returns:
            The new ETag; None when the condition didn't hold.
        """
        condition: dict[str, Any] = {"IfNoneMatch": "*"} if if_absent else {"IfMatch": if_match} if if_match else {}
        tries = 0

        def write() -> str | None:
            nonlocal tries
            tries += 1
            try:
                done = self.call(
                    uri, "put_object", sends=len(data), Key=uri.key, Body=data, ContentMD5=md5_of(data), **condition
                )
            except DataError as error:
                if not condition or error.code not in {"E-S3-002", "E-S3-005"}:
                    raise
                return self._own(uri, data) if tries > 1 else None
            return _etag(done, uri)

        return attempts(write, self.budget_seconds)

    def _own(self, uri: S3Uri, data: bytes) -> str | None:
        """The ETag if the object holds just these bytes: an earlier attempt wrote them and its answer was lost."""
        try:
            found, etag = self.get_bytes(uri)
        except DataError as error:
            if error.code != "E-S3-002":
                raise
            return None
        return etag if found == data else None

    def upload(self, uri: S3Uri, path: Path, *, if_absent: bool = False) -> None:
        """Store a file, in parts above 8 MB.

        Args:
            uri: the object.
            path: the file; it must not change meanwhile.
            if_absent: leave an object that is there as it is.
        """
        from acclimate.adapters.s3.multipart import upload_parts

        if path.stat().st_size <= PART_BYTES:
            self.put_bytes(uri, path.read_bytes(), if_absent=if_absent)
        elif not (if_absent and self.head(uri)):
            upload_parts(self, uri, path, part_bytes=max(PART_BYTES, -(-path.stat().st_size // MAX_PARTS)))

    def delete(self, uri: S3Uri, *, if_match: str | None = None) -> None:
        """Remove an object, or only this state of it; it is no error if there is none or it is another by now."""
        condition: dict[str, Any] = {"IfMatch": if_match} if if_match else {}
        try:
            self.request(uri, "delete_object", Key=uri.key, **condition)
        except DataError as error:
            if error.code != "E-S3-002" and not (if_match and error.code == "E-S3-005"):
                raise


def md5_of(data: bytes) -> str:
    """For the server, which compares it with what it got: base64, as S3 wants it."""
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def _age(answer: dict[str, Any], entry: dict[str, Any], when: str = "LastModified") -> tuple[datetime, float]:
    """When an object was written, and how long ago, both by the server's clock."""
    said = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(said) if said else entry[when]
    return entry[when], max(0.0, float((now - entry[when]).total_seconds()))


def _etag(found: dict[str, Any], uri: S3Uri) -> str:
    if not found.get("ETag"):
        raise not_s3(uri, "its answer has no ETag")
    return str(found["ETag"])
