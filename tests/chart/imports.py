"""What acclimate imports, and what its extras bring."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def normal(name: str) -> str:
    """A distribution's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def named(extra: str) -> set[str]:
    """What an extra names, the extras in it included; without a name, what is always installed."""
    found = set[str]()
    for line in PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]:
        requirement = Requirement(line)
        ours = requirement.name == PROJECT["name"]
        found |= set().union(*map(named, requirement.extras)) if ours else {normal(requirement.name)}
    return found


def brought(names: set[str]) -> set[str]:
    """These distributions and all that they need, as far as they are installed here."""
    found, left = set[str](), list(names)
    while left:
        name = normal(left.pop())
        if name in found:
            continue
        found.add(name)
        try:
            wanted = [Requirement(line) for line in metadata.requires(name) or ()]
        except metadata.PackageNotFoundError:
            continue
        left += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def imported() -> set[str]:
    """Top-level modules of others that acclimate imports anywhere."""
    found = set[str]()
    for path in (ROOT / "src" / "acclimate").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"acclimate"}
