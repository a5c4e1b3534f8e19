"""Runs one stage alone, on what the stages before it have left in the workspace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from acclimate.errors import ConfigError
from acclimate.execution import Context, Work, find
from acclimate.keys import run_key
from acclimate.local_run import clean, load_request, new_run_id
from acclimate.ports import Progress, silent
from acclimate.records import Decision
from acclimate.stage_work import STEPS
from acclimate.stage_work.ingesting import ingest_work
from acclimate.stage_work.measures import baseline_work, decide_work, gap_work
from acclimate.stage_work.training import finetune_work
from acclimate.stage_work.verdicts import comparator_of, evaluate_work
from acclimate.steps import open_context

READS = {
    "ingest": (),
    "gap": ("data",),
    "baseline": ("data",),
    "decide": ("data", "gap", "baseline"),
    "finetune": ("data", "baseline", "decision"),
    "evaluate": ("data", "baseline", "candidate"),
    "register": ("data", "gap", "baseline", "decision", "candidate", "evaluation"),
}


def run_stage(
    stage: str,
    path: str | Path,
    overrides: Sequence[str] = (),
    *,
    allow_outside: bool = False,
    progress: Progress = silent,
) -> Path:
    """Run one stage and return its folder.

    Args:
        stage: name of the stage.
        path: the adaptation.yaml.
        overrides: ``section.key=value`` settings.
        allow_outside: data may lie outside the project root.
        progress: told of every event.

    Raises:
        ConfigError: E-CONFIG-081, a stage it reads has not been run with this configuration.
    """
    request = load_request(path, overrides, allow_outside=allow_outside)
    opened = open_context(request, new_run_id())
    context = Context(request, opened.run_id, opened.store, progress)
    try:
        return STEPS[stage](context, **_Finished(context, path).folders(READS[stage]))
    finally:
        clean(context)


class _Finished:
    """Finds the folders of finished stages, each from those it reads."""

    def __init__(self, context: Context, path: str | Path) -> None:
        self.context, self.path = context, path

    def folders(self, names: Sequence[str]) -> dict[str, Path]:
        return {name: getattr(self, f"_{name}")() for name in names}

    def _need(self, work: Work) -> Path:
        folder = find(self.context, work)
        if folder is None:
            raise ConfigError(
                "E-CONFIG-081",
                f"{work.stage} has not been run with this configuration",
                where=str(self.path),
                hint=f"run first: acclimate stage {work.stage} {self.path}",
            )
        return folder

    def _data(self) -> Path:
        return self._need(ingest_work(self.context))

    def _gap(self) -> Path:
        return self._need(gap_work(self.context, self._data()))

    def _baseline(self) -> Path:
        return self._need(baseline_work(self.context, self._data()))

    def _decision(self) -> Path:
        return self._need(decide_work(self.context, self._data(), self._gap(), self._baseline()))

    def _candidate(self) -> Path:
        decision = self._decision()
        if Decision.read(decision).action == "freeze":
            return self._baseline()
        return self._need(finetune_work(self.context, self._data(), self._baseline(), decision))

    def _evaluation(self) -> Path:
        data = self._data()
        champion = comparator_of(self.context, run_key(self.context, data))
        return self._need(evaluate_work(self.context, data, self._baseline(), self._candidate(), champion))
