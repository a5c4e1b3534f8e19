"""Stands in for ``acclimate.steps`` in the steps' processes: writes down each call and answers as the request asks."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NamedTuple


class Ingested(NamedTuple):
    folder: str
    follow: str


class Decided(NamedTuple):
    folder: str
    action: str


class Checked(NamedTuple):
    folder: str
    action: str
    request: str


def _called(stage: str, request: str, run_id: str, **given: str) -> dict[str, str]:
    asked = json.loads(request)
    line = json.dumps({"stage": stage, "run_id": run_id, **given})
    with Path(asked["calls"]).open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    if stage == asked.get("fails"):
        sys.exit(3)
    return asked


def run_step(stage: str, request: str, run_id: str, shown: dict[str, Any] | None = None, /, **references: str) -> str:
    _called(stage, request, run_id, **references)
    for name, artifact in (shown or {}).items():
        if name == "confusion":
            artifact.log_confusion_matrix(["a", "b"], [[1, 2], [3, 4]])
        else:
            artifact.log_metric("score", 0.5)
    return f"/{stage}"


def run_ingest(request: str, run_id: str) -> Ingested:
    return Ingested("/ingest", _called("ingest", request, run_id).get("follow", ""))


def run_decide(request: str, run_id: str, **references: str) -> Decided:
    return Decided("/decide", _called("decide", request, run_id, **references).get("action", "finetune"))


def run_check(request: str, run_id: str) -> Checked:
    return Checked("/check", _called("check", request, run_id).get("check", "retrain"), request)


def run_predict(request: str, run_id: str, model: str, data: str, out: str) -> str:
    _called("predict", request, run_id, model=model, data=data, out=out)
    return out


def finish(request: str, run_id: str, page: str) -> None:
    _called("finish", request, run_id)
    Path(page).parent.mkdir(parents=True, exist_ok=True)
    Path(page).write_text("<p>report</p>", encoding="utf-8")
