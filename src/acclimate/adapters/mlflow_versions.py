"""Model versions: at most one live version a run key, and aliases that never move backwards.

MLflow has neither idempotency keys nor compare-and-swap: see docs/decisions/0004-registration-protocol.md.
"""

from __future__ import annotations

import re
from typing import Any

from acclimate.adapters.mlflow_artifacts import registered_model
from acclimate.adapters.mlflow_client import Connection, every
from acclimate.adapters.mlflow_errors import is_error, unknown
from acclimate.adapters.mlflow_tags import CHALLENGER, CHAMPION, RUN_KEY, VERDICT
from acclimate.errors import UnavailableError
from acclimate.ports import RegisteredVersion

_CHAMPION_VERSION = re.compile(r"(?:champion\s+)?(?:models:/)?([^/\s@]+)/(\d+)")
_REFERENCE = re.compile(r"(?:models:/)?([^/@]+)(?:@([^/@]+)|/(\d+))?")


def live_versions(connection: Connection, name: str) -> list[RegisteredVersion]:
    """Versions of a model with their aliases, lowest first; empty when the name is unknown."""
    client = connection.client
    found = list(every(lambda page_token: client.search_model_versions(f"name = '{name}'", page_token=page_token)))
    pointed = aliases(connection, name) if found else {}
    return sorted((registered(one, pointed) for one in found), key=lambda one: one.version)


def aliases(connection: Connection, name: str) -> dict[str, int]:
    """Version each alias of a model points at."""
    return {alias: int(version) for alias, version in connection.client.get_registered_model(name).aliases.items()}


def find_version(connection: Connection, reference: str) -> RegisteredVersion:
    """The version somebody means.

    Args:
        connection: the registry.
        reference: ``NAME`` (its highest version), ``NAME@alias`` or ``NAME/7``; ``models:/`` may stand before it.

    Raises:
        ModelError: E-REGISTRY-003, there is no such model, alias or version.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise unknown("model reference", reference[:200], [], connection.shown_uri)
    name, alias, number = match.groups()
    registered_model(connection, name)
    versions = live_versions(connection, name)
    if alias is not None:
        aliased = next((one for one in versions if alias in one.aliases), None)
        if aliased is None:
            raise unknown("alias", alias, {known for one in versions for known in one.aliases}, f"models:/{name}")
        return aliased
    wanted = int(number) if number else max((one.version for one in versions), default=0)
    numbered = next((one for one in versions if one.version == wanted), None)
    if numbered is None:
        raise unknown("version", str(wanted), [str(one.version) for one in versions], f"models:/{name}")
    return numbered


def registered(version: Any, pointed: dict[str, int]) -> RegisteredVersion:
    """MLflow's version as ours.

    Args:
        version: as MLflow gives it.
        pointed: version each alias of its model points at.
    """
    number, tags = int(version.version), dict(version.tags)
    return RegisteredVersion(
        name=version.name,
        version=number,
        run_key=tags.get(RUN_KEY, ""),
        verdict=tags.get(VERDICT, ""),
        aliases=tuple(sorted(alias for alias, of in pointed.items() if of == number)),
        tags=tags,
    )


def ensure_registered_model(connection: Connection, name: str, tags: dict[str, str]) -> None:
    """Create a registered model unless it exists."""
    from mlflow.exceptions import MlflowException

    try:
        connection.client.create_registered_model(name, tags=tags)
    except MlflowException as error:
        if not is_error(error, "RESOURCE_ALREADY_EXISTS", "ALREADY_EXISTS"):
            raise


def ensure_version(
    connection: Connection, name: str, key: tuple[str, str], source: dict[str, Any], tags: dict[str, str]
) -> tuple[RegisteredVersion, bool]:
    """The one live version that carries ``key``, created when absent.

    Create if absent, list again, the lowest wins, the rest is deleted. Numbers only grow and a racer lists after it
    created, so all racers that see each other agree, and a version that won before is never the one that is deleted.

    Args:
        connection: the registry.
        name: registered model, which exists.
        key: tag name and value that identify the version.
        source: ``source``, ``run_id`` and ``model_id`` for ``create_model_version``.
        tags: further tags of a new version.

    Returns:
        The version, and whether this call created it.
    """
    made = None
    found = _carrying(connection, name, key)
    if not found:
        made = connection.client.create_model_version(name, tags={**tags, key[0]: key[1]}, **source)
        found = _carrying(connection, name, key)
    if not found:
        raise UnavailableError(
            "E-REGISTRY-013",
            "a version that was just registered is gone again",
            where=name,
            hint="somebody deletes versions of this model; run again",
        )
    winner, *rest = found
    for loser in rest:
        delete_version(connection, name, loser.version)
    return winner, made is not None and int(made.version) == winner.version


def _carrying(connection: Connection, name: str, key: tuple[str, str]) -> list[RegisteredVersion]:
    return [one for one in live_versions(connection, name) if one.tags.get(key[0]) == key[1]]


def delete_version(connection: Connection, name: str, version: int) -> None:
    """Delete a version, unless somebody did already."""
    from mlflow.exceptions import MlflowException

    try:
        connection.client.delete_model_version(name, str(version))
    except MlflowException as error:
        if not is_error(error, "RESOURCE_DOES_NOT_EXIST"):
            raise


def set_tags(connection: Connection, version: RegisteredVersion, tags: dict[str, str]) -> None:
    """Write those tags of a version that differ."""
    for name, value in tags.items():
        if version.tags.get(name) != value:
            connection.client.set_model_version_tag(version.name, str(version.version), name, value)


def make_challenger(connection: Connection, version: RegisteredVersion) -> None:
    """Point ``challenger`` at a version unless it points at it or at a later one; hold the alias lock."""
    if aliases(connection, version.name).get(CHALLENGER, 0) < version.version:
        connection.client.set_registered_model_alias(version.name, CHALLENGER, str(version.version))


def no_challenger(connection: Connection, version: RegisteredVersion) -> None:
    """Take ``challenger`` away from a version that has it; hold the alias lock."""
    if aliases(connection, version.name).get(CHALLENGER) == version.version:
        connection.client.delete_registered_model_alias(version.name, CHALLENGER)


def check_champion(connection: Connection, name: str, expected: int | None, key: tuple[str, str]) -> None:
    """The champion's version must be the expected one (None: nobody) or carry our own key.

    Raises:
        UnavailableError: E-REGISTRY-020, it moved since the candidate was compared with it.
    """
    current = aliases(connection, name).get(CHAMPION)
    if current == expected:
        return
    # looked for after the alias was read: who has the same key may have made that version only just now
    if all(one.version != current for one in _carrying(connection, name, key)):
        raise champion_moved(name, expected, current)


def champion_moved(name: str, expected: int | None, found: int | None) -> UnavailableError:
    """E-REGISTRY-020: the champion moved since the candidate was compared with it."""
    return UnavailableError(
        "E-REGISTRY-020",
        f"the champion moved while this candidate was being compared: expected {expected}, found {found}",
        where=name,
        hint="run again: the candidate is then compared with the present champion",
    )


def expected_champion(name: str, comparator: str) -> int | None:
    """Version of the champion the candidate was compared with; None where there was none.

    Args:
        name: the registered model.
        comparator: :attr:`acclimate.records.Evaluation.comparator`.
    """
    match = _CHAMPION_VERSION.fullmatch(comparator)
    return int(match[2]) if match and match[1] == name else None
