"""Addresses of objects."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from acclimate.errors import ConfigError

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_MAX_KEY_BYTES = 1024


@dataclass(frozen=True)
class S3Uri:
    """``s3://BUCKET/KEY``; a key may also be the beginning of keys, a folder so to speak."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, text: str) -> S3Uri:
        """Read ``s3://BUCKET`` or ``s3://BUCKET/KEY``; a slash at the end is left out.

        Raises:
            ConfigError: E-S3-020, it isn't such an address.
        """
        scheme, _, rest = text.partition("://")
        bucket, _, key = rest.partition("/")
        key = key.rstrip("/")
        parts = key.split("/") if key else []
        strange = any(part in {"", ".", ".."} for part in parts) or any(ord(letter) < 32 for letter in key)
        if scheme != "s3" or not _BUCKET.fullmatch(bucket) or strange or len(key.encode()) > _MAX_KEY_BYTES:
            raise ConfigError("E-S3-020", "not an S3 address", where=text[:200], hint="write s3://BUCKET/path")
        return cls(bucket, key)

    def __str__(self) -> str:
        """As :meth:`parse` reads it."""
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"

    def __truediv__(self, name: str) -> S3Uri:
        """What lies below, as with paths."""
        return S3Uri(self.bucket, f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def below(self, folder: S3Uri) -> str:
        """The key relative to a folder it lies in."""
        return self.key.removeprefix(f"{folder.key}/") if folder.key else self.key


@dataclass(frozen=True)
class ObjectInfo:
    """What the server says about an object.

    Args:
        uri: its address.
        size: bytes.
        etag: changes whenever the object does; quoted as the server gives it.
        version_id: where the bucket keeps versions.
        modified: by the server's clock.
        age_seconds: since then, by the server's clock too.
    """

    uri: S3Uri
    size: int
    etag: str
    version_id: str | None
    modified: datetime
    age_seconds: float = 0.0
