"""Model versions: at most one live version a run key, and aliases that never move backwards.

MLflow has neither idempotency keys nor compare-and-swap: see docs/decisions/0004-registration-protocol.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from acclimate.adapters.mlflow_artifacts import registered_model
from acclimate.adapters.mlflow_client import Connection, every
from acclimate.adapters.mlflow_errors import is_error, unknown
from acclimate.adapters.mlflow_tags import CHALLENGER, CHAMPION, RUN_KEY, VERDICT
from acclimate.errors import UnavailableError
from acclimate.registry import RegisteredVersion

_CHAMPION_VERSION = re.compile(r"(?:champion\s+)?(?:models:/)?([^/\s@]+)/(\d+)")
# databases refuse to compare with a larger one
_MAX_NUMBER = 2**31 - 1
_REFERENCE = re.compile(r"(?:models:/)?([^/@]+)(?:@([^/@]+)|/(\d+))?")


def live_versions(connection: Connection, name: str) -> list[RegisteredVersion]:
    """Versions of a model with their aliases, lowest first, without leftovers; empty when the name is unknown."""
    return without_leftovers(all_versions(connection, name))


def without_leftovers(versions: list[RegisteredVersion]) -> list[RegisteredVersion]:
    """Versions less each without alias whose run key a lower one of the same model carries.

    Such a one is left where a registrar was cut off, or gave up, before it could delete it. Nothing of acclimate's
    gives it an alias; the next registration of that run key deletes it.

    Args:
        versions: of any models, lowest first.
    """
    first: dict[tuple[str, str], int] = {}
    for one in versions:
        first.setdefault((one.name, one.run_key), one.version)
    return [one for one in versions if not one.run_key or one.aliases or first[one.name, one.run_key] == one.version]


def all_versions(connection: Connection, name: str) -> list[RegisteredVersion]:
    """Versions of a model as MLflow has them, leftovers too, lowest first; empty when the name is unknown."""
    client = connection.client
    found = list(every(lambda page_token: client.search_model_versions(f"name = '{name}'", page_token=page_token)))
    pointed = aliases(connection, name) if found else {}
    return sorted((registered(one, pointed) for one in found), key=lambda one: one.version)


def live_version(connection: Connection, name: str, number: int) -> RegisteredVersion | None:
    """One version of a model with its aliases; None where the name or the number is unknown, or it was deleted."""
    found = _one_live(connection, name, number)
    return None if found is None else registered(found, aliases(connection, name))


def version_at(connection: Connection, uri: str) -> RegisteredVersion | None:
    """The version behind ``models:/NAME/VERSION``; None where that is no such address, or it was deleted."""
    name, _, number = uri.removeprefix("models:/").rpartition("/")
    return live_version(connection, name, int(number)) if number.isdigit() else None


def _one_live(connection: Connection, name: str, number: int | None) -> Any | None:
    """MLflow's version of that number, by default the highest: however many there are, it gives one."""
    if number is not None and number > _MAX_NUMBER:
        return None
    having = f"name = '{name}'" + ("" if number is None else f" AND version_number = {number}")
    search = connection.client.search_model_versions
    return next(iter(search(having, max_results=1, order_by=["version_number DESC"])), None)


def aliases(connection: Connection, name: str) -> dict[str, int]:
    """Version each alias of a model points at."""
    return _pointed(connection.client.get_registered_model(name))


def _pointed(model: Any) -> dict[str, int]:
    return {alias: int(version) for alias, version in model.aliases.items()}


def find_version(connection: Connection, reference: str, *, leftovers: bool = False) -> RegisteredVersion:
    """The version somebody means.

    Args:
        connection: the registry.
        reference: ``NAME`` (its highest version), ``NAME@alias`` or ``NAME/7``; ``models:/`` may stand before it.
        leftovers: a number may mean one, see :func:`without_leftovers`.

    Raises:
        ModelError: E-REGISTRY-003, there is no such model, alias or version.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise unknown("model reference", reference[:200], [], connection.shown_uri)
    name, alias, number = match.groups()
    pointed = _pointed(registered_model(connection, name))
    if alias is not None and alias not in pointed:
        raise unknown("alias", alias, pointed, f"models:/{name}")
    wanted = pointed[alias] if alias else int(number) if number else None
    found = _one_live(connection, name, wanted)
    version = None if found is None else registered(found, pointed)
    if version is None or (_is_leftover(connection, version) and not (leftovers and number)):
        live = live_versions(connection, name)
        if wanted is not None or not live:
            raise unknown("version", str(wanted or 0), [str(one.version) for one in live], f"models:/{name}")
        version = live[-1]
    return version


def _is_leftover(connection: Connection, version: RegisteredVersion) -> bool:
    if not version.run_key or version.aliases:
        return False
    having = f"name = '{version.name}' AND tags.`{RUN_KEY}` = '{version.run_key}'"
    found = connection.client.search_model_versions(having)
    return any(int(one.version) < version.version for one in found)


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
        if not loser.aliases:  # somebody's hand gave it one
            delete_version(connection, name, loser.version)
    return winner, made is not None and int(made.version) == winner.version


def _carrying(connection: Connection, name: str, key: tuple[str, str]) -> list[RegisteredVersion]:
    return [one for one in all_versions(connection, name) if one.tags.get(key[0]) == key[1]]


def delete_version(connection: Connection, name: str, version: int) -> None:
    """Delete a version, unless somebody did already."""
    from mlflow.exceptions import MlflowException

    try:
        connection.client.delete_model_version(name, str(version))
    except MlflowException as error:
        if not is_error(error, "RESOURCE_DOES_NOT_EXIST"):
            raise


def set_tags(connection: Connection, version: RegisteredVersion, tags: Mapping[str, str | None]) -> None:
    """Write those tags of a version that differ; None takes one away."""
    of = version.name, str(version.version)
    for name, value in tags.items():
        if value is None and name in version.tags:
            connection.client.delete_model_version_tag(*of, name)
        elif value is not None and version.tags.get(name) != value:
            connection.client.set_model_version_tag(*of, name, value)


def make_challenger(connection: Connection, version: RegisteredVersion) -> None:
    """Point ``challenger`` at a version unless it points at it or at a later one; hold the alias lock."""
    if aliases(connection, version.name).get(CHALLENGER, 0) < version.version:
        connection.client.set_registered_model_alias(version.name, CHALLENGER, str(version.version))


def no_challenger(connection: Connection, name: str, version: int) -> None:
    """Take ``challenger`` away from a version that has it; hold the alias lock."""
    if aliases(connection, name).get(CHALLENGER) == version:
        connection.client.delete_registered_model_alias(name, CHALLENGER)


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
