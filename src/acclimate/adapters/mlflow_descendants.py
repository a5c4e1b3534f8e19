"""Which versions were made from a source model or from data, directly or by way of other adapted models.

Leftovers of a registration that was cut off are among them: what is withdrawn must not come back by them.
Each question is a search by tag, so that its cost grows with what is found and not with the registry. Models are
followed by address and by digest, so that one made from a copy is found, and last by what versions have behind them,
so that one is found whose parent was deleted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from acclimate.adapters.mlflow_ancestors import TABLES, having_behind_them
from acclimate.adapters.mlflow_client import Connection, every
from acclimate.adapters.mlflow_errors import unknown
from acclimate.adapters.mlflow_search import DIGEST, adapted_as, digest_of, made_from, tagged, with_aliases
from acclimate.adapters.mlflow_sources import SOURCE_PREFIX
from acclimate.adapters.mlflow_tags import KIND, SOURCE_DIGEST, SOURCE_KIND, SOURCE_MODEL
from acclimate.adapters.mlflow_versions import all_versions, find_version
from acclimate.errors import ConfigError, ModelError
from acclimate.registry import Descendant, RegisteredVersion


@dataclass(frozen=True)
class Meant:
    """A model, or rows, whose descendants are asked for.

    Args:
        uri: ``models:/NAME/VERSION``; empty for rows, and for a model that is known by its digest only.
        digest: of its bytes, or the beginning of it.
        way: how it is told of, with what it was made from before it.
        version: the live version; None where there is none.
    """

    uri: str
    digest: str
    way: str
    version: RegisteredVersion | None = None

    @classmethod
    def of(cls, version: RegisteredVersion, way: str = "") -> Meant:
        """A live version, with the way to it."""
        uri = version.model_uri
        return cls(uri, digest_of(version), f"{way} > {uri}" if way else uri, version)


def of_source(connection: Connection, reference: str) -> list[Descendant]:
    """What was made from a source model.

    Args:
        connection: the registry.
        reference: see :func:`meant_by`; an adapted model belongs to what is found.

    Raises:
        ModelError: E-REGISTRY-003, the registry knows no such source.
    """
    meant = meant_by(connection, reference)
    versions = [one.version for one in meant if one.version is not None]
    itself = [Descendant(one, one.tags[SOURCE_MODEL]) for one in versions if SOURCE_MODEL in one.tags]
    return _pointed(connection, [*itself, *_below(connection, meant)])


def of_data(connection: Connection, digest: str) -> list[Descendant]:
    """What was made from rows: those trained or tested on them, and whatever was adapted from these.

    Args:
        connection: the registry.
        digest: of a target, reference or pool as ``lineage`` shows it, or its beginning.

    Raises:
        ConfigError: E-RECALL-001, it is no digest.
    """
    require_digest(digest)
    found = _unique(
        Descendant(version, f"{table} rows {version.tags[tag][:12]}")
        for tag, table in TABLES.items()
        for version in tagged(connection, tag, digest)
    )
    rows = Meant("", digest, f"rows {digest[:12]}")
    below = _below(connection, [Meant.of(one.version) for one in found], [rows])
    return _pointed(connection, [*found, *below])


def require_digest(digest: str) -> None:
    """Refuse what is no digest of rows: E-RECALL-001."""
    if not DIGEST.fullmatch(digest):
        raise ConfigError(
            "E-RECALL-001",
            "this is no digest of data",
            where=digest[:100],
            hint="12 to 64 hexadecimal digits, as acclimate lineage shows them after sha256:",
        )


def meant_by(connection: Connection, reference: str) -> list[Meant]:
    """The models that somebody means, with others of the same bytes.

    One that was deleted is meant too, by its digest or number, if something was made from it.

    Args:
        connection: the registry.
        reference: ``SOURCE`` or ``SOURCE@REVISION`` as ``lineage`` shows them, the beginning of a model's digest, or
            an adapted model ``NAME/VERSION``.

    Raises:
        ModelError: E-REGISTRY-003, the registry knows no such source.
    """
    named = _named(connection, reference)
    same = [one for each in named for one in adapted_as(connection, each.digest)]
    return list({one.uri: one for one in [*map(Meant.of, same), *named]}.values())


def _named(connection: Connection, reference: str) -> list[Meant]:
    if DIGEST.fullmatch(reference):
        found = _by_digest(connection, reference)
        if found:
            return found
    name, _, revision = reference.removeprefix("models:/").partition("@")
    if "/" in name:
        return [_by_number(connection, name)]
    source = name if name.startswith(SOURCE_PREFIX) else f"{SOURCE_PREFIX}{name}"
    versions = all_versions(connection, source)
    if not versions:
        known = [one.name for one in every(connection.client.search_registered_models)]
        sources = [one.removeprefix(SOURCE_PREFIX) for one in known if one.startswith(SOURCE_PREFIX)]
        raise unknown("source model", name, sources, connection.shown_uri)
    chosen = [one for one in versions if revision in ("", one.tags.get("acclimate.revision"))]
    if not chosen:
        raise unknown("revision", revision, [one.tags.get("acclimate.revision", "") for one in versions], source)
    return [Meant.of(one) for one in chosen]


def _by_digest(connection: Connection, digest: str) -> list[Meant]:
    carrying = tagged(connection, SOURCE_DIGEST, digest)
    live = [one for one in carrying if one.tags.get(KIND) == SOURCE_KIND] or adapted_as(connection, digest)
    if live or not (carrying or having_behind_them(connection, digest)):
        return [Meant.of(one) for one in live]
    return [Meant("", digest, f"deleted model {digest[:12]}")]


def _by_number(connection: Connection, name: str) -> Meant:
    try:
        return Meant.of(find_version(connection, name, leftovers=True))
    except ModelError:
        uri = f"models:/{name}"
        children = tagged(connection, SOURCE_MODEL, uri)
        if not children:
            raise
        return Meant(uri, children[0].tags.get(SOURCE_DIGEST, ""), f"{uri} (deleted)")


def _below(connection: Connection, models: list[Meant], rows: Iterable[Meant] = ()) -> list[Descendant]:
    """Breadth first along what was made from what; then what has any of it behind it all the same."""
    found: list[Descendant] = []
    seen = {one.uri for one in models}
    direct, later = deque(models), deque(rows)
    while direct or later:
        if direct:
            parent, between = direct.popleft(), False
            made = made_from(connection, parent.uri, parent.digest)
            later.append(parent)
        else:
            parent, between = later.popleft(), True
            made = having_behind_them(connection, parent.digest) if parent.digest else []
        for version in made:
            if version.model_uri in seen:
                continue
            seen.add(version.model_uri)
            way = f"{parent.way} > ... > {version.tags.get(SOURCE_MODEL, '')}" if between else parent.way
            direct.append(Meant.of(version, way))
            if version.tags.get(KIND) != SOURCE_KIND:
                found.append(Descendant(version, way))
    return found


def _pointed(connection: Connection, found: list[Descendant]) -> list[Descendant]:
    versions = with_aliases(connection, (one.version for one in found))
    return [replace(one, version=version) for one, version in zip(found, versions, strict=True)]


def _unique(found: Iterable[Descendant]) -> list[Descendant]:
    return list({one.version.model_uri: one for one in reversed(list(found))}.values())[::-1]
