"""Where each value of a configuration was written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from acclimate.config_file.yaml_nodes import NodePath


def dotted(path: Iterable[str | int]) -> str:
    """A path as users write it: ``finetune.arms[0]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


@dataclass
class Places:
    """Lines of the YAML file, and the overrides that replaced them.

    Args:
        name: the file as the user named it.
        lines: line of each key, counted from 1.
        overrides: paths set by ``-s``.
        inside: of a file that holds a part of a configuration, the path of that part.
    """

    name: str
    lines: dict[NodePath, int]
    overrides: set[NodePath] = field(default_factory=set)
    inside: NodePath = ()

    def named(self, path: NodePath) -> str:
        """A path as users write it in this file."""
        return dotted(path[len(self.inside) :])

    def where(self, path: NodePath) -> str:
        """``file:line`` of the value, or of the nearest section above it; ``-s path`` for an override."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.overrides:
                return f"-s {dotted(path[:end])}"
            if path[:end] in self.lines:
                return f"{self.name}:{self.lines[path[:end]]}"
        return f"{self.name}:1"

    def order(self, path: NodePath) -> int:
        """Sort key: by line, overrides last."""
        for end in range(len(path), 0, -1):
            if path[:end] in self.overrides:
                return 1 << 30
            if path[:end] in self.lines:
                return self.lines[path[:end]]
        return 0
