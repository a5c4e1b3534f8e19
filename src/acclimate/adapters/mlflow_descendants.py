"""Which versions were made from a source model or from data, directly or by way of other adapted models.

Leftovers of a registration that was cut off are among them: what is withdrawn must not come back by them.
Each question is a search by tag, so that its cost grows with what is found and not with the registry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from acclimate.adapters.mlflow_client import Connection, every
from acclimate.adapters.mlflow_errors import unknown
from acclimate.adapters.mlflow_sources import SOURCE_PREFIX
from acclimate.adapters.mlflow_tags import (
    DATA_DIGEST,
    KIND,
    POOL_DIGEST,
    REFERENCE_DIGEST,
    SOURCE_DIGEST,
    SOURCE_MODEL,
)
from acclimate.adapters.mlflow_versions import all_versions, find_version, registered
from acclimate.errors import ConfigError
from acclimate.registry import Descendant, RegisteredVersion

_DIGEST = re.compile(r"[0-9a-f]{12,64}")
_TABLES = {DATA_DIGEST: "target", REFERENCE_DIGEST: "reference", POOL_DIGEST: "pool"}


def of_source(connection: Connection, reference: str) -> list[Descendant]:
    """What was made from a source model.

    Args:
        connection: the registry.
        reference: ``SOURCE`` or ``SOURCE@REVISION`` as ``lineage`` shows them, the beginning of a source's digest, or
            an adapted model ``NAME/VERSION``, which belongs to what is found.

    Raises:
        ModelError: E-REGISTRY-003, the registry knows no such source.
    """
    meant = _meant(connection, reference)
    itself = [Descendant(one, one.tags[SOURCE_MODEL]) for one in meant if SOURCE_MODEL in one.tags]
    return [*itself, *_below(connection, [(one.model_uri, one.model_uri) for one in meant])]


def of_data(connection: Connection, digest: str) -> list[Descendant]:
    """What was made from rows: those trained or tested on them, and whatever was adapted from these.

    Args:
        connection: the registry.
        digest: of a target, reference or pool as ``lineage`` shows it, or its beginning.

    Raises:
        ConfigError: E-RECALL-001, it is no digest.
    """
    if not _DIGEST.fullmatch(digest):
        raise _no_digest(digest)
    found = [
        Descendant(version, f"{table} rows {version.tags[tag][:12]}")
        for tag, table in _TABLES.items()
        for version in _tagged(connection, tag, digest)
    ]
    return _unique([*found, *_below(connection, [(one.version.model_uri, one.version.model_uri) for one in found])])


def _meant(connection: Connection, reference: str) -> list[RegisteredVersion]:
    if _DIGEST.fullmatch(reference):
        found = [one for one in _tagged(connection, SOURCE_DIGEST, reference) if one.tags.get(KIND) == "source model"]
        if found:
            return found
    name, _, revision = reference.removeprefix("models:/").partition("@")
    if "/" in name:
        return [find_version(connection, name, leftovers=True)]
    source = name if name.startswith(SOURCE_PREFIX) else f"{SOURCE_PREFIX}{name}"
    versions = all_versions(connection, source)
    if not versions:
        known = [one.name for one in every(connection.client.search_registered_models)]
        sources = [one.removeprefix(SOURCE_PREFIX) for one in known if one.startswith(SOURCE_PREFIX)]
        raise unknown("source model", name, sources, connection.shown_uri)
    chosen = [one for one in versions if revision in ("", one.tags.get("acclimate.revision"))]
    if not chosen:
        raise unknown("revision", revision, [one.tags.get("acclimate.revision", "") for one in versions], source)
    return chosen


def _below(connection: Connection, parents: list[tuple[str, str]]) -> list[Descendant]:
    """Breadth first; each parent is a model's URI and the way to it, oldest first."""
    found: list[Descendant] = []
    seen = {uri for uri, _ in parents}
    while parents:
        uri, way = parents.pop(0)
        for version in _tagged(connection, SOURCE_MODEL, uri):
            if version.model_uri not in seen:
                seen.add(version.model_uri)
                found.append(Descendant(version, way))
                parents.append((version.model_uri, f"{way} > {version.model_uri}"))
    return found


def _tagged(connection: Connection, tag: str, value: str) -> list[RegisteredVersion]:
    """Live versions of any name whose tag is a value, or begins with it where that is the beginning of a digest."""
    quoted = value.replace("'", "")
    compared = f"LIKE '{quoted}%'" if _DIGEST.fullmatch(value) else f"= '{quoted}'"
    search = connection.client.search_model_versions
    aliases: dict[str, dict[str, int]] = {}

    def page(page_token: Any) -> Any:
        return search(f"tags.`{tag}` {compared}", page_token=page_token)

    found = list(every(page))
    for name in {one.name for one in found}:
        model = connection.client.get_registered_model(name)
        aliases[name] = {alias: int(version) for alias, version in model.aliases.items()}
    versions = (registered(one, aliases[one.name]) for one in found)
    return sorted(versions, key=lambda one: (one.name, one.version))


def _unique(found: Iterable[Descendant]) -> list[Descendant]:
    return list({one.version.model_uri: one for one in reversed(list(found))}.values())[::-1]


def _no_digest(digest: str) -> ConfigError:
    return ConfigError(
        "E-RECALL-001",
        "this is no digest of data",
        where=digest[:100],
        hint="12 to 64 hexadecimal digits, as acclimate lineage shows them after sha256:",
    )
