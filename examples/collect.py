"""Takes what DVC shows out of a run's JSON: metrics, one score an arm, and a copy of the report."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any


def metrics(run: dict[str, Any]) -> dict[str, Any]:
    """The numbers worth comparing between runs; what this run has no value for is left out."""
    named = {
        "verdict": run["verdict"],
        "decision": run["decision"]["strategy"],
        "gap_units": run["gap"]["units"],
        "baseline": run["baseline"]["score"],
        "score": run["result"]["score"],
        "score_low": run["result"]["score_low"],
        "score_high": run["result"]["score_high"],
        "gain": run["gain"]["difference"],
        "gain_low": run["gain"]["low"],
        "gain_high": run["gain"]["high"],
    }
    return {name: value for name, value in named.items() if value is not None}


def main(folder: Path) -> None:
    """Write ``metrics.json``, ``arms.json`` and ``report.html`` beside ``run.json``."""
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    arms = [{"strategy": arm["strategy"], "score": arm["score"]} for arm in run["arms"] if arm["score"] is not None]
    for name, value in (("metrics.json", metrics(run)), ("arms.json", arms)):
        (folder / name).write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(run["report_path"], folder / "report.html")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
