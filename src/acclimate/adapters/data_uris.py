"""Data wherever they lie: brought to this machine, and every file remembered by where it came from.

Three routes give the same rows, hence the same digests and the same run key: a local path, ``s3://BUCKET/KEY`` (an
object or a folder, pinned by ETag or version) and ``dvc://PATH@REV?repo=REPO`` (pinned by commit and md5).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from acclimate.adapters.fetched import FetchLimits, fetched
from acclimate.adapters.published import download_published, publish_data, published_at
from acclimate.adapters.s3 import S3, S3Uri
from acclimate.adapters.s3_files import download, is_table_file, pins, table_objects
from acclimate.adapters.tables import read_table
from acclimate.adapters.tables.source_files import shown_uri
from acclimate.config_file import resolve_data_path
from acclimate.config_file.addresses import data_address, scheme_of
from acclimate.config_file.remote_uris import DvcAddress, S3Address
from acclimate.digests import file_digest
from acclimate.errors import ConfigError, DataError, IntegrityError
from acclimate.ports import RawTable, TableReader
from acclimate.records import InputFile

_LIMITS = FetchLimits()


@dataclass(frozen=True)
class Located:
    """Data of one table as they lie on this machine.

    Args:
        path: a file or a folder; of a cache, where the data came from elsewhere.
        uri: as configured, without what only pins it.
        root: the folder that local files must not leave, and that they are shown relative to.
        allow_outside: local files may leave it.
        files: what was fetched, by name; empty for a local path.
        passed_over: names of what else lies in a remote folder.
        has_images: its rows are images, not texts.
    """

    path: Path
    uri: str
    root: Path
    allow_outside: bool
    files: dict[str, InputFile] = field(default_factory=dict)
    passed_over: Sequence[str] = ()
    has_images: bool = False

    @property
    def is_fetched(self) -> bool:
        """Whether the data came from elsewhere."""
        return bool(self.files)

    @property
    def digests(self) -> dict[str, str]:
        """sha256 of each file by its name."""
        if self.is_fetched:
            return {name: file.sha256 for name, file in self.files.items()}
        above = self.path if self.path.is_dir() else self.path.parent
        return {path.relative_to(above).as_posix(): file_digest(path) for path in self._paths()}

    @property
    def origins(self) -> list[dict[str, str | int | None]]:
        """What pins each file where it came from, as plain data for a stage's key; empty for a local path."""
        return [file.model_dump(mode="json") for _, file in sorted(self.files.items())]

    def shown(self, path: Path) -> str:
        """How a path is shown: as the address it was fetched from, else relative to the root."""
        if not self.is_fetched:
            return shown_uri(path, self.root)
        file = self.files.get(path.name)
        return file.uri if file else self.uri

    def read(self, path: Path, **wanted: object) -> RawTable:
        """Read the table; see :class:`acclimate.ports.TableReader`."""
        outside = self.is_fetched or self.allow_outside
        read: Callable[..., RawTable] = read_table
        if wanted.get("image"):
            from acclimate.adapters.images import read_images as read
        table = read(path, **{**wanted, "root": self.root, "allow_outside": outside}, shown=self.shown)
        if not self.is_fetched:
            return table
        files = [self._as_fetched(file, name) for file, name in zip(table.files, self._names(table), strict=True)]
        return replace(table, files=files, warnings=[*table.warnings, *self._warnings()])

    def publish(self, workspace: str) -> str:
        """Put the files into a shared workspace for machines that don't see this one's disk.

        Args:
            workspace: ``s3://BUCKET/PREFIX``.

        Returns:
            Their address there, to be configured instead.

        Raises:
            DataError: E-DATA-065, it is an image folder.
            AcclimateError: E-S3-NNN.
        """
        if self._is_image_folder:
            hint = "write the images into Parquet: columns image (bytes) and label, one row each"
            message = "a folder of images can't be handed to other machines"
            raise DataError("E-DATA-065", message, where=self.uri, hint=hint)
        paths = {path.name: path for path in self._paths() if not self.path.is_dir() or is_table_file(path.name)}
        local = {
            name: InputFile(uri=self.shown(path), sha256=file_digest(path), size_bytes=path.stat().st_size)
            for name, path in paths.items()
            if not self.is_fetched
        }
        return publish_data(paths, self.files or local, workspace, is_folder=self.path.is_dir())

    @property
    def _is_image_folder(self) -> bool:
        if not self.has_images or not self.path.is_dir():
            return False
        from acclimate.adapters.images import holds_parquet

        return not holds_parquet(self.path)

    def _paths(self) -> list[Path]:
        if not self.path.is_dir():
            return [self.path]
        if self._is_image_folder:
            from acclimate.adapters.images import images_below

            return images_below(self.path, self.shown(self.path), self.root, allow_outside=self.allow_outside)
        return sorted(path for path in self.path.iterdir() if path.is_file())

    def _names(self, table: RawTable) -> list[str]:
        by_uri = {file.uri: name for name, file in self.files.items()}
        return [by_uri[file.uri] for file in table.files]

    def _as_fetched(self, read: InputFile, name: str) -> InputFile:
        file = self.files[name]
        if read.sha256 != file.sha256:
            message, hint = "the fetched copy changed before it was read", "run again: it will be fetched again"
            raise IntegrityError("E-FETCH-003", message, where=file.uri, hint=hint)
        return file

    def _warnings(self) -> list[str]:
        passed = self.passed_over
        return [f"{self.uri}: passed over {len(passed)} entries, e.g. {passed[0][:80]}"] if passed else []


def located(
    data: str,
    *,
    root: Path,
    home: Path,
    allow_outside: bool = False,
    name: str = "data",
    limits: FetchLimits = _LIMITS,
    has_images: bool = False,
) -> Located:
    """Bring the data of a table to this machine, unless they are there.

    Args:
        data: a path relative to ``root`` or absolute, ``s3://BUCKET/KEY[?versionId=ID]`` of an object or a folder of
            objects, or ``dvc://PATH[@REVISION][?repo=FOLDER-or-git-URL]``.
        root: the project root.
        home: fetched files are kept in ``home/data``.
        allow_outside: local paths may lie outside the root.
        name: the key, shown in errors.
        limits: what may be fetched, checked before it is where the sizes are known.
        has_images: its rows are images, not texts.

    Raises:
        ConfigError: E-CONFIG-031 to -036 unusable address or path; E-DVC-001, -002.
        DataError: E-DATA-001 nothing is there; E-DATA-004, -051, -052 a folder that is no table's; E-FETCH-001 too
            much; E-S3-NNN; E-DVC-003 to -005.
        IntegrityError: E-DVC-006, E-PUBLISH-001, -002: bytes aren't those that were stored.
        UnavailableError: E-S3-NNN, E-DVC-007, E-FETCH-002.
        AccessError: E-S3-NNN, E-DVC-008.
    """
    scheme = scheme_of(data)
    problem = data_address(name, data, data[:200])
    if problem:
        raise ConfigError.of([problem])
    if scheme is None:
        path = resolve_data_path(data, root, root, allow_outside, name=name)
        return Located(path, data, root, allow_outside, has_images=has_images)
    if scheme == "s3":
        return _from_s3(S3Address.parse(data), root, home / "data", limits)
    return _from_dvc(DvcAddress.parse(data), root, home, limits, allow_outside=allow_outside, name=name)


def _from_s3(address: S3Address, root: Path, cache: Path, limits: FetchLimits) -> Located:
    uri = S3Uri(address.bucket, address.key)
    above = S3Uri(uri.bucket, uri.key.rpartition("/")[0])
    with closing(S3()) as s3:
        for place, name in ((uri, None), (above, uri.name)):
            published = published_at(s3, place)
            if published is not None and (name is None or name in published.files):
                return _from_published(s3, place, published.files, name, root, cache, limits)
        objects, passed, is_folder = table_objects(s3, address)
        base = uri if is_folder else above
        folder, files = fetched(cache, pins(objects), lambda into: download(s3, objects, base, into, limits))
    return Located(folder if is_folder else folder / uri.name, str(uri), root, True, files, passed)


def _from_published(
    s3: S3,
    place: S3Uri,
    files: dict[str, InputFile],
    name: str | None,
    root: Path,
    cache: Path,
    limits: FetchLimits,
) -> Located:
    chosen = files if name is None else {name: files[name]}
    limits.check(len(chosen), sum(file.size_bytes for file in chosen.values()), str(place))
    pinned = [str(place), *sorted(chosen)]
    folder, found = fetched(cache, pinned, lambda into: download_published(s3, place, chosen, into))
    uri = str(place) if name is None else found[name].uri
    return Located(folder if name is None else folder / name, uri, root, True, found)


def _from_dvc(
    address: DvcAddress, root: Path, home: Path, limits: FetchLimits, *, allow_outside: bool, name: str
) -> Located:
    from acclimate.adapters.dvc_data import opened

    repo = address.repo or str(root)
    if address.repo_is_folder:
        repo = str(resolve_data_path(repo, root, root, allow_outside, name=f"the repository of {name}"))
    with opened(address, repo, home / "dvc") as revision:
        folder, files = fetched(home / "data", revision.pins, lambda into: revision.download(into, limits))
        is_folder, passed = revision.is_folder, revision.passed_over
    path = folder if is_folder else folder / next(iter(files))
    return Located(path, str(address), root, True, files, passed)


def absolute_data(data: str, home: Path, root: Path, *, allow_outside: bool = False, name: str = "data") -> str:
    """Data as a request names them: independent of the YAML's folder.

    Args:
        data: as written.
        home: the YAML's folder, which paths are relative to.
        root: the project root.
        allow_outside: paths may leave it.
        name: the key, shown in errors.

    Returns:
        A local path, absolute; an address as it is, but for a DVC repository's folder, which is made relative to the
        root.

    Raises:
        ConfigError: E-CONFIG-031 to -036.
        DataError: E-DATA-001, nothing is there.
    """
    scheme = scheme_of(data)
    if scheme is None:
        return str(resolve_data_path(data, home, root, allow_outside, name=name))
    problem = data_address(name, data, data[:200])
    if problem:
        raise ConfigError.of([problem])
    if scheme != "dvc":
        return data
    address = DvcAddress.parse(data)
    if address.repo is None or not address.repo_is_folder:
        return data
    repo = resolve_data_path(address.repo, home, root, allow_outside, name=f"the repository of {name}")
    return str(replace(address, repo=os.path.relpath(repo, root.resolve())))


def reading(*tables: Located) -> TableReader:
    """A reader of located tables, to be told their paths: places and records name where the data came from."""
    by_path: dict[Path, Callable[..., RawTable]] = {table.path: table.read for table in tables}

    def read(path: Path, **wanted: object) -> RawTable:
        return by_path[path](path, **wanted)

    return read
