"""What no single key can say: shorthands, options that contradict each other, secrets, what is not built yet.

Works on plain values, so that these problems are shown together with those of single keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from acclimate.config_file.addresses import data_address, folder_address, model_address, tracking_address
from acclimate.config_file.places import Places, dotted
from acclimate.config_file.schema import TRAINED
from acclimate.config_file.secrets import is_secret
from acclimate.config_file.yaml_nodes import NodePath
from acclimate.config_finetune import IMAGE_DEFAULTS, FinetuneSpec
from acclimate.errors import Problem

Found = tuple[NodePath, Problem]
IMAGE_TASK = "image-classification"
# Columns of the ingested tables. Equal to acclimate.examples.COLUMNS, which would import pyarrow here.
RESERVED = ("row_id", "text", "image", "label", "group")


def get(raw: Any, *path: str) -> Any:
    """The value at a path, or None where there is none."""
    for part in path:
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def expand_shorthands(raw: dict[str, Any]) -> None:
    """Write shorthands out in full: ``source: X``, ``finetune.max_epochs: 3``, and what a task has as its defaults."""
    if isinstance(raw.get("source"), str):
        raw["source"] = {"model": raw["source"]}
    if raw.get("task") == IMAGE_TASK:
        _fill(raw, {"finetune": IMAGE_DEFAULTS})
    finetune = raw.get("finetune")
    if not isinstance(finetune, dict) or "max_epochs" not in finetune:
        return
    epochs = finetune["max_epochs"]
    if isinstance(epochs, int) and not isinstance(epochs, bool):
        finetune["max_epochs"] = dict.fromkeys(TRAINED, epochs)
    elif isinstance(epochs, dict):
        finetune["max_epochs"] = {**FinetuneSpec().max_epochs, **epochs}


def _fill(given: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Add what is not given; a value that is no section is left for the checks."""
    for key, default in defaults.items():
        if isinstance(default, Mapping):
            section = given.setdefault(key, {})
            if isinstance(section, dict):
                _fill(section, default)
        else:
            given.setdefault(key, default)


def broken_rules(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    """All problems that concern more than one key's own kind and range."""
    yield from _not_built(raw, places)
    yield from _addresses(raw, places)
    yield from _secrets(raw, places, ())
    for path in (("target",), ("source", "reference"), ("retrain", "fresh")):
        yield from _columns(get(raw, *path), path, places, content=_content(raw))
        yield from _other_content(get(raw, *path), path, places, content=_content(raw))
    yield from _contradictions(raw, places)


def _problem(places: Places, path: NodePath, code: str, says: str, hint: str) -> Found:
    return path, Problem(code, f"{dotted(path)} {says}", places.where(path), hint)


def _not_built(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    if isinstance(raw.get("source"), list):
        says = "is a list; choosing between several source models is not built yet"
        yield _problem(places, ("source",), "E-CONFIG-030", says, "name one model")
    target = raw.get("target")
    if isinstance(target, dict) and "label" in target and target["label"] is None:
        says = "is null; adapting without target labels is not built yet"
        yield _problem(places, ("target", "label"), "E-CONFIG-030", says, "name the column that holds the label")


def _addresses(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    checks = {
        ("target", "data"): data_address,
        ("source", "reference", "data"): data_address,
        ("retrain", "fresh", "data"): data_address,
        ("source", "model"): model_address,
        ("workspace",): folder_address,
        ("tracking", "uri"): tracking_address,
    }
    for path, check in checks.items():
        value = get(raw, *path)
        if not isinstance(value, str) or is_secret(value):
            continue
        problem = check(dotted(path), value, places.where(path))
        if problem:
            yield path, problem


def _secrets(value: Any, places: Places, path: NodePath) -> Iterator[Found]:
    if is_secret(value):
        says = "holds what looks like a secret; it is not shown"
        hint = "delete it and revoke it if this file was shared; secrets are read from environment variables only"
        yield _problem(places, path, "E-CONFIG-034", says, hint)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _secrets(item, places, (*path, key))


def _content(raw: dict[str, Any]) -> str:
    """The role of the column that is classified: ``text`` or ``image``."""
    return "image" if raw.get("task") == IMAGE_TASK else "text"


def _other_content(spec: Any, path: NodePath, places: Places, *, content: str) -> Iterator[Found]:
    """Keys of a table that belong to the other kind of task."""
    if not isinstance(spec, dict):
        return
    task = f"{content}-classification"
    # a resolved configuration holds all keys at their defaults
    others = {"text": "text", "encoding": "utf-8"} if content == "image" else {"image": "image"}
    for key, default in others.items():
        if spec.get(key, default) != default:
            yield _problem(places, (*path, key), "E-CONFIG-035", f"has no meaning for task {task}", "leave it out")
    formats = ("csv", "tsv", "jsonl") if content == "image" else ("image-folder",)
    if spec.get("format") in formats:
        says = f"is {spec['format']}, which task {task} does not read"
        hint = "write image-folder or parquet" if content == "image" else "write csv, tsv, jsonl or parquet"
        yield _problem(places, (*path, "format"), "E-CONFIG-035", says, hint)


def _columns(spec: Any, path: NodePath, places: Places, *, content: str) -> Iterator[Found]:
    """Roles of columns: no column has two, and slices keep clear of the names of our own columns."""
    if not isinstance(spec, dict):
        return
    taken: dict[str, str] = {}
    for role in (content, "label", "group", "split"):
        name = spec.get(role, role if role in {content, "label"} else None)
        if not isinstance(name, str):
            continue
        if name in taken:
            at = (*path, role) if role in spec else (*path, taken[name])
            says = f"is the column {name[:60]!r}, which is the {taken[name]} already"
            yield _problem(places, at, "E-CONFIG-035", says, "name another column")
        taken.setdefault(name, role)
    yield from _slices(spec.get("slices"), {column for column, role in taken.items() if role != "group"}, path, places)


def _slices(names: Any, taken: set[str], path: NodePath, places: Places) -> Iterator[Found]:
    seen: set[str] = set()
    for i, name in enumerate(names if isinstance(names, list) else ()):
        at = (*path, "slices", i)
        if repr(name) in seen:
            yield _problem(places, at, "E-CONFIG-035", "names a column twice", "keep one of them")
        elif isinstance(name, str) and (name in taken or name in RESERVED):
            says = f"is {name[:60]!r}, a name that slices can't have"
            yield _problem(places, at, "E-CONFIG-035", says, "name a column other than text, label, split and row_id")
        seen.add(repr(name))


def _contradictions(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    def wrong(path: NodePath, says: str, hint: str) -> Found:
        return _problem(places, path, "E-CONFIG-035", says, hint)

    arms = get(raw, "finetune", "arms")
    if isinstance(arms, list):
        if not arms:
            yield wrong(("finetune", "arms"), "is an empty list", "leave it out, or write [frozen] to train nothing")
        elif any(arms.index(arm) != i for i, arm in enumerate(arms)):
            yield wrong(("finetune", "arms"), "names a strategy twice", "keep one of them")
    epochs = get(raw, "finetune", "max_epochs")
    if isinstance(epochs, dict) and "frozen" in epochs:
        yield wrong(
            ("finetune", "max_epochs", "frozen"), "caps a strategy that is never trained", f"cap {', '.join(TRAINED)}"
        )
    for section, key, what in (
        ("goal", "min_gain", "no gain can be larger than 1"),
        ("gate", "margin", "every model would pass"),
        ("finetune", "warmup", "the rate would never reach its peak"),
    ):
        value = get(raw, section, key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 1:
            yield wrong((section, key), f"is 1: {what}", "write a share well below 1, e.g. 0.01 for one per cent")
    goal = raw.get("goal")
    if isinstance(goal, dict) and goal.get("at_least_by") == "lower" and goal.get("at_least") is None:
        yield wrong(("goal", "at_least_by"), "says how to reach goal.at_least, which is not given", "give at_least too")
    yield from _smallest_gain(raw, wrong)


def _smallest_gain(raw: dict[str, Any], wrong: Callable[[NodePath, str, str], Found]) -> Iterator[Found]:
    least, gain = get(raw, "goal", "at_least"), get(raw, "goal", "min_gain")
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (least, gain))
    if numbers and 0 < least < gain <= 1:
        says = f"is {least:g}, below goal.min_gain, which is {gain:g}"
        yield wrong(("goal", "at_least"), says, "at_least is the score to reach, min_gain a difference of scores")
