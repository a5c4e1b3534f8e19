"""What a workspace on S3 costs, and that it changes nothing: the example in a local workspace, then on S3.

The servers are real and on this machine: S3 (SeaweedFS) and MLflow with its artifacts on that S3, so the figures hold
the price of the protocol, not that of a network. Both runs take place in one call, the local one first.
Expected (written before measuring): the same run key, decision, scores and verdict to the last digit; at most 1.15
times the local run's seconds; a machine with an empty disk reuses everything within 30 s.

    python -m benchmarks.shared_workspace examples/reviews.yaml --folder /tmp/shared
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3

from tests.servers import mlflow_server, s3_environment, s3_server

RESULTS = Path(__file__).parent / "results" / "shared_workspace.json"
SAME = ("run_key", "setting", "gap", "baseline", "decision", "result", "gain", "verdict", "model_uri")
BUCKET = "adaptations"


def timed(config: Path, settings: list[str], home: Path) -> tuple[float, dict[str, Any]]:
    """Wall seconds of a run and its summary."""
    command = [sys.executable, "-m", "acclimate", "run", str(config), "--json"]
    command += [word for setting in settings for word in ("-s", setting)]
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    started = time.perf_counter()
    done = subprocess.run(
        command, stdout=subprocess.PIPE, check=False, text=True, env={**environment, "ACCLIMATE_HOME": str(home)}
    )
    seconds = time.perf_counter() - started
    return seconds, json.loads(done.stdout.splitlines()[-1])


def scores(summary: dict[str, Any]) -> list[tuple[str, float, bool]]:
    """What each arm reached."""
    return [(arm["strategy"], arm["score"], arm["chosen"]) for arm in summary["arms"]]


def main() -> None:
    """Run the example locally, on S3, on S3 again, and from a machine with an empty disk."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="a folder that does not exist yet")
    options = parser.parse_args()
    if options.folder.exists():
        parser.error("the folder must not exist yet")
    folder: Path = options.folder.resolve()
    local_seconds, local = timed(options.config, [f"workspace={folder / 'local'}"], folder / "unused")
    with s3_server(folder / "s3") as endpoint:
        os.environ |= s3_environment(endpoint)
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        with mlflow_server(folder / "mlflow", f"s3://{BUCKET}/mlflow") as address:
            settings = [f"workspace=s3://{BUCKET}/team", f"tracking.uri={address}"]
            first_seconds, first = timed(options.config, settings, folder / "machine-1")
            again_seconds, again = timed(options.config, settings, folder / "machine-1")
            other_seconds, other = timed(options.config, settings, folder / "machine-2")
    result = {
        "config": options.config.name,
        "cores": os.cpu_count(),
        "local_seconds": round(local_seconds, 1),
        "s3_seconds": round(first_seconds, 1),
        "ratio": round(first_seconds / local_seconds, 3),
        "s3_rerun_seconds": round(again_seconds, 1),
        "s3_rerun_on_an_empty_disk_seconds": round(other_seconds, 1),
        "verdict": first["verdict"],
        "score": first["result"]["score"],
        "same_as_local": {name: first[name] == local[name] for name in SAME} | {"arms": scores(first) == scores(local)},
        "same_on_an_empty_disk": all(other[name] == first[name] == again[name] for name in SAME),
        "expected": {"ratio": 1.15, "s3_rerun_on_an_empty_disk_seconds": 30, "same": True},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
