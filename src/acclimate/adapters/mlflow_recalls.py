"""What was recalled, so that nothing new that is made from it gets an alias.

Promotion logs hold what was done to versions; that a source or rows are withdrawn has to hold for versions that are not
there yet, and after the ones that are were deleted. So it is kept by digest, as tags of one internal registered model:
one request reads them all. See docs/decisions/0026-recall.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field, ValidationError

from acclimate.adapters.mlflow_ancestors import origin
from acclimate.adapters.mlflow_client import Connection
from acclimate.adapters.mlflow_errors import is_error
from acclimate.adapters.mlflow_tags import KIND
from acclimate.adapters.mlflow_versions import ensure_registered_model
from acclimate.errors import AccessError, IntegrityError, RefusalError
from acclimate.records import Record
from acclimate.registry import RegisteredVersion

RECALLS = "acclimate--recalls"
_TAG = "acclimate.recalled."


class Recalled(Record):
    """That something must not be used any more."""

    source: str | None = Field(description="source or adapted model as it was named; null where it is data")
    data: str | None = Field(description="digest of rows as it was given; null where it is a model")
    by: str
    reason: str

    @property
    def told(self) -> str:
        """What was recalled, by whom and why."""
        return f"{self.source or f'data {self.data}'}, recalled by {self.by}: {self.reason}"


def withdraw(connection: Connection, digests: Iterable[str], recall: Recalled) -> None:
    """Let nothing made from any of it get an alias.

    Args:
        connection: the registry.
        digests: of models or rows, or their beginnings.
        recall: what is told of it.
    """
    ensure_registered_model(connection, RECALLS, {KIND: "what was recalled"})
    for digest in digests:
        connection.client.set_registered_model_tag(RECALLS, f"{_TAG}{digest}", recall.model_dump_json())


def restore(connection: Connection, digests: Iterable[str]) -> None:
    """Undo :func:`withdraw`."""
    lifted = list(digests)
    for digest in recalled(connection):
        if any(_same(digest, one) for one in lifted):
            connection.client.delete_registered_model_tag(RECALLS, f"{_TAG}{digest}")


def recalled(connection: Connection) -> dict[str, Recalled]:
    """All that is recalled, by digest or its beginning.

    Raises:
        AccessError: E-RECALL-004, this account may not read it.
        IntegrityError: E-RECALL-005, somebody changed it.
    """
    from mlflow.exceptions import MlflowException

    try:
        tags = connection.client.get_registered_model(RECALLS).tags
    except MlflowException as error:
        if is_error(error, "PERMISSION_DENIED"):
            raise AccessError(
                "E-RECALL-004",
                "this account may not read what was recalled, so nothing can get an alias",
                where=f"{connection.shown_uri}, registered model {RECALLS}",
                hint=f"ask for READ on the registered model {RECALLS}, and EDIT to recall",
            ) from error
        if not is_error(error, "RESOURCE_DOES_NOT_EXIST"):
            raise
        return {}
    return {name.removeprefix(_TAG): _read(name, text) for name, text in tags.items() if name.startswith(_TAG)}


def one_of(connection: Connection, digests: Iterable[str]) -> Recalled | None:
    """What is recalled of some models or rows, given by their digests or the beginnings of these."""
    known, asked = recalled(connection), list(digests)
    return next((recall for digest, recall in known.items() if any(_same(digest, one) for one in asked)), None)


def behind(connection: Connection, version: RegisteredVersion) -> Recalled | None:
    """Something recalled that a version is, or was made from in any number of steps."""
    return one_of(connection, origin(connection, version))


def require_free(connection: Connection, version: RegisteredVersion) -> None:
    """Refuse a version with something recalled behind it: E-PROMOTE-012."""
    recall = behind(connection, version)
    if recall is not None:
        named = recall.source or f"--data {recall.data}"
        raise RefusalError(
            "E-PROMOTE-012",
            f"it was made from {recall.told}",
            where=version.model_uri,
            hint=f"if that does not hold any more: acclimate recall {named} --lift --reason WHY",
        )


def _read(name: str, text: str) -> Recalled:
    try:
        return Recalled.model_validate_json(text)
    except ValidationError as error:
        raise IntegrityError(
            "E-RECALL-005",
            "what was recalled can't be read: somebody changed it in MLflow",
            where=f"registered model {RECALLS}, tag {name}",
            hint="delete the tag in MLflow, then recall it again: acclimate recall --block",
        ) from error


def _same(one: str, other: str) -> bool:
    return one.startswith(other) or other.startswith(one)
