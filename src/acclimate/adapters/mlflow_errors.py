"""MLflow's failures as acclimate's errors: translated once, here."""

from __future__ import annotations

import difflib
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

from acclimate.errors import AccessError, AcclimateError, ConfigError, ModelError, UnavailableError

Result = TypeVar("Result")

_MESSAGE_LIMIT = 300
_REFUSED = frozenset({"UNAUTHENTICATED", "CUSTOMER_UNAUTHORIZED"})
_ABSENT_FOR_NOW = frozenset(
    {"TEMPORARILY_UNAVAILABLE", "DEADLINE_EXCEEDED", "REQUEST_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED", "INTERNAL_ERROR"}
)
_COLLISION = re.compile(
    r"IntegrityError|UniqueViolation|database is locked|[Dd]eadlock|could not serialize|Giving up after"
    # a racer's run that it has just deleted
    r"|The run \S+ must be in the 'active' state"
)
COLLISION = "E-REGISTRY-015"
_COLLISION_WAITS_SECONDS = (0.05, 0.1, 0.2, 0.4, 0.8)
# dvc://PATH@REVISION has no user in it
_CREDENTIALS = re.compile(r"(?<=://)(?<!dvc://)[^/\s]+@")


def without_credentials(text: str) -> str:
    """``text`` with user names and passwords cut out of every URI in it."""
    return _CREDENTIALS.sub("", text)


def shown(uri: str) -> str:
    """A URI fit to be shown: no user, no password, no query."""
    if not urlsplit(uri).netloc:
        return without_credentials(uri)
    # a password may hold what ends a host: databases take it as it is
    scheme, _, rest = uri.partition("://")
    parts = urlsplit(f"{scheme}://{rest.rpartition('@')[2]}")
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def require_readable(uri: str) -> None:
    """Refuse a server's address in which a part of the password would be taken for the host or the path.

    Args:
        uri: the tracking URI; it is not shown.

    Raises:
        ConfigError: E-REGISTRY-017.
    """
    if uri.startswith(("http://", "https://")) and not _is_readable(uri):
        raise ConfigError(
            "E-REGISTRY-017",
            "the address of the model registry can't be read",
            where="tracking.uri or MLFLOW_TRACKING_URI",
            hint="write special characters of a password in percent-encoding, such as %2F for /; "
            "or set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead",
        )


def _is_readable(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018  # reading it checks it
    except ValueError:
        return False
    return "@" not in parts.path + parts.query + parts.fragment and not any(map(str.isspace, uri))


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn whatever MLflow, its HTTP client or its database raises inside the block into one of our errors.

    Args:
        where: the tracking URI, without credentials.

    Raises:
        UnavailableError: E-REGISTRY-001, the server or the database isn't there or is overloaded.
        AccessError: E-REGISTRY-002, it refused us; E-REGISTRY-005, a web page came instead of JSON.
        ModelError: E-REGISTRY-003, it knows no such run, model or version.
        ConfigError: E-REGISTRY-006, no MLflow at this address; E-REGISTRY-008, a database of another MLflow.
        UnavailableError: E-REGISTRY-015, another process wrote the same row at the same moment.
        AcclimateError: E-REGISTRY-009, anything else MLflow says.
    """
    import requests  # type: ignore[import-untyped]  # its stubs are another package
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        raise _from_mlflow(error, where) from error
    except requests.HTTPError as error:
        raise _from_status(error, where) from error
    except (requests.RequestException, OSError, *_database_errors()) as error:
        raise _unavailable(str(error), where) from error


def _database_errors() -> tuple[type[Exception], ...]:
    """What SQLAlchemy raises; nothing where it is not loaded: a server's client does without, and loading is slow."""
    loaded = sys.modules.get("sqlalchemy.exc")
    return () if loaded is None else (loaded.SQLAlchemyError,)


def repeated(operation: Callable[[], Result], where: str) -> Result:
    """Run an idempotent operation again where it collided with another process's; MLflow's upserts are not atomic.

    Args:
        operation: must do no harm when it is done twice.
        where: see :func:`translated`, whose errors this raises.
    """
    for wait in _COLLISION_WAITS_SECONDS:
        try:
            with translated(where):
                return operation()
        except UnavailableError as error:
            if error.code != COLLISION:
                raise
        # Processes that collided must not all come back at once.
        time.sleep(wait * (1 + os.getpid() % 10 / 10))
    with translated(where):
        return operation()


def is_error(error: BaseException, *codes: str) -> bool:
    """Whether an MLflow exception carries one of MLflow's own error codes."""
    return getattr(error, "error_code", None) in codes


def unknown(kind: str, name: str, known: Iterable[str], where: str) -> ModelError:
    """The error for a model, alias or version that isn't there, with the nearest that are."""
    existing = sorted(known)
    near = difflib.get_close_matches(name, existing, n=3, cutoff=0.5) or existing[:5]
    hint = f"did you mean {', '.join(near)}?" if near else "nothing of the kind has been registered here yet"
    return ModelError("E-REGISTRY-003", f"there is no {kind} {name!r}", where=where, hint=hint)


def _brief(text: str) -> str:
    return without_credentials(" ".join(text.split()))[:_MESSAGE_LIMIT]


def _unavailable(text: str, where: str) -> UnavailableError:
    return UnavailableError(
        "E-REGISTRY-001",
        f"the model registry can't be used now: {_brief(text)}",
        where=where,
        hint="check that the MLflow server runs and can be reached (or that its disk has room), then run again",
    )


def _refused(text: str, where: str, *, known: bool) -> AccessError:
    """Access was refused: to nobody it knows, or to a known account that lacks the permission."""
    hint = (
        "this account lacks the permission: ask for READ on the model and its experiment to use it, MANAGE to register"
        if known
        else "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
    )
    return AccessError("E-REGISTRY-002", f"the model registry refused access: {_brief(text)}", where=where, hint=hint)


def _web_page(where: str) -> AccessError:
    return AccessError(
        "E-REGISTRY-005",
        "the address answered with a web page instead of MLflow's JSON",
        where=where,
        hint="a log-in page stands before the server: set MLFLOW_TRACKING_TOKEN, or use the address behind it",
    )


def _no_mlflow(where: str) -> ConfigError:
    return ConfigError(
        "E-REGISTRY-006",
        "there is no MLflow server at this address",
        where=where,
        hint="check tracking.uri or MLFLOW_TRACKING_URI, its path included",
    )


def _from_status(error: object, where: str) -> AcclimateError:
    status = getattr(getattr(error, "response", None), "status_code", 0)
    if status in (401, 403):
        return _refused(str(error), where, known=status == 403)
    if status == 404:
        return ModelError("E-REGISTRY-003", f"the registry lacks a file: {_brief(str(error))}", where=where)
    return _unavailable(str(error), where)


def _from_mlflow(error: Exception, where: str) -> AcclimateError:
    import requests

    text, code = str(error), str(getattr(error, "error_code", ""))
    if "not in a valid JSON format" in text:
        return _web_page(where)
    if "out-of-date database schema" in text:
        return ConfigError(
            "E-REGISTRY-008",
            "the registry's database was made by another version of MLflow",
            where=where,
            hint="back it up, then: mlflow db upgrade URI",
        )
    if _COLLISION.search(text):
        return UnavailableError(
            COLLISION, f"another process wrote at the same moment: {_brief(text)}", where=where, hint="run again"
        )
    if isinstance(error.__context__, requests.RequestException):
        return _unavailable(text, where)
    answers: dict[str, Callable[[], AcclimateError]] = {
        **dict.fromkeys(_REFUSED, lambda: _refused(text, where, known=False)),
        "PERMISSION_DENIED": lambda: _refused(text, where, known=True),
        **dict.fromkeys(_ABSENT_FOR_NOW, lambda: _unavailable(text, where)),
        "ENDPOINT_NOT_FOUND": lambda: _no_mlflow(where),
        "RESOURCE_DOES_NOT_EXIST": lambda: ModelError("E-REGISTRY-003", _brief(text), where=where),
    }
    fallback = AcclimateError("E-REGISTRY-009", f"the model registry failed ({code}): {_brief(text)}", where=where)
    return answers.get(code, lambda: fallback)()
