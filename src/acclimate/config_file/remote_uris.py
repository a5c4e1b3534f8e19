"""What addresses of remote data say: ``s3://BUCKET/KEY`` and ``dvc://PATH@REV?repo=REPO``. Nothing is fetched here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_VERSION = re.compile(r"[A-Za-z0-9._~+/=-]{1,1024}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/^~+-]{0,254}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069]")
_GIT_URL = re.compile(
    r"https?://[A-Za-z0-9][^/@]*(/|$)|ssh://[A-Za-z0-9]|[A-Za-z0-9._-]+@[A-Za-z0-9][A-Za-z0-9.-]*:[^:]"
)
_S3_FORM = "s3://BUCKET/KEY, for one version of an object with ?versionId=ID"
_DVC_FORM = "dvc://PATH@REVISION, for another repository with ?repo=FOLDER-or-git-URL"
_MAX_KEY_BYTES = 1024


class UnusableUriError(ValueError):
    """The address is not of its scheme's form.

    Args:
        message: what is wrong, to stand behind the key's name.
        form: what it should look like.
    """

    def __init__(self, message: str, form: str) -> None:
        super().__init__(message)
        self.form = form


@dataclass(frozen=True)
class S3Address:
    """``s3://BUCKET/KEY[?versionId=ID]``.

    Args:
        bucket: never empty.
        key: of an object, or what the keys of several begin with; empty for the whole bucket.
        version_id: the object's version, where one is named.
    """

    bucket: str
    key: str
    version_id: str | None = None

    @classmethod
    def parse(cls, uri: str) -> S3Address:
        """Read an address.

        Raises:
            UnusableUriError: it has no bucket, a part that steps out, or something else behind a question mark.
        """
        place, question, query = uri.partition("://")[2].partition("?")
        bucket, _, key = place.partition("/")
        if not bucket:
            raise UnusableUriError("has no bucket", _S3_FORM)
        if not _BUCKET.fullmatch(bucket):
            # it is not shown: what stands before an @ may be a key
            raise UnusableUriError("has something other than a bucket's name behind s3://", _S3_FORM)
        key = key.rstrip("/")
        if not is_plain(key, may_be_empty=True) or len(key.encode()) > _MAX_KEY_BYTES:
            raise UnusableUriError("has a key with an empty part, '.', '..' or an unprintable character", _S3_FORM)
        version = query.removeprefix("versionId=") if question else None
        if question and (version == query or not key or not _VERSION.fullmatch(version or "")):
            raise UnusableUriError("has something other than an object's versionId behind the question mark", _S3_FORM)
        return cls(bucket, key, version)

    def __str__(self) -> str:
        """The address without its version."""
        return f"s3://{self.bucket}/{self.key}" if self.key else f"s3://{self.bucket}"


@dataclass(frozen=True)
class DvcAddress:
    """``dvc://PATH[@REVISION][?repo=REPO]``; in PATH, ``@``, ``?`` and ``%`` are written %40, %3F and %25.

    Args:
        path: of a file or folder in the repository, with forward slashes.
        revision: a branch, tag or commit; None is the repository's HEAD.
        repo: git URL, or a folder relative to the project; None is the project itself.
    """

    path: str
    revision: str | None = None
    repo: str | None = None

    @classmethod
    def parse(cls, uri: str) -> DvcAddress:
        """Read an address.

        Raises:
            UnusableUriError: a part of it is empty, steps out, or could be taken for an option or a command.
        """
        place, question, query = uri.partition("://")[2].partition("?")
        path, at, revision = place.rpartition("@") if "@" in place else (place, "", "")
        path = unquote(path).rstrip("/")
        if not is_plain(path):
            raise UnusableUriError("has a path that is empty, absolute, or has '..' or a control character", _DVC_FORM)
        if at and (not _REVISION.fullmatch(revision) or ".." in revision):
            raise UnusableUriError("names no usable revision behind the @", _DVC_FORM)
        repo = unquote(query.removeprefix("repo=")) if question else None
        if question and (repo == unquote(query) or not _is_repo(repo or "")):
            raise UnusableUriError("has a repo that is no folder and no git URL without credentials", _DVC_FORM)
        return cls(path, revision or None, repo)

    @property
    def repo_is_folder(self) -> bool:
        """Whether the repository is a folder of this machine."""
        return self.repo is None or not _GIT_URL.match(self.repo)

    def __str__(self) -> str:
        """As :meth:`parse` reads it."""
        revision = f"@{self.revision}" if self.revision else ""
        repo = f"?repo={quote(self.repo, safe='/:@~+')}" if self.repo else ""
        return f"dvc://{quote(self.path, safe='/ ')}{revision}{repo}"


def is_plain(path: str, *, may_be_empty: bool = False) -> bool:
    """Whether a path with forward slashes stays below where it starts and can be shown."""
    if not path:
        return may_be_empty
    parts = path.split("/")
    return not any(part in {"", ".", ".."} for part in parts) and not _UNPRINTABLE.search(path) and "\\" not in path


def _is_repo(repo: str) -> bool:
    # "ext::command" and the like are git's way to run a command; a dash begins an option
    if not repo or "::" in repo or repo.startswith("-") or _UNPRINTABLE.search(repo):
        return False
    return bool(_GIT_URL.match(repo)) or not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:", repo)
