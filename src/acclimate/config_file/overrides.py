"""``-s section.key=value``: settings from the command line, checked like those of the file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from acclimate.config_file.places import Places, dotted
from acclimate.config_file.schema import all_paths, keys_at, node_at
from acclimate.config_file.secrets import is_secret_name
from acclimate.config_file.wording import nearest, unknown_key
from acclimate.config_file.yaml_nodes import parse_yaml
from acclimate.errors import Problem


def apply_overrides(raw: dict[str, Any], overrides: Sequence[str], places: Places) -> list[Problem]:
    """Set each override in ``raw``, and note it in ``places``.

    Args:
        raw: the plain values of the file, changed in place.
        overrides: ``path=value``; the value is read by the YAML rules of the file.
        places: told which paths come from the command line.

    Returns:
        What is wrong with the overrides themselves.
    """
    problems: list[Problem] = []
    for text in overrides:
        problems += _apply(raw, text, places)
    return problems


def _apply(raw: dict[str, Any], text: str, places: Places) -> list[Problem]:
    name, equals, value_text = text.partition("=")
    path = tuple(name.strip().split("."))
    where = f"-s {dotted(path)[:120]}"
    if not equals or not all(path):
        hint = "write -s section.key=value, e.g. -s finetune.lora.rank=8"
        return [Problem("E-CONFIG-040", "an override has no path or no value", where, hint)]
    if node_at(path) is None:
        return [_unknown(path, where)]
    document = parse_yaml(value_text, lambda _: where)
    if document.problems:
        return [problem for _, problem in document.problems]
    node = raw
    for part in path[:-1]:
        inner = node.get(part)
        if not isinstance(inner, dict):
            inner = node[part] = {}
        node = inner
    node[path[-1]] = document.value
    places.overrides.add(path)
    return []


def _unknown(path: tuple[str, ...], where: str) -> Problem:
    known = next(end for end in range(len(path)) if node_at(path[: end + 1]) is None)
    if keys_at(path[:known]) and not is_secret_name(path[-1]):
        meant = nearest(dotted(path), map(dotted, all_paths()))
        if meant:
            return Problem("E-CONFIG-020", f"unknown key {dotted(path)[:120]}", where, f"did you mean {meant}?")
    shown = path[: known + 1] if not is_secret_name(path[-1]) else path
    return unknown_key(shown, where, dotted(shown))
