"""What is wrong with a value, and where it was written."""

from __future__ import annotations

from typing import Any

from acclimate.config_file.places import Places, dotted
from acclimate.config_file.yaml_nodes import NodePath
from acclimate.errors import Problem

Found = tuple[NodePath, Problem]


def get(raw: Any, *path: str) -> Any:
    """The value at a path, or None where there is none."""
    for part in path:
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def finding(places: Places, path: NodePath, code: str, says: str, hint: str) -> Found:
    """A problem of the value at a path, with its line."""
    return path, Problem(code, f"{dotted(path)} {says}", places.where(path), hint)
