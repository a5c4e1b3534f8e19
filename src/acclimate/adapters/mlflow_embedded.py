"""Reads the embedded registry's versions straight from its SQLite file.

Importing MLflow and opening its store takes seconds, which a rerun that finds everything done would pay twice for one
question. The answer is tested to be that of MLflow's own client; a file that can't be read this way is left to it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from acclimate.adapters.mlflow_tags import RUN_KEY, VERDICT
from acclimate.adapters.mlflow_versions import without_leftovers
from acclimate.registry import RegisteredVersion

_VERSIONS = "SELECT version FROM model_versions WHERE name = ? AND current_stage != 'Deleted_Internal' ORDER BY version"
_TAGS = "SELECT version, key, value FROM model_version_tags WHERE name = ?"
_ALIASES = "SELECT version, alias FROM registered_model_aliases WHERE name = ? ORDER BY alias"


def read_versions(database: Path, name: str) -> list[RegisteredVersion] | None:
    """Live versions of a model, lowest first.

    Args:
        database: the SQLite file; where it does not exist there are no versions yet, and it is not created.
        name: the registered model.

    Returns:
        The versions; None where the file's tables are not those of the MLflow this was written for.
    """
    if not database.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=30)) as connection:
            numbers = [int(row[0]) for row in connection.execute(_VERSIONS, (name,))]
            tags: dict[int, dict[str, str]] = {number: {} for number in numbers}
            for number, key, value in connection.execute(_TAGS, (name,)):
                tags.setdefault(int(number), {})[key] = value
            pointed = [(int(number), str(alias)) for number, alias in connection.execute(_ALIASES, (name,))]
    except sqlite3.OperationalError:
        return None
    found = [
        RegisteredVersion(
            name=name,
            version=number,
            run_key=tags[number].get(RUN_KEY, ""),
            verdict=tags[number].get(VERDICT, ""),
            aliases=tuple(alias for of, alias in pointed if of == number),
            tags=tags[number],
        )
        for number in numbers
    ]
    return without_leftovers(found)
