"""Searches for versions of any name by one of their tags: what they cost grows with what is found."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from acclimate.adapters.mlflow_client import Connection, every
from acclimate.adapters.mlflow_tags import MODEL_DIGEST, SOURCE_DIGEST, SOURCE_MODEL
from acclimate.adapters.mlflow_versions import aliases, registered
from acclimate.registry import RegisteredVersion

DIGEST = re.compile(r"[0-9a-f]{12,64}")


def tagged(connection: Connection, tag: str, value: str, *, anywhere: bool = False) -> list[RegisteredVersion]:
    """Live versions by name and number, without their aliases: see :func:`with_aliases`.

    Args:
        connection: the registry.
        tag: name of the tag.
        value: its value; of a digest, the beginning.
        anywhere: the value stands anywhere in the tag.
    """
    quoted = value.replace("'", "")
    begins = DIGEST.fullmatch(value) is not None
    compared = f"LIKE '%{quoted}%'" if anywhere else f"LIKE '{quoted}%'" if begins else f"= '{quoted}'"
    search = partial(connection.client.search_model_versions, f"tags.`{tag}` {compared}")
    return sorted((registered(one, {}) for one in every(search)), key=lambda one: (one.name, one.version))


def with_aliases(connection: Connection, versions: Iterable[RegisteredVersion]) -> list[RegisteredVersion]:
    """The same versions with their aliases; each name is asked for once."""
    pointed: dict[str, dict[str, int]] = {}
    found = []
    for one in versions:
        if one.name not in pointed:
            pointed[one.name] = aliases(connection, one.name)
        mine = sorted(alias for alias, of in pointed[one.name].items() if of == one.version)
        found.append(replace(one, aliases=tuple(mine)))
    return found


def digest_of(version: RegisteredVersion) -> str:
    """sha256 of a model's own bytes; empty where the registry does not know it."""
    return version.tags.get(MODEL_DIGEST if SOURCE_MODEL in version.tags else SOURCE_DIGEST, "")


def adapted_as(connection: Connection, digest: str) -> list[RegisteredVersion]:
    """Adapted models with these very bytes: what was made from a copy of one was made from it."""
    return tagged(connection, MODEL_DIGEST, digest) if digest else []


def made_from(connection: Connection, model_uri: str, digest: str) -> list[RegisteredVersion]:
    """What was made directly from a model, by its address or from a copy of its bytes, and such copies themselves.

    Args:
        connection: the registry.
        model_uri: ``models:/NAME/VERSION``; empty where it has none.
        digest: of its bytes, or the beginning of it; empty where it is not known.
    """
    found = [
        *(tagged(connection, SOURCE_MODEL, model_uri) if model_uri else []),
        *(tagged(connection, SOURCE_DIGEST, digest) if digest else []),
    ]
    return [one for one in {each.model_uri: each for each in found}.values() if one.model_uri != model_uri]
