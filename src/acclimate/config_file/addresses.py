"""Addresses in a configuration: which are understood, which are not built yet, which are never fetched."""

from __future__ import annotations

import ipaddress
import re
import socket
from urllib.parse import urlsplit

from acclimate.errors import Problem

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/")
_PACKAGE = re.compile(r"package://[A-Za-z0-9][A-Za-z0-9._-]*(/[^/]+)*")
_REGISTERED = re.compile(r"models:/[A-Za-z0-9][A-Za-z0-9._-]*(/[0-9]{1,9}|@[A-Za-z0-9][A-Za-z0-9._-]*)")
_UNSAFE = re.compile(r"[;|&`$<>\\]")
_METADATA_HOSTS = {"metadata", "metadata.google.internal", "instance-data", "instance-data.ec2.internal"}
_METADATA_IPS = {"100.100.100.200", "192.0.0.192", "fd00:ec2::254", "168.63.129.16"}

Finding = tuple[str, str, str]


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


def _remote(value: str, scheme: str, hint: str) -> Finding:
    if is_metadata_address(value):
        return "E-CONFIG-033", "is a metadata address; these are never fetched", "give a file of your project"
    if scheme == "s3" and not _host(value):
        return "E-CONFIG-032", "has no bucket", "write s3://BUCKET/path; and s3:// is not built yet for this key"
    return "E-CONFIG-031", f"is a {scheme}:// address, which is not built yet here", hint


def _host(value: str) -> str:
    try:
        return urlsplit(value).netloc
    except ValueError:
        return ""


def data_address(name: str, value: str, where: str) -> Problem | None:
    """What is wrong with the address of data: only local paths are read so far."""
    scheme = scheme_of(value)
    if scheme is None:
        return None
    hint = "write the plain path" if scheme == "file" else "fetch the file first and give its path"
    return _as_problem(_remote(value, scheme, hint), name, where)


def folder_address(name: str, value: str, where: str) -> Problem | None:
    """What is wrong with the address of a folder for outputs."""
    scheme = scheme_of(value)
    return None if scheme is None else _as_problem(_remote(value, scheme, "give a local folder"), name, where)


def model_address(name: str, value: str, where: str) -> Problem | None:
    """What is wrong with the address of a source model: a folder, ``package://`` or ``models:/``."""
    return _as_problem(_model(value), name, where)


def _model(value: str) -> Finding | None:
    scheme = scheme_of(value)
    if _UNSAFE.search(value):
        return "E-CONFIG-037", "holds a character that no model's name has: ; | & ` $ < > or \\", "check the name"
    if scheme is None:
        return None
    forms = {"package": _PACKAGE, "models": _REGISTERED}
    if scheme not in forms:
        return _remote(value, scheme, "give a folder, package://NAME/path or models:/NAME@alias")
    if ".." in value.replace("//", "/").split("/") or not forms[scheme].fullmatch(value):
        return (
            "E-CONFIG-032",
            "is not of the form it should be",
            "package://NAME/path, models:/NAME@alias or models:/NAME/7",
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
