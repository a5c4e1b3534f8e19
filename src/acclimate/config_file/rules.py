"""What no single key can say: shorthands, options that contradict each other, secrets, what is not built yet.

Works on plain values, so that these problems are shown together with those of single keys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from acclimate.config_file.addresses import data_address, folder_address, model_address, tracking_address
from acclimate.config_file.findings import Found, finding, get
from acclimate.config_file.places import Places, dotted
from acclimate.config_file.schema import TRAINED
from acclimate.config_file.secrets import is_secret
from acclimate.config_file.task_rules import GENERATION_TASK, TABLES, content_of, other_tasks
from acclimate.config_file.yaml_nodes import NodePath
from acclimate.config_finetune import FinetuneSpec

# Columns of the ingested tables. Equal to acclimate.examples.COLUMNS, which would import pyarrow here.
RESERVED = ("row_id", "text", "image", "label", "answer", "group")

#: Strategies that work on whole weights only, as :data:`acclimate.nn.strategies.STRATEGIES` say.
NOT_SHARDED = ("adapter", "prefix", "gradual", "tapt")


def expand_shorthands(raw: dict[str, Any]) -> None:
    """Write shorthands out in full: ``source: X``, ``finetune.max_epochs: 3``."""
    if isinstance(raw.get("source"), str):
        raw["source"] = {"model": raw["source"]}
    finetune = raw.get("finetune")
    if not isinstance(finetune, dict) or "max_epochs" not in finetune:
        return
    epochs = finetune["max_epochs"]
    if isinstance(epochs, int) and not isinstance(epochs, bool):
        finetune["max_epochs"] = dict.fromkeys(TRAINED, epochs)
    elif isinstance(epochs, dict):
        finetune["max_epochs"] = {**FinetuneSpec().max_epochs, **epochs}


def broken_rules(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    """All problems that concern more than one key's own kind and range."""
    yield from _not_built(raw, places)
    yield from _addresses(raw, places)
    yield from _secrets(raw, places, ())
    yield from other_tasks(raw, places)
    for path in TABLES:
        yield from _columns(get(raw, *path), path, places, content=content_of(raw))
    if isinstance(pool := raw.get("pool"), dict):
        yield from _columns({**pool, "label": None}, ("pool",), places, content="text")
    yield from _contradictions(raw, places)


def _not_built(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    if isinstance(raw.get("source"), list):
        says = "is a list; choosing between several source models is not built yet"
        yield finding(places, ("source",), "E-CONFIG-030", says, "name one model")
    target = raw.get("target")
    labelled = raw.get("task") != GENERATION_TASK
    if labelled and isinstance(target, dict) and "label" in target and target["label"] is None:
        says = "is null; adapting without target labels is not built yet"
        yield finding(places, ("target", "label"), "E-CONFIG-030", says, "name the column that holds the label")


def _addresses(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    checks = {
        ("target", "data"): data_address,
        ("source", "reference", "data"): data_address,
        ("pool", "data"): data_address,
        ("retrain", "fresh", "data"): data_address,
        ("source", "model"): model_address,
        ("workspace",): folder_address,
        ("gate", "promotions"): folder_address,
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
        yield finding(places, path, "E-CONFIG-034", says, hint)
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from _secrets(item, places, (*path, key))


def _columns(spec: Any, path: NodePath, places: Places, *, content: str) -> Iterator[Found]:
    """Roles of columns: no column has two, and slices keep clear of the names of our own columns."""
    if not isinstance(spec, dict):
        return
    taken: dict[str, str] = {}
    for role in (content, "label", "answer", "group", "split"):
        name = spec.get(role, role if role in {content, "label"} else None)
        if not isinstance(name, str):
            continue
        if name in taken:
            at = (*path, role) if role in spec else (*path, taken[name])
            says = f"is the column {name[:60]!r}, which is the {taken[name]} already"
            yield finding(places, at, "E-CONFIG-035", says, "name another column")
        taken.setdefault(name, role)
    yield from _slices(spec.get("slices"), {column for column, role in taken.items() if role != "group"}, path, places)


def _slices(names: Any, taken: set[str], path: NodePath, places: Places) -> Iterator[Found]:
    seen: set[str] = set()
    for i, name in enumerate(names if isinstance(names, list) else ()):
        at = (*path, "slices", i)
        if repr(name) in seen:
            yield finding(places, at, "E-CONFIG-035", "names a column twice", "keep one of them")
        elif isinstance(name, str) and (name in taken or name in RESERVED):
            says = f"is {name[:60]!r}, a name that slices can't have"
            yield finding(places, at, "E-CONFIG-035", says, "name a column other than text, label, split and row_id")
        seen.add(repr(name))


def _contradictions(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    def wrong(path: NodePath, says: str, hint: str) -> Found:
        return finding(places, path, "E-CONFIG-035", says, hint)

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
        ("finetune", "warmup", "the rate would never reach its peak"),
    ):
        value = get(raw, section, key)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value == 1:
            yield wrong((section, key), f"is 1: {what}", "write a share well below 1, e.g. 0.01 for one per cent")
    goal = raw.get("goal")
    if isinstance(goal, dict) and goal.get("at_least_by") == "lower" and goal.get("at_least") is None:
        yield wrong(("goal", "at_least_by"), "says how to reach goal.at_least, which is not given", "give at_least too")
    yield from _smallest_gain(raw, wrong)
    anew = get(raw, "finetune", "full", "reinitialise")
    if isinstance(anew, int) and anew > 0:
        for path in _penalties(raw, ("delta", "lwf")):
            says = "holds outputs near the source's, which full does not start from with finetune.full.reinitialise"
            yield wrong(path, says, "set one of the two to 0")
    if get(raw, "compute", "sharded") is True:
        yield from _sharding(raw, wrong)


def _sharding(raw: dict[str, Any], wrong: Callable[[NodePath, str, str], Found]) -> Iterator[Found]:
    """What does not train on weights that are shared out among workers; training refuses the same."""
    workers = get(raw, "compute", "workers")
    fewest = workers[0] if isinstance(workers, list) and workers else workers
    if fewest is None or (isinstance(fewest, int) and fewest < 2):
        says = "is true, and one worker has nobody to share with"
        yield wrong(("compute", "sharded"), says, "set compute.workers to 2 or more, a pair's fewest too")
    arms = get(raw, "finetune", "arms")
    if arms is None and raw.get("pool") is not None:
        hint = "name finetune.arms without tapt, or leave pool or compute.sharded out"
        yield wrong(("compute", "sharded"), "is true, and pretraining on a pool is not sharded", hint)
    for i, arm in enumerate(arms if isinstance(arms, list) else ()):
        if arm in NOT_SHARDED:
            says = f"is {arm}, which can't be trained sharded"
            yield wrong(("finetune", "arms", i), says, "leave it out, or set compute.sharded: false")
    for path in _penalties(raw, ("delta", "bss", "lwf")):
        yield wrong(path, "can't be trained sharded", "set it to 0, or set compute.sharded: false")


def _penalties(raw: dict[str, Any], names: tuple[str, ...]) -> Iterator[NodePath]:
    """Those of some penalties that are switched on."""
    for path in (("finetune", "penalties", name) for name in names):
        weight = get(raw, *path)
        if isinstance(weight, (int, float)) and weight > 0:
            yield path


def _smallest_gain(raw: dict[str, Any], wrong: Callable[[NodePath, str, str], Found]) -> Iterator[Found]:
    least, gain = get(raw, "goal", "at_least"), get(raw, "goal", "min_gain")
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (least, gain))
    if numbers and 0 < least < gain <= 1:
        says = f"is {least:g}, below goal.min_gain, which is {gain:g}"
        yield wrong(("goal", "at_least"), says, "at_least is the score to reach, min_gain a difference of scores")
