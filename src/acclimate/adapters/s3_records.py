"""Small records on S3, sealed: a flipped bit is found, and so is a record that lies in another's place."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from acclimate.adapters.s3 import S3, S3Uri
from acclimate.digests import data_digest
from acclimate.errors import DataError, IntegrityError

log = logging.getLogger("acclimate.store")

AGAIN = "run again: what is damaged is made anew"


def damaged(uri: S3Uri, says: str, hint: str = AGAIN) -> IntegrityError:
    """E-STORE-010: an object of the workspace isn't what was stored."""
    return IntegrityError("E-STORE-010", f"the stored object {says}", where=str(uri), hint=hint)


@dataclass(frozen=True)
class Found:
    """A record as it lies there.

    Args:
        etag: to replace or delete just this state of it.
        record: None where its seal is broken.
    """

    etag: str
    record: dict[str, Any] | None


class Records:
    """Sealed records of a workspace, by name below its address.

    The seal covers the name, not the workspace's address: a workspace may be copied as a whole.

    Args:
        s3: the transport.
        root: the workspace's address.
    """

    def __init__(self, s3: S3, root: S3Uri) -> None:
        self.s3 = s3
        self.root = root

    def uri(self, name: str) -> S3Uri:
        """Address of a record."""
        return self.root / name

    def read(self, name: str) -> Found | None:
        """The record called ``name``, or None where there is none.

        What seems damaged is read once more: bytes may also be lost on the way.
        """
        found = self._read(name)
        return self._read(name) if found and found.record is None else found

    def _read(self, name: str) -> Found | None:
        try:
            data, etag = self.s3.get_bytes(self.uri(name))
        except DataError as error:
            if error.code != "E-S3-002":
                raise
            return None
        return Found(etag, _unsealed(name, data))

    def write(
        self, name: str, record: dict[str, Any], *, if_absent: bool = False, if_match: str | None = None
    ) -> str | None:
        """Write a record; returns its ETag, or None when the condition didn't hold."""
        body = {"sha256": data_digest([name, record]), "record": record}
        return self.s3.put_bytes(self.uri(name), json.dumps(body).encode(), if_absent=if_absent, if_match=if_match)

    def delete(self, name: str, found: Found) -> None:
        """Delete the state of a record that was read."""
        self.s3.delete(self.uri(name), if_match=found.etag)


def _unsealed(name: str, data: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(data)
        record = body["record"]
        whole = isinstance(record, dict) and body["sha256"] == data_digest([name, record])
    except (ValueError, KeyError, TypeError):
        return None
    return record if whole else None
