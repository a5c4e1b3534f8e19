"""Addresses in a configuration: which are understood, which are not, which are never fetched."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from acclimate.config_file.remote_uris import DvcAddress, S3Address, UnusableUriError
from acclimate.errors import Problem

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_PACKAGE = re.compile(r"package://[A-Za-z0-9][A-Za-z0-9._-]*(/[^/]+)*")
_REGISTERED = re.compile(r"models:/[A-Za-z0-9][A-Za-z0-9._-]*(/[0-9]{1,9}|@[A-Za-z0-9][A-Za-z0-9._-]*)")
_UNSAFE = re.compile(r"[;|&`$<>\\]")
_METADATA_HOSTS = {"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"}
_METADATA_IPS = {"100.100.100.200", "192.0.0.192", "fd00:ec2::254", "168.63.129.16"}

Finding = tuple[str, str, str]
_METADATA: Finding = (
    "E-CONFIG-033",
    "is a metadata address; these are never fetched",
    "give a file of your project, s3://BUCKET/KEY or dvc://PATH",
)


def scheme_of(value: str) -> str | None:
    """``s3`` of ``s3://bucket/key``; None for a plain path."""
    match = _SCHEME.match(value)
    return match[1].lower() if match else None


def is_metadata_address(value: str) -> bool:
    """Whether a URI's host is a cloud's metadata service or link-local, in whatever notation."""
    try:
        host = (urlsplit(value).hostname or "").rstrip(".").lower()
    except ValueError:
        return False
    if host in _METADATA_HOSTS:
        return True
    address = _ip_of(host)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return address is not None and (address.is_link_local or str(address) in _METADATA_IPS)


def _ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except (OSError, UnicodeEncodeError):
        return None


def _as_problem(finding: Finding | None, name: str, where: str) -> Problem | None:
    if finding is None:
        return None
    code, message, hint = finding
    return Problem(code, f"{name} {message}", where, hint)


def _not_read(value: str, scheme: str, hint: str) -> Finding:
    if is_metadata_address(value):
        return _METADATA
    return "E-CONFIG-031", f"is a {scheme}:// address, which is not read here", hint


def _s3(value: str) -> Finding | None:
    if is_metadata_address(value):
        return _METADATA
    try:
        S3Address.parse(value)
    except UnusableUriError as error:
        return "E-CONFIG-032", str(error), f"write {error.form}"
    return None


def _s3_folder(value: str) -> Finding | None:
    finding = _s3(value)
    if finding is None and "?" in value:
        return "E-CONFIG-032", "names one version, but stands for a folder", "write s3://BUCKET/PREFIX"
    return finding


def _dvc(value: str) -> Finding | None:
    try:
        address = DvcAddress.parse(value)
    except UnusableUriError as error:
        return "E-CONFIG-032", str(error), f"write {error.form}"
    return _METADATA if address.repo and is_metadata_address(as_url(address.repo)) else None


def as_url(repo: str) -> str:
    """A git repository's address as a URL: ``user@host:path`` is git's short form of one."""
    return repo if "://" in repo else f"ssh://{repo.replace(':', '/', 1)}"


def _host(value: str) -> str:
    try:
        return urlsplit(value).netloc
    except ValueError:
        return ""


def data_address(name: str, value: str, where: str) -> Problem | None:
    """What is wrong with the address of data: a local path, ``s3://`` or ``dvc://``."""
    scheme = scheme_of(value)
    if scheme is None:
        return None
    readers = {"s3": _s3, "dvc": _dvc}
    if scheme in readers and value.startswith(f"{scheme}://"):
        return _as_problem(readers[scheme](value), name, where)
    hint = "write the plain path" if scheme == "file" else "give a path, s3://BUCKET/KEY or dvc://PATH@REVISION"
    return _as_problem(_not_read(value, scheme, hint), name, where)


def folder_address(name: str, value: str, where: str) -> Problem | None:
    """What is wrong with the address of a folder for outputs: a local folder or ``s3://BUCKET/PREFIX``."""
    scheme = scheme_of(value)
    if scheme is None:
        return None
    if value.startswith("s3://"):
        return _as_problem(_s3_folder(value), name, where)
    return _as_problem(_not_read(value, scheme, "give a local folder or s3://BUCKET/PREFIX"), name, where)


def model_address(name: str, value: str, where: str) -> Problem | None:
    """What is wrong with the address of a source model: a folder, ``package://``, ``s3://`` or ``models:/``."""
    return _as_problem(_model(value), name, where)


def _model(value: str) -> Finding | None:
    scheme = scheme_of(value)
    if _UNSAFE.search(value):
        return "E-CONFIG-037", "holds a character that no model's name has: ; | & ` $ < > or \\", "check the name"
    if scheme is None:
        return None
    if value.startswith("s3://"):
        return _s3_folder(value)
    forms = {"package": _PACKAGE, "models": _REGISTERED}
    if scheme not in forms:
        return _not_read(value, scheme, "give a folder, package://NAME/path, s3://BUCKET/PREFIX or models:/NAME@alias")
    if ".." in value.replace("//", "/").split("/") or not forms[scheme].fullmatch(value):
        return (
            "E-CONFIG-032",
            "is not of the form it should be",
            "package://NAME/path, s3://BUCKET/PREFIX, models:/NAME@alias or models:/NAME/7",
        )
    return None


def tracking_address(name: str, value: str, where: str) -> Problem | None:
    """What is wrong with the address of a tracking server."""
    return _as_problem(_tracking(value), name, where)


def _tracking(value: str) -> Finding | None:
    scheme = scheme_of(value)
    if is_metadata_address(value):
        return "E-CONFIG-033", "is a metadata address; these are never fetched", "give your MLflow server's address"
    if scheme in {"http", "https"} and _host(value):
        return None
    if scheme == "sqlite":
        return None
    return (
        "E-CONFIG-032",
        "is not an MLflow server's address",
        "http://HOST:PORT, https://HOST or sqlite:////folder/file.db",
    )
