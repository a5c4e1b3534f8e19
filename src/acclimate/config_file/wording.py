"""Pydantic's findings in our words: code, place, valid range, did-you-mean."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from acclimate.config_file.places import Places, dotted
from acclimate.config_file.schema import about, all_paths, in_words, keys_at, node_at
from acclimate.config_file.secrets import is_secret_name, shown
from acclimate.config_file.yaml_nodes import NodePath
from acclimate.errors import Problem

_WRONG_KIND = (
    "string_type", "int_type", "float_type", "bool_type", "list_type", "dict_type", "model_type", "int_from_float"
)  # fmt: skip


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    found = difflib.get_close_matches(word.lower()[:100], list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def unknown_key(path: NodePath, where: str, name: str) -> Problem:
    """The problem of a key that the schema doesn't have, with what was probably meant."""
    name = name[:120]
    key, siblings = str(path[-1]), keys_at(path[:-1])
    if is_secret_name(key):
        return Problem(
            "E-CONFIG-034",
            f"{name} looks like a secret; its value is not shown",
            where,
            "delete it here; secrets are read from environment variables only",
        )
    elsewhere = [dotted(other) for other in all_paths() if other[-1] == key]
    meant = nearest(key, siblings) or (elsewhere[0] if elsewhere else None)
    hint = f"did you mean {meant}?" if meant else f"known here: {', '.join(siblings)}"
    return Problem("E-CONFIG-020", f"unknown key {name}", where, hint)


def in_our_words(error: dict[str, Any], places: Places) -> Problem:
    """Translate one entry of ``ValidationError.errors()``."""
    kind = error["type"]
    path: NodePath = tuple(part for part in error["loc"] if part != "[key]")
    where, name = places.where(path), places.named(path)
    if kind == "extra_forbidden" or error["loc"][-1] == "[key]":
        return unknown_key(path, where, name)
    node = node_at(path) or {}
    meaning = about(node)
    if kind == "missing":
        hint = f"add {name}: {meaning}" if meaning else f"add {name}"
        return Problem("E-CONFIG-021", f"{name} is missing", where, hint)
    code, hint = _code_and_hint(kind, error["input"], node)
    if kind in {"string_too_short", "too_short"}:
        return Problem(code, f"{name} is empty", where, hint)
    valid = in_words(node)
    return Problem(
        code, f"{name} is {shown(error['input'])}, but must be {valid}", where, hint or meaning or f"write {valid}"
    )


def _code_and_hint(kind: str, value: Any, node: dict[str, Any]) -> tuple[str, str]:
    if kind in _WRONG_KIND:
        return "E-CONFIG-022", _kind_hint(kind, value)
    if kind == "literal_error":
        meant = nearest(str(value), map(str, node.get("enum", ())))
        return "E-CONFIG-024", f"did you mean {meant}?" if meant else ""
    if kind in {"string_too_short", "too_short"}:
        return "E-CONFIG-025", f"leave it out, or write {in_words(node)}"
    if kind == "string_pattern_mismatch":
        return "E-CONFIG-025", f"e.g. {_as_name(value)}"
    return "E-CONFIG-023", _range_hint(node, value)


def _kind_hint(kind: str, value: Any) -> str:
    if kind == "string_type":
        if value is None:
            return "write a value, or leave the key out"
        return "put quotes around it" if not isinstance(value, (dict, list)) else ""
    if kind in {"int_type", "float_type"} and isinstance(value, str):
        return "write it without quotes" if _is_number(value) else ""
    if kind in {"model_type", "dict_type"}:
        return "write {key: value}, or indent the keys below it"
    if kind == "list_type" and isinstance(value, str):
        return f"write [{value}]" if len(value) < 60 else "write a list"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _range_hint(node: dict[str, Any], value: Any) -> str:
    if node.get("maximum") == 1 and isinstance(value, (int, float)) and 1 < value <= 100:
        return f"it is a share: for {value:g} % write {value / 100:g}"
    return ""


def _as_name(value: Any) -> str:
    kept = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "-" for c in str(value).lower()[:60])
    return kept.strip("-._") or "my-model"
