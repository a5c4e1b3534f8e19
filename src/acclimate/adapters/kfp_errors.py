"""Kubeflow Pipelines' failures as acclimate's errors: translated once, here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from acclimate.errors import AccessError, AcclimateError, ConfigError, UnavailableError

_MESSAGE_LIMIT = 300
_BUSY = (408, 429, 500, 502, 503, 504)


class NotThere(ConfigError):
    """E-KFP-006: it knows no such object."""


class Taken(ConfigError):
    """E-KFP-007: there is such an object already, or it is in another state."""


_REFUSALS: dict[int, tuple[type[AcclimateError], str, str, str]] = {
    401: (
        AccessError,
        "E-KFP-003",
        "does not know us",
        "set KFP_TOKEN, KFP_TOKEN_FILE or KFP_COOKIES; a token may have expired",
    ),
    403: (
        AccessError,
        "E-KFP-004",
        "refused access",
        "ask for the role in that namespace, or give another one with --namespace",
    ),
    404: (
        NotThere,
        "E-KFP-006",
        "knows no such thing",
        "acclimate runs and acclimate schedule list show what is there",
    ),
    409: (Taken, "E-KFP-007", "says it exists already or has changed", "look at it, then run again"),
}
_FAILED = (
    UnavailableError,
    "E-KFP-008",
    "failed",
    "it is overloaded or broken; try again later, and look at the logs of ml-pipeline",
)
_REFUSED = (ConfigError, "E-KFP-009", "refused the request", "acclimate is made for KFP 2.17; is yours as new?")


def unreachable(error: Exception, where: str) -> UnavailableError:
    """E-KFP-001: no connection, or none that lasted."""
    return UnavailableError(
        "E-KFP-001",
        f"Kubeflow Pipelines can't be reached: {_brief(str(error))}",
        where=where,
        hint="check the endpoint and that ml-pipeline runs (kubectl get pods -n kubeflow), then run again",
    )


def untrusted(error: Exception, where: str) -> ConfigError:
    """E-KFP-011: its certificate isn't one we trust."""
    return ConfigError(
        "E-KFP-011",
        f"no safe connection to Kubeflow Pipelines: {_brief(str(error))}",
        where=where,
        hint="set KFP_CA_FILE to the certificate authority's file; certificates are always checked",
    )


def login_page(where: str) -> AccessError:
    """E-KFP-005: a page for people came, or the way to one."""
    return AccessError(
        "E-KFP-005",
        "the address answered with a web page or a redirection instead of KFP's JSON",
        where=where,
        hint="a log-in page stands before it: set KFP_TOKEN, KFP_TOKEN_FILE or KFP_COOKIES, or go to what is behind it",
    )


def malformed(where: str) -> UnavailableError:
    """E-KFP-010: neither JSON nor a page."""
    return UnavailableError(
        "E-KFP-010",
        "Kubeflow Pipelines' answer is not JSON, or only part of it",
        where=where,
        hint="a proxy may have cut it; run again, and check that the endpoint is KFP's API",
    )


def refusal(status: int, headers: Mapping[str, str], body: bytes, where: str) -> AcclimateError:
    """The error for an HTTP status that isn't success.

    Args:
        status: the status.
        headers: the answer's.
        body: the answer's.
        where: method and address.
    """
    text = _said(body)
    if 300 <= status < 400 or (status not in (401, 403, *_BUSY) and is_page(headers, body)):
        return login_page(where)
    if status == 404 and not text:
        hint = "check --endpoint or KFP_ENDPOINT, its path included"
        return ConfigError("E-KFP-002", "there is no Kubeflow Pipelines API at this address", where=where, hint=hint)
    kind, code, says, hint = _REFUSALS.get(status, _FAILED if status in _BUSY else _REFUSED)
    return kind(code, f"Kubeflow Pipelines {says} ({status}){text}", where=where, hint=hint)


def is_page(headers: Mapping[str, str], body: bytes) -> bool:
    """Whether an answer is HTML, whatever it calls itself."""
    return "html" in headers.get("Content-Type", "").lower() or body.lstrip()[:1] == b"<"


def _said(body: bytes) -> str:
    """``: MESSAGE`` of KFP's JSON error, or nothing."""
    try:
        found: Any = json.loads(body)
    except ValueError:
        return ""
    if not isinstance(found, dict):
        return ""
    text = found.get("message") or found.get("error_message") or found.get("error") or ""
    return f": {_brief(str(text))}" if text else ""


def _brief(text: str) -> str:
    return " ".join(text.split())[:_MESSAGE_LIMIT]
