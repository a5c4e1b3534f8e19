"""Reads an adaptation.yaml: all problems at once, each with its line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from acclimate.config import Adaptation
from acclimate.config_file.findings import Found
from acclimate.config_file.overrides import apply_overrides
from acclimate.config_file.paths import project_root
from acclimate.config_file.places import Places
from acclimate.config_file.policy_rules import fill_policy
from acclimate.config_file.rules import broken_rules, expand_shorthands
from acclimate.config_file.task_rules import fill_task_defaults
from acclimate.config_file.wording import in_our_words, nearest
from acclimate.config_file.yaml_nodes import MAX_BYTES, Document, NodePath, decode_yaml, parse_yaml
from acclimate.errors import ConfigError, Problem

MAX_PROBLEMS = 50


@dataclass(frozen=True)
class LoadedConfig:
    """A valid configuration and where it came from.

    Args:
        config: the configuration, defaults filled in.
        root: project root: nearest folder upwards with .git or dvc.yaml, else the YAML's own.
        path: the YAML, absolute.
        raw: plain values as written, overrides and shorthands written out, no defaults but those of its task.
        places: line of each key, for errors found later.
    """

    config: Adaptation
    root: Path
    path: Path
    raw: dict[str, Any]
    places: Places


def load_config(path: Path, overrides: Sequence[str] = (), *, allow_outside: bool = False) -> LoadedConfig:
    """Read and check an adaptation.yaml.

    Args:
        path: the YAML.
        overrides: ``section.key=value`` settings that replace the file's.
        allow_outside: the gate's policy may lie outside the project root.

    Returns:
        The configuration with its project root.

    Raises:
        ConfigError: E-CONFIG-001 to -041, E-GATE-002; all problems at once, in the order of their lines.
    """
    path = Path(path)
    name = str(path)
    text, unreadable = decode_yaml(_read(path), name)
    document = parse_yaml(text, lambda line: f"{name}:{line}") if not unreadable else Document()
    places = Places(name, document.lines)
    found = [(line, problem) for line, problem in document.problems]
    found += [(0, problem) for problem in unreadable]
    raw = document.value
    if not isinstance(raw, dict):
        raw = {}
        if not found:
            found.append((0, _not_a_mapping(document.value, text, name)))
        raise _error(found)
    expand_shorthands(raw)
    found += [(1 << 30, problem) for problem in apply_overrides(raw, overrides, places)]
    expand_shorthands(raw)
    fill_task_defaults(raw)
    home = path.absolute().parent.resolve()
    root = project_root(home)
    unmet = fill_policy(raw, places, home, root, allow_outside=allow_outside)
    config, invalid = _validate(raw, places)
    invalid = [*invalid, *broken_rules(raw, places), *unmet]
    found += [(places.order(at), problem) for at, problem in _without(invalid, document.unusable)]
    if found or config is None:
        raise _error(found)
    return LoadedConfig(config, root, home / path.name, raw, places)


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise ConfigError(
                "E-CONFIG-001",
                "this is a folder, not a file",
                where=str(path),
                hint=f"name the file: {path}/adaptation.yaml",
            )
        if path.exists() and not path.is_file():
            raise ConfigError("E-CONFIG-001", "this is not a regular file", where=str(path), hint="name a YAML file")
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        here = path.parent if path.parent.is_dir() else Path()
        meant = nearest(path.name, (entry.name for entry in here.glob("*.y*ml")))
        hint = f"did you mean {here / meant}?" if meant else "write one with: acclimate init"
        raise ConfigError("E-CONFIG-001", "the file is not there", where=str(path), hint=hint) from error
    except (OSError, ValueError) as error:
        raise ConfigError(
            "E-CONFIG-001", f"the file can't be read: {error}", where=str(path)[:200], hint="check its permissions"
        ) from error


def _not_a_mapping(value: Any, text: str, name: str) -> Problem:
    hint = "start with: acclimate init"
    if value is None and not any(line.strip() and not line.lstrip().startswith("#") for line in text.split("\n")):
        return Problem("E-CONFIG-006", "the file is empty", f"{name}:1", hint)
    kind = "a list" if isinstance(value, list) else "a single value"
    return Problem("E-CONFIG-007", f"the file holds {kind}, not `key: value` lines", f"{name}:1", hint)


def _validate(raw: dict[str, Any], places: Places) -> tuple[Adaptation | None, list[Found]]:
    try:
        return Adaptation.model_validate(raw), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=False)
        found = [(tuple(detail["loc"]), in_our_words(dict(detail), places)) for detail in details]
        return None, found


def _without(found: Sequence[Found], unusable: set[NodePath]) -> list[Found]:
    """Leave out what concerns values that were refused already, and what two rules found at one place."""
    kept: dict[NodePath, Found] = {}
    for path, problem in found:
        if any(path[: len(bad)] == bad for bad in unusable):
            continue
        known = kept.get(path)
        if known is None or (problem.code == "E-CONFIG-030" and known[1].code == "E-CONFIG-022"):
            kept[path] = (path, problem)
    return list(kept.values())


def _error(found: Sequence[tuple[float, Problem]]) -> ConfigError:
    problems = [problem for _, problem in sorted(found, key=lambda entry: entry[0] if entry[0] else -math.inf)]
    if len(problems) > MAX_PROBLEMS:
        left = len(problems) - MAX_PROBLEMS
        rest = Problem("E-CONFIG-041", f"{left} more problems are not shown", problems[-1].where, "mend these first")
        problems = [*problems[:MAX_PROBLEMS], rest]
    error = ConfigError.of(problems)
    assert isinstance(error, ConfigError)
    return error
