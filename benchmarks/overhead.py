"""What orchestration costs: a run's wall time minus its stages' own work, and a cached rerun.

Orchestration is process starts, imports, KFP, MLflow (the whole of register), hashing and I/O.
Expected (written before measuring): under 40 s of overhead in a run, under 8 s for a cached rerun, peak memory
under 4 GB.

    python benchmarks/overhead.py examples/reviews.yaml --workspace /tmp/overhead
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "overhead.json"
WORK = "work_seconds"
ORCHESTRATION = ("register",)  # MLflow's work is overhead too


def timed(command: list[str]) -> tuple[float, dict[str, Any], float]:
    """Wall seconds, the command's JSON, and the peak memory of its largest process in GB."""
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=False, text=True)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    return seconds, json.loads(done.stdout.splitlines()[-1]), peak


def import_milliseconds() -> float:
    """Median of what ``import acclimate`` adds to a bare interpreter, milliseconds."""

    def median(statement: str) -> float:
        times = []
        for _ in range(9):
            started = time.perf_counter()
            subprocess.run([sys.executable, "-c", statement], check=True)
            times.append(time.perf_counter() - started)
        return sorted(times)[4]

    return (median("import acclimate") - median("pass")) * 1000


def main() -> None:
    """Run the example in a new workspace, then again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--workspace", type=Path, required=True, help="a folder that does not exist yet")
    options = parser.parse_args()
    if options.workspace.exists():
        parser.error("the workspace must not exist yet")
    command = [sys.executable, "-m", "acclimate", "run", str(options.config), "--json"]
    command += ["-s", f"workspace={options.workspace.resolve()}"]
    first, summary, peak = timed(command)
    timings = [
        path
        for path in (*options.workspace.glob("stages/*/*/timing.json"), *options.workspace.glob("calibration/*/*.json"))
        if path.name == "timing.json" and path.parts[-3] not in ORCHESTRATION
    ]
    work = sum(json.loads(path.read_text())[WORK] for path in timings)
    again, repeated, _ = timed(command)
    result = {
        "config": options.config.name,
        "cores": os.cpu_count(),
        "run_seconds": round(first, 1),
        "work_seconds": round(work, 1),
        "overhead_seconds": round(first - work, 1),
        "cached_rerun_seconds": round(again, 1),
        "peak_memory_gb": round(peak, 2),
        "import_ms": round(import_milliseconds(), 1),
        "same_result": summary["result"] == repeated["result"],
        "expected": {"overhead_seconds": 40, "cached_rerun_seconds": 8, "peak_memory_gb": 4, "import_ms": 150},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
