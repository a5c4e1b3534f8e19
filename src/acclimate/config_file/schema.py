"""The schema of adaptation.yaml: looked up by path, described in words, exported as JSON schema."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any, get_args

from acclimate.config import Adaptation
from acclimate.config_finetune import Strategy

TRAINED = tuple(name for name in get_args(Strategy) if name != "frozen")

_PATTERNS = {
    r"^[a-z0-9][a-z0-9._-]{0,99}$": "up to 100 lower-case letters, digits, dots, hyphens or underscores, "
    "the first a letter or digit"
}
Node = dict[str, Any]


@cache
def _root() -> Node:
    return Adaptation.model_json_schema()


def _resolved(node: Node) -> Node:
    """Follow a reference and set apart the null of an optional value, and further forms that a value may have."""
    while True:
        if "$ref" in node:
            node = _root()["$defs"][node["$ref"].rsplit("/", 1)[1]]
        elif "anyOf" in node:
            kept = [option for option in node["anyOf"] if option.get("type") != "null"]
            forms = {"nullable": len(kept) < len(node["anyOf"]), "otherwise": kept[1:]}
            node = {**kept[0], **forms, **({"about": node["description"]} if "description" in node else {})}
        else:
            return node


def node_at(path: tuple[str | int, ...]) -> Node | None:
    """Schema of the value at a path, or None where there is none."""
    node = _resolved(_root())
    for part in path:
        if isinstance(part, int):
            found = node.get("items")
        elif part in node.get("properties", {}):
            found = node["properties"][part]
        elif part in node.get("propertyNames", {}).get("enum", ()):
            found = node["additionalProperties"]
        else:
            found = None
        if found is None:
            return None
        node = _resolved(found)
    return node


def keys_at(path: tuple[str | int, ...]) -> list[str]:
    """Keys that the mapping at a path may have."""
    node = node_at(path) or {}
    return [*node.get("properties", {}), *node.get("propertyNames", {}).get("enum", ())]


def all_paths(path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every path a user may write, sections before their keys."""
    for key in keys_at(path):
        yield (*path, key)
        yield from all_paths((*path, key))


def about(node: Node) -> str:
    """What the value means."""
    return str(node.get("about") or node.get("description") or "")


def in_words(node: Node) -> str:
    """The valid values in words, e.g. ``a whole number from 1 to 1024``."""
    words = ", or ".join(_kind_in_words(_resolved(form)) for form in (node, *node.get("otherwise", ())))
    return f"{words}, or null" if node.get("nullable") else words


def _kind_in_words(node: Node) -> str:
    if "enum" in node:
        return "one of " + ", ".join(map(str, node["enum"]))
    kind = node.get("type")
    if kind in {"integer", "number"}:
        return ("a whole number" if kind == "integer" else "a number") + _range_in_words(node)
    if kind == "array":
        return f"a list{_count_in_words(node)}, each entry {_kind_in_words(_resolved(node['items']))}"
    if kind == "object":
        return "a section with the keys " + ", ".join(
            [*node.get("properties", {}), *node.get("propertyNames", {}).get("enum", ())]
        )
    if "pattern" in node:
        return _PATTERNS.get(node["pattern"], f"text of the form {node['pattern']}")
    text = f"text of at most {node['maxLength']} characters" if "maxLength" in node else "text"
    return {"boolean": "true or false", "string": text}.get(str(kind), "another value")


def _count_in_words(node: Node) -> str:
    most = node.get("maxItems")
    if most is None:
        return ""
    return f" of {most}" if node.get("minItems") == most else f" of at most {most}"


def _range_in_words(node: Node) -> str:
    low, high = node.get("minimum"), node.get("maximum")
    if low is not None and high is not None:
        return f" from {low:.12g} to {high:.12g}"
    parts = []
    if low is not None:
        parts.append(f" of at least {low:.12g}")
    if "exclusiveMinimum" in node:
        parts.append(f" above {node['exclusiveMinimum']:.12g}")
    if high is not None:
        parts.append(f" of at most {high:.12g}")
    if "exclusiveMaximum" in node:
        parts.append(f" below {node['exclusiveMaximum']:.12g}")
    return " and".join(parts)


def config_schema() -> dict[str, Any]:
    """JSON schema of adaptation.yaml, with the shorthands that :func:`load_config` accepts, for editors."""
    schema = deepcopy(_root())
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "adaptation.yaml"
    source = schema["properties"]["source"]
    shorthand = {"type": "string", "minLength": 1, "description": "the model alone, short for `model`"}
    schema["properties"]["source"] = {"anyOf": [source, shorthand]}
    finetune = schema["$defs"]["FinetuneSpec"]["properties"]
    number = {"type": "integer", "minimum": 1, "maximum": 1000, "description": "the same for every strategy"}
    finetune["max_epochs"] = {
        "anyOf": [finetune["max_epochs"], number],
        "description": finetune["max_epochs"].get("description", ""),
    }
    return schema
