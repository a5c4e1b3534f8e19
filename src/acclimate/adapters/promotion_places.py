"""Where promotion logs lie: one place for all who promote, a folder or S3, where nobody overwrites unseen."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from filelock import FileLock

from acclimate.config_file.addresses import folder_address
from acclimate.errors import AccessError, ConfigError, DataError


class Place(Protocol):
    """Small files by name, replaced only where they are still what was read."""

    @property
    def uri(self) -> str:
        """How people call it."""

    def prepare(self) -> None:
        """Find out whether it can be written to, before anybody relies on it."""

    def read(self, name: str) -> tuple[bytes, str | None]:
        """The bytes and their state; none and None where there is nothing yet."""

    def write(self, name: str, data: bytes, state: str | None) -> bool:
        """Replace what has that state, or make what is not there; False where it is another by now."""


def place_at(uri: str) -> Place:
    """A folder of this machine, or ``s3://BUCKET/PREFIX``.

    Raises:
        ConfigError: E-CONFIG-031 to -033 or E-S3-020, it is no such address.
    """
    problem = folder_address("the place of promotions", uri, uri[:200])
    if problem is not None:
        raise ConfigError.of([problem])
    return S3Place(uri) if uri.startswith("s3://") else FolderPlace(Path(uri))


class FolderPlace:
    """A folder; a file lock beside each file.

    Args:
        folder: made when first written to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    @property
    def uri(self) -> str:
        """Its absolute path."""
        return str(self._folder)

    def prepare(self) -> None:
        """See :class:`Place`."""
        with self._usable():
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self._folder):
                pass

    def read(self, name: str) -> tuple[bytes, str | None]:
        """See :class:`Place`."""
        with self._usable():
            try:
                data = (self._folder / name).read_bytes()
            except FileNotFoundError:
                return b"", None
            return data, hashlib.sha256(data).hexdigest()

    def write(self, name: str, data: bytes, state: str | None) -> bool:
        """See :class:`Place`."""
        path = self._folder / name
        with self._usable():
            self._folder.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{path}.lock", mode=0o666):
                if self.read(name)[1] != state:
                    return False
                handle, aside = tempfile.mkstemp(dir=self._folder, prefix=f".{name}-")
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                    # as any other file of the folder: others promote too
                    os.fchmod(file.fileno(), 0o666 & ~_umask())
                Path(aside).replace(path)
                return True

    @contextmanager
    def _usable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise AccessError(
                "E-PROMOTE-008",
                f"the promotion log can't be used: {error.strerror}",
                where=self.uri,
                hint="give this account the right to write there, or name another place for all who promote",
            ) from error


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask


class S3Place:
    """A prefix on S3; replaced by If-Match.

    Args:
        uri: ``s3://BUCKET/PREFIX``.
    """

    def __init__(self, uri: str) -> None:
        from acclimate.adapters.s3 import S3, S3Uri

        self._root = S3Uri.parse(uri)
        self._s3 = S3()

    @property
    def uri(self) -> str:
        """Its address."""
        return str(self._root)

    def prepare(self) -> None:
        """See :class:`Place`; the first write tells."""

    def read(self, name: str) -> tuple[bytes, str | None]:
        """See :class:`Place`."""
        try:
            return self._s3.get_bytes(self._root / name)
        except DataError as error:
            if error.code != "E-S3-002":
                raise
            return b"", None

    def write(self, name: str, data: bytes, state: str | None) -> bool:
        """See :class:`Place`."""
        return self._s3.put_bytes(self._root / name, data, if_absent=state is None, if_match=state) is not None
