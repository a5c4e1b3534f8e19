"""Files of DVC repositories, by revision. DVC is imported only where an address names it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acclimate.adapters.fetched import FetchLimits, md5_of
from acclimate.adapters.s3_files import table_files
from acclimate.config_file.addresses import as_url, is_metadata_address
from acclimate.config_file.remote_uris import DvcAddress
from acclimate.digests import file_digest
from acclimate.errors import (
    AccessError,
    AcclimateError,
    ConfigError,
    DataError,
    IntegrityError,
    UnavailableError,
)
from acclimate.records import InputFile


@dataclass(frozen=True)
class DvcFile:
    """A file as a revision names it.

    Args:
        name: the file's own name.
        path: in the repository.
        uri: how it is shown.
        size: bytes; None where DVC doesn't say before it is fetched.
        md5: of its bytes; None for a file that git keeps itself.
    """

    name: str
    path: str
    uri: str
    size: int | None
    md5: str | None


@dataclass(frozen=True)
class DvcRevision:
    """A repository at one commit, open.

    Args:
        address: as configured.
        commit: what the revision stands for; None in a repository without git.
        files: of the table, by name.
        passed_over: names of what else lies in the folder.
        is_folder: whether the address names a folder.
        filesystem: DVC's view of the repository.
    """

    address: DvcAddress
    commit: str | None
    files: list[DvcFile]
    passed_over: list[str]
    is_folder: bool
    filesystem: Any

    @property
    def pins(self) -> list[Any]:
        """What identifies the bytes, without reading them."""
        return [str(self.address), self.commit, [[file.path, file.size, file.md5] for file in self.files]]

    def download(self, folder: Path, limits: FetchLimits) -> dict[str, InputFile]:
        """Fetch the files, each compared with the md5 that the revision names.

        Raises:
            DataError: E-FETCH-001 too much; E-DVC-005 no remote has the bytes.
            IntegrityError: E-DVC-006, the bytes aren't those that were added.
            UnavailableError: E-DVC-007, the remote doesn't answer.
            AccessError: E-DVC-008, the remote refused us.
        """
        uri = str(self.address)
        limits.check(len(self.files), sum(file.size or 0 for file in self.files), uri)
        fetched, total = {}, 0
        for file in self.files:
            path = folder / file.name
            with _translated(file.uri):
                self.filesystem.get_file(file.path, str(path))
            total += path.stat().st_size
            limits.check(len(self.files), total, uri)
            fetched[file.name] = self._checked(file, path)
        return fetched

    def _checked(self, file: DvcFile, path: Path) -> InputFile:
        md5 = md5_of(path)
        if file.md5 not in {None, md5}:
            message = f"the bytes are not those that were added: md5 {file.md5} expected, {md5} found"
            hint = "the cache or remote is damaged: dvc fetch and dvc push them again where they are whole"
            raise IntegrityError("E-DVC-006", message, where=file.uri, hint=hint)
        return InputFile(
            uri=file.uri,
            sha256=file_digest(path),
            size_bytes=path.stat().st_size,
            dvc_repo=self.address.repo,
            dvc_rev=self.commit,
            md5=md5,
        )


@contextmanager
def opened(address: DvcAddress, repo: str, cache: Path) -> Iterator[DvcRevision]:
    """Open a repository at the address's revision, by default its HEAD: what isn't committed is not seen.

    Args:
        address: what is wanted.
        repo: the repository: git URL, or an absolute folder.
        cache: where DVC may keep its own indexes.

    Raises:
        ConfigError: E-DVC-001 DVC is not installed; E-DVC-002 no such repository here; E-CONFIG-033 it keeps its data
            at a metadata address.
        DataError: E-DVC-003 no such revision; E-DVC-004 no such path in it; E-DATA-004 and -051, see
            :func:`~acclimate.adapters.s3_files.table_files`.
        UnavailableError: E-DVC-007, the repository can't be fetched now.
    """
    uri = str(address)
    try:
        from dvc.api import DVCFileSystem
    except ImportError as error:
        hint = "pip install 'acclimate[dvc]'"
        message = "reading dvc:// needs DVC, which is not installed"
        raise ConfigError("E-DVC-001", message, where=uri, hint=hint) from error
    without_git = address.repo_is_folder and not _has_git(Path(repo), address)
    settings = {"core": {"site_cache_dir": str(cache), "analytics": False, "check_update": False}}
    with _translated(uri):
        revision = None if without_git else address.revision or "HEAD"
        filesystem: Any = DVCFileSystem(repo, rev=revision, config=settings)
        opened_repo = filesystem.repo
    try:
        with _translated(uri):
            _refuse_metadata(opened_repo, uri)
            commit = None if without_git else str(opened_repo.get_rev())
            found = filesystem.info(address.path)
            listed = filesystem.ls(address.path, detail=True) if found["type"] == "directory" else None
        files, passed = _files(address, found, listed)
        yield DvcRevision(address, commit, files, passed, listed is not None, filesystem)
    finally:
        filesystem.close()
        opened_repo.close()


def _has_git(folder: Path, address: DvcAddress) -> bool:
    above = (folder, *folder.parents)
    has_git = any((place / ".git").exists() for place in above)
    if not has_git and not any((place / ".dvc").is_dir() for place in above):
        hint = "name the repository's top folder, the one with .git or .dvc"
        raise ConfigError("E-DVC-002", f"there is no repository: {folder}", where=str(address), hint=hint)
    if not has_git and address.revision:
        hint = "leave the revision out, or put the repository under git"
        raise DataError("E-DVC-003", "a repository without git has no revisions", where=str(address), hint=hint)
    return has_git


def _files(address: DvcAddress, found: Any, listed: list[Any] | None) -> tuple[list[DvcFile], list[str]]:
    if listed is None:
        return [_file(address, address.path, found)], []
    base = address.path
    entries = {str(entry["name"]).removeprefix("/").removeprefix(f"{base}/"): entry for entry in listed}
    names = [f"{name}/" if entry["type"] == "directory" else name for name, entry in entries.items()]
    # what DVC and git keep beside the data
    names = [name for name in names if not name.endswith(".dvc") and name not in {"dvc.yaml", "dvc.lock"}]
    chosen, passed = table_files(names, str(address))
    return [_file(address, f"{base}/{name}", entries[name]) for name in sorted(chosen)], passed


def _file(address: DvcAddress, path: str, info: Any) -> DvcFile:
    tracked = info.get("dvc_info") or {}
    md5 = info.get("md5") or tracked.get("md5")
    uri = str(DvcAddress(path, address.revision, address.repo))
    return DvcFile(path.rpartition("/")[2], path, uri, info.get("size"), md5)


def _refuse_metadata(repo: Any, uri: str) -> None:
    """A repository says itself where its data come from; it must not send us where no configuration may."""
    for address in _addresses(repo):
        if address and is_metadata_address(as_url(address) if "@" in address else address):
            message = "the repository keeps or imports data at a metadata address; these are never fetched"
            hint = "correct its .dvc/config, or the .dvc file that imports from there"
            raise ConfigError("E-CONFIG-033", message, where=uri, hint=hint)


def _addresses(repo: Any) -> Iterator[str]:
    for remote in repo.config.get("remote", {}).values():
        yield from (str(remote.get(key) or "") for key in ("url", "endpointurl"))
    for stage in repo.index.stages:
        for source in stage.deps if stage.is_import else ():
            yield str(source.def_path or "")
            yield str((getattr(source, "def_repo", None) or {}).get("url", ""))


@contextmanager
def _translated(uri: str) -> Iterator[None]:
    """Turn whatever DVC, git and the storage below raise into coded errors."""
    try:
        yield
    except AcclimateError:
        raise
    except Exception as error:
        raise _in_our_words(error, uri) from error


def _in_our_words(error: Exception, uri: str) -> AcclimateError:
    kinds = {kind.__name__ for cause in (error, error.__cause__) for kind in type(cause).__mro__}
    says = (str(error.__cause__ or error).strip().splitlines() or [type(error).__name__])[0][:200]
    if "RevError" in kinds:
        hint = "name a branch, tag or commit of the repository"
        return DataError("E-DVC-003", f"no such revision: {says}", where=uri, hint=hint)
    if kinds & {"NotDvcRepoError", "NoSCMError"}:
        return ConfigError("E-DVC-002", f"there is no usable repository: {says}", where=uri, hint="check repo=")
    if kinds & {"AuthError", "PermissionError", "NoCredentialsError", "AuthenticationError"}:
        hint = "give git or the remote's storage credentials that may read it"
        return AccessError("E-DVC-008", f"access is refused: {says}", where=uri, hint=hint)
    if "FileNotFoundError" in kinds:
        if "storage" in says:
            hint = "dvc push them where they are, and check the repository's remote"
            return DataError("E-DVC-005", f"no remote or cache has the bytes: {says}", where=uri, hint=hint)
        hint = "check the path; it begins at the repository's top, and the revision must have it"
        return DataError("E-DVC-004", "there is no such file or folder in that revision", where=uri, hint=hint)
    hint = "dvc fetch by hand shows the cause; then run again"
    return UnavailableError("E-DVC-007", f"DVC can't fetch it now: {says}", where=uri, hint=hint)
