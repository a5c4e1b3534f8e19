"""What a version was made from in all steps, as one tag of its own: a model that is deleted on the way hides nothing.

The tag holds the beginnings of digests: of models, of sources and of rows, nearest first. 16 hexadecimal digits tell
more things apart than a registry ever holds, and a chain of models that grows by one every night stays short enough.
"""

from __future__ import annotations

from collections import deque

from acclimate.adapters.mlflow_client import Connection
from acclimate.adapters.mlflow_search import adapted_as, tagged
from acclimate.adapters.mlflow_tags import (
    ANCESTORS,
    DATA_DIGEST,
    MODEL_DIGEST,
    POOL_DIGEST,
    REFERENCE_DIGEST,
    SOURCE_DIGEST,
    SOURCE_MODEL,
)
from acclimate.adapters.mlflow_versions import version_at
from acclimate.registry import RegisteredVersion

TABLES = {DATA_DIGEST: "target", REFERENCE_DIGEST: "reference", POOL_DIGEST: "pool"}
_OWN = (MODEL_DIGEST, SOURCE_DIGEST, *TABLES)
_DIGITS = 16
# some databases hold 65,535 bytes in a tag: the oldest are left out of a chain of thousands of models
_MOST = 3500


def ancestors_tag(connection: Connection, source_model_uri: str, source_digest: str) -> str:
    """What a model made from a source has behind it.

    Args:
        connection: the registry.
        source_model_uri: ``models:/NAME/VERSION`` of what it is made from.
        source_digest: of its bytes.
    """
    found: dict[str, None] = {source_digest[:_DIGITS]: None}
    seen: set[str] = set()
    waiting = deque([(source_model_uri, source_digest)])
    while waiting:
        for parent in _parents(connection, *waiting.popleft()):
            if parent.model_uri in seen:
                continue
            seen.add(parent.model_uri)
            found |= dict.fromkeys(one[:_DIGITS] for one in _own(parent))
            if ANCESTORS in parent.tags:
                found |= dict.fromkeys(parent.tags[ANCESTORS].split())
            elif SOURCE_MODEL in parent.tags:
                waiting.append((parent.tags[SOURCE_MODEL], parent.tags.get(SOURCE_DIGEST, "")))
    return " ".join(list(found)[:_MOST])


def origin(connection: Connection, version: RegisteredVersion) -> list[str]:
    """Digests of a version, of its rows and of all that it was made from, or their beginnings."""
    behind = version.tags.get(ANCESTORS)
    if behind is None and SOURCE_MODEL in version.tags:
        behind = ancestors_tag(connection, version.tags[SOURCE_MODEL], version.tags.get(SOURCE_DIGEST, ""))
    return [*_own(version), *(behind or "").split()]


def having_behind_them(connection: Connection, digest: str) -> list[RegisteredVersion]:
    """Versions in whose tag a digest is, given as a whole or by its beginning."""
    sought = digest[:_DIGITS]
    found = tagged(connection, ANCESTORS, sought, anywhere=True)
    return [one for one in found if any(each.startswith(sought) for each in one.tags[ANCESTORS].split())]


def _own(version: RegisteredVersion) -> list[str]:
    return [version.tags[tag] for tag in _OWN if version.tags.get(tag)]


def _parents(connection: Connection, uri: str, digest: str) -> list[RegisteredVersion]:
    named = version_at(connection, uri)
    return [*([named] if named else []), *adapted_as(connection, digest)]
