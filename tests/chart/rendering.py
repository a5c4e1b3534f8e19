"""The chart rendered by Helm's own engine, once for each set of values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

helm = pytest.importorskip("helm_python", reason="the chart's tests need helm-python-sdk: see constraints/dev.txt")

CHART = Path(__file__).parents[2] / "charts" / "acclimate"
VALUES = Path(__file__).with_name("values")
VALUE_SETS = sorted(path.stem for path in VALUES.glob("*.yaml"))
NAMESPACE = "ml"

Manifest = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod that the release starts: by whom, its labels, its spec."""

    owner: str
    labels: dict[str, str]
    spec: dict[str, Any]

    @property
    def containers(self) -> list[dict[str, Any]]:
        """All containers, those that run first included."""
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


@dataclass(frozen=True)
class Release:
    """The objects of one rendering."""

    objects: tuple[Manifest, ...]
    notes: str

    def of_kind(self, kind: str) -> dict[str, Manifest]:
        """The objects of one kind by name."""
        return {found["metadata"]["name"]: found for found in self.objects if found["kind"] == kind}

    @property
    def pods(self) -> list[Pod]:
        """Every pod, wherever its template stands."""
        return [
            Pod(f"{found['kind']}/{found['metadata']['name']}", *pod) for found in self.objects for pod in pods(found)
        ]


def pods(found: Manifest) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Labels and spec of the pod that an object starts, where it starts one."""
    if found["kind"] == "Pod":
        yield found["metadata"].get("labels", {}), found["spec"]
        return
    template = found.get("spec", {})
    template = template.get("jobTemplate", {}).get("spec", template).get("template")
    if isinstance(template, dict):
        yield template["metadata"].get("labels", {}), template["spec"]


def values_of(name: str) -> dict[str, Any]:
    """One of the sets in values/."""
    return dict(YAML(typ="safe").load(VALUES / f"{name}.yaml"))


def values_given(settings: Iterable[str]) -> dict[str, Any]:
    """The values of ``--set PATH=VALUE``, as far as our commands use it."""
    values: dict[str, Any] = {}
    for path, _, value in (setting.partition("=") for setting in settings):
        *parents, last = path.split(".")
        place = values
        for name in parents:
            place = place.setdefault(name, {})
        place[last] = value == "true" if value in {"true", "false"} else value
    return values


def render(values: dict[str, Any]) -> Release:
    """The chart with these values; Helm's schema check comes first, as on an installation."""
    with helm.Chart.load(CHART) as chart:
        chart.validate_schema(values)
        files: dict[str, str] = chart.render(values, name="demo", namespace=NAMESPACE)
    yaml = YAML(typ="safe")
    objects = [
        found
        for path, text in files.items()
        if path.endswith(".yaml")
        for found in yaml.load_all(text)
        if found is not None
    ]
    return Release(tuple(objects), files["acclimate/templates/NOTES.txt"])


@cache
def release(name: str) -> Release:
    """The release of one of the sets in values/."""
    return render(values_of(name))
