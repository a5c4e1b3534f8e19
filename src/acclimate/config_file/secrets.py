"""What looks like a secret, so that it is refused and never shown."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

_NAMES = re.compile(
    r"pass(word|wd|phrase)?$|secret|(^|_|-)token|api[_-]?key|access[_-]?key|private[_-]?key|credential", re.IGNORECASE
)
_VALUES = re.compile(
    r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|\bhf_[A-Za-z0-9]{16,}|\bgh[pousr]_[A-Za-z0-9]{16,}|\bgithub_pat_\w{16,}|\bglpat-[\w-]{16,}"
    r"|\bsk-(proj-|ant-[a-z0-9]+-)?[A-Za-z0-9]{20,}|\bxox[abprs]-[\w-]{10,}|\bdapi[0-9a-f]{32}\b|\bAIza[\w-]{30,}|\bpypi-[\w-]{30,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.|-----BEGIN [A-Z ]*PRIVATE KEY|\bBearer\s+\S{12,}"
)
# a URI may stand inside another one, as the repository of dvc://
_PASSWORD = re.compile(r"://[^/@\s?]*:[^/@\s]+@")
_SIGNED = re.compile(r"^(x-amz-(signature|security-token|credential)|sig|signature|token|access_token|key|password)$")


def is_secret_name(name: str) -> bool:
    """Whether a key's name says that its value is a secret."""
    return _NAMES.search(name) is not None


def is_secret(value: Any) -> bool:
    """Whether a value is a token, a key, or a URI with a password or signature in it."""
    if not isinstance(value, str):
        return False
    plain = unquote(value)
    if _VALUES.search(plain) or _PASSWORD.search(plain):
        return True
    if "://" not in value:
        return False
    try:
        parts = urlsplit(value)
        password = parts.password
    except ValueError:
        return "@" in value
    return password is not None or any(_SIGNED.match(name.lower()) for name, _ in parse_qsl(parts.query))


def shown(value: Any) -> str:
    """A value as it may appear in a message: short, and never a secret."""
    if is_secret(value):
        return "(a secret, not shown)"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (dict, list)):
        return "a section" if isinstance(value, dict) else "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
