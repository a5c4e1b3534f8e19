"""Digests: of files, of plain data, and of the code that a stage runs."""

from __future__ import annotations

import ast
import hashlib
import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def data_digest(data: Any) -> str:
    """sha256 of plain data as canonical JSON (sorted keys, no spaces, no NaN), hexadecimal."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


@cache
def code_digest(module: str) -> str:
    """sha256 over the sources of a module and of every acclimate module it imports, directly or not.

    Args:
        module: dotted name, e.g. ``acclimate.stages.gap``. Nothing is imported but its parent packages.
    """
    seen: dict[str, str] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source_of(name)
        if name in seen or path is None:
            continue
        source = path.read_bytes()
        seen[name] = hashlib.sha256(source).hexdigest()
        waiting.extend(_imports(source))
    return data_digest(seen)


@cache
def _source_of(name: str) -> Path | None:
    root = find_spec("acclimate")
    if root is None or not root.submodule_search_locations:
        return None
    parts = name.split(".")[1:]
    base = Path(root.submodule_search_locations[0]).joinpath(*parts)
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file() and parts:
            return path
    return None


def _imports(source: bytes) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("acclimate.")]
