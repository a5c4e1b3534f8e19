"""What follows from the task: its own defaults, and keys that belong to another one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args

from acclimate.config_file.findings import Found, finding, get
from acclimate.config_file.places import Places
from acclimate.config_file.yaml_nodes import NodePath
from acclimate.config_finetune import IMAGE_DEFAULTS, Strategy
from acclimate.config_generation import GENERATION_DEFAULTS, GenerationSpec

TEXT_TASK = "text-classification"
IMAGE_TASK = "image-classification"
GENERATION_TASK = "text-generation"
TABLES: tuple[tuple[str, ...], ...] = (("target",), ("source", "reference"), ("retrain", "fresh"))
CLASS_METRICS = ("macro_f1", "accuracy", "balanced_accuracy")
ANSWER_METRICS = ("exact_match", "rouge_l", "token_accuracy")
TEXT_METRICS = ("token_accuracy",)
#: Strategies that a task can't train, as :data:`acclimate.nn.strategies.STRATEGIES` say, which would import torch here.
NOT_TRAINED: dict[str, tuple[str, ...]] = {
    IMAGE_TASK: ("prefix", "ia3", "tapt"),
    GENERATION_TASK: ("adapter", "prefix", "tapt"),
}
_NEED_CLASSES = ("delta", "bss", "lwf")


def fill_task_defaults(raw: dict[str, Any]) -> None:
    """Add what the task has as its defaults, where nothing else is given."""
    if raw.get("task") == IMAGE_TASK:
        _fill(raw, {"finetune": IMAGE_DEFAULTS})
    if raw.get("task") == GENERATION_TASK:
        _fill(raw, {"goal": {"metric": _generation_metrics(raw)[0]}, "finetune": GENERATION_DEFAULTS})
        for path in TABLES:
            table = get(raw, *path)
            if isinstance(table, dict):
                table.setdefault("label", None)


def _fill(given: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Add what is not given; a value that is no section is left for the checks."""
    for key, default in defaults.items():
        if isinstance(default, Mapping):
            section = given.setdefault(key, {})
            if isinstance(section, dict):
                _fill(section, default)
        else:
            given.setdefault(key, default)


def _generation_metrics(raw: dict[str, Any]) -> tuple[str, ...]:
    return TEXT_METRICS if get(raw, "target", "answer") is None else ANSWER_METRICS


def content_of(raw: dict[str, Any]) -> str:
    """The role of the column that a model reads: ``text`` or ``image``."""
    return "image" if raw.get("task") == IMAGE_TASK else "text"


def other_tasks(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    """Keys, metrics and strategies that belong to another task than the one that is given."""
    task = raw.get("task", TEXT_TASK)
    if task not in (TEXT_TASK, IMAGE_TASK, GENERATION_TASK):
        return
    for path in TABLES:
        table = get(raw, *path)
        if isinstance(table, dict):
            yield from _table(table, path, places, task)
    if task != TEXT_TASK and raw.get("pool") is not None:
        yield _meaningless(places, ("pool",), task)
    if task == IMAGE_TASK and get(raw, "finetune", "full", "reinitialise") not in (None, 0):
        yield _meaningless(places, ("finetune", "full", "reinitialise"), task)
    yield from _arms(raw, places, task)
    if task == GENERATION_TASK:
        yield from _without_classes(raw, places)
    else:
        for key, default in GenerationSpec().model_dump().items():
            if get(raw, "generation", key) not in (None, default):
                yield _meaningless(places, ("generation", key), task)
    yield from _metric(raw, places, task)


def _meaningless(places: Places, path: NodePath, task: str) -> Found:
    return finding(places, path, "E-CONFIG-035", f"has no meaning for task {task}", "leave it out")


def _table(table: dict[str, Any], path: NodePath, places: Places, task: str) -> Iterator[Found]:
    # a resolved configuration holds all keys at their defaults
    others: dict[str, str | None] = {"text": "text", "encoding": "utf-8"} if task == IMAGE_TASK else {"image": "image"}
    others |= {"label": None} if task == GENERATION_TASK else {"answer": None}
    for key, default in others.items():
        if table.get(key, default) != default:
            yield _meaningless(places, (*path, key), task)
    formats = ("csv", "tsv", "jsonl") if task == IMAGE_TASK else ("image-folder",)
    if table.get("format") in formats:
        says = f"is {table['format']}, which task {task} does not read"
        hint = "write image-folder or parquet" if task == IMAGE_TASK else "write csv, tsv, jsonl or parquet"
        yield finding(places, (*path, "format"), "E-CONFIG-035", says, hint)


def _arms(raw: dict[str, Any], places: Places, task: str) -> Iterator[Found]:
    """Strategies that do not work on the task's models."""
    arms, others = get(raw, "finetune", "arms"), NOT_TRAINED.get(task, ())
    for i, arm in enumerate(arms if isinstance(arms, list) else ()):
        if arm in others:
            says = f"is {arm}, which task {task} does not train"
            hint = f"choose from {', '.join(name for name in get_args(Strategy) if name not in others)}"
            yield finding(places, ("finetune", "arms", i), "E-CONFIG-035", says, hint)


def _without_classes(raw: dict[str, Any], places: Places) -> Iterator[Found]:
    """What needs classes: averages, interpolation, most penalties."""
    for name, off in (("soup", 1), ("interpolate", False)):
        if get(raw, "finetune", name) not in (None, off):
            yield _meaningless(places, ("finetune", name), GENERATION_TASK)
    for name in _NEED_CLASSES:
        path = ("finetune", "penalties", name)
        if get(raw, *path) not in (None, 0):
            yield _meaningless(places, path, GENERATION_TASK)


def _metric(raw: dict[str, Any], places: Places, task: str) -> Iterator[Found]:
    metric = get(raw, "goal", "metric")
    allowed = _generation_metrics(raw) if task == GENERATION_TASK else CLASS_METRICS
    if metric not in CLASS_METRICS + ANSWER_METRICS or metric in allowed:
        return
    if task == GENERATION_TASK and metric in ANSWER_METRICS:
        says, hint = f"is {metric}, which needs answers", "name their column in target.answer, or write token_accuracy"
    else:
        says, hint = f"is {metric}, which task {task} does not have", f"choose from {', '.join(allowed)}"
    yield finding(places, ("goal", "metric"), "E-CONFIG-035", says, hint)
