"""What a report shows, read back from the folders of the stages that were finished."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from acclimate.calibrating import calibration_of
from acclimate.errors import AcclimateError
from acclimate.execution import STARTED_AT, Context, read_timing
from acclimate.keys import run_key
from acclimate.records import (
    BaselineReport,
    DataCard,
    Decision,
    Evaluation,
    FinetuneReport,
    GapReport,
    Registration,
    StoredRecord,
    Verdict,
)
from acclimate.records_retrain import RetrainDecision
from acclimate.report.view import ReportView
from acclimate.version import __version__
from acclimate.wiring import source_of

LIBRARIES = ("torch", "transformers", "peft", "scikit-learn", "numpy", "mlflow", "kfp")


def view_of(
    context: Context,
    folders: Mapping[str, Path],
    *,
    seconds: Mapping[str, float],
    command: str = "",
    error: AcclimateError | None = None,
) -> ReportView:
    """A run as its report shows it.

    Args:
        context: the run.
        folders: the folder of each stage that was finished; ingest's at least.
        seconds: what each stage took.
        command: what to type to get the same; empty where that is not known.
        error: what stopped it, if anything did.
    """

    def read(stage: str, kind: type[StoredRecord]) -> Any:
        folder = folders.get(stage)
        return kind.read(folder) if folder else None

    config, data = context.request.adaptation, folders["ingest"]
    measured = "gap" in folders or "baseline" in folders
    return ReportView(
        config=config.model_dump(mode="json"),
        run_id=context.run_id,
        run_key=run_key(context, data),
        data=DataCard.read(data),
        retrain=read("check", RetrainDecision),
        source_uri=config.source.model,
        source=source_of(context)[1],
        gap=read("gap", GapReport),
        baseline=read("baseline", BaselineReport),
        calibration=calibration_of(context, data) if measured else None,
        decision=read("decide", Decision),
        finetune=read("finetune", FinetuneReport),
        evaluation=read("evaluate", Evaluation),
        verdict=read("register", Verdict),
        registration=read("register", Registration),
        seconds=seconds,
        timing={stage: _took(folder) for stage, folder in folders.items()},
        error=error.to_dict() if error else None,
        command=command,
        versions=_versions(),
        code_version=__version__,
    )


def _took(folder: Path) -> dict[str, float]:
    return {name: value for name, value in read_timing(folder).items() if name != STARTED_AT}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
