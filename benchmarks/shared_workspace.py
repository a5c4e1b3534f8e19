"""What a workspace on S3 costs, and that it changes nothing: the example in a local workspace, on S3, and killed there.

The servers are real and on this machine: S3 (SeaweedFS) and MLflow with its artifacts on that S3, so the figures hold
the price of the protocol, not that of a network. Both runs take place in one call, the local one first.
Expected (written before measuring): the same run key, decision, scores and verdict to the last digit; at most 1.15
times the local run's seconds; a machine with an empty disk reuses everything within 30 s; in a workspace of its own,
killed at each stage and started again on another machine, the run ends the same.

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
STAGES = ("ingest", "gap", "baseline", "decide", "finetune", "evaluate", "register")
BUCKET = "adaptations"


def command_line(config: Path, settings: list[str]) -> list[str]:
    """The command that runs the example with these settings."""
    command = [sys.executable, "-m", "acclimate", "run", str(config), "--json"]
    return command + [word for setting in settings for word in ("-s", setting)]


def environment(home: Path) -> dict[str, str]:
    """This process's variables, for a machine whose local copies lie in ``home``."""
    kept = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    return {**kept, "ACCLIMATE_HOME": str(home)}


def timed(config: Path, settings: list[str], home: Path) -> tuple[float, dict[str, Any]]:
    """Wall seconds of a run and its summary."""
    started = time.perf_counter()
    done = subprocess.run(
        command_line(config, settings), stdout=subprocess.PIPE, check=False, text=True, env=environment(home)
    )
    seconds = time.perf_counter() - started
    return seconds, json.loads(done.stdout.splitlines()[-1])


def killed_at(stage: str, config: Path, settings: list[str], home: Path) -> None:
    """Start the run and end it with SIGKILL once it reports that ``stage`` has begun."""
    command = command_line(config, settings)
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment(home)
    ) as process:
        assert process.stderr is not None
        begun = any('"event": "stage_started"' in line and f'"stage": "{stage}"' in line for line in process.stderr)
        process.kill()
    if not begun:
        raise SystemExit(f"the run ended before it came to {stage}")


def scores(summary: dict[str, Any]) -> list[tuple[str, float, bool]]:
    """What each arm reached."""
    return [(arm["strategy"], arm["score"], arm["chosen"]) for arm in summary["arms"]]


def main() -> None:
    """Run the example locally, on S3, on S3 again, from a machine with an empty disk, and killed at each stage."""
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
            settings = [f"workspace=s3://{BUCKET}/killed", f"tracking.uri={address}"]
            for stage in STAGES:
                killed_at(stage, options.config, settings, folder / f"killed-{stage}")
            _, survived = timed(options.config, settings, folder / "survivor")
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
        "killed_at": STAGES,
        "same_when_killed": {name: survived[name] == local[name] for name in SAME[:-1]}
        | {"arms": scores(survived) == scores(local)},
        "expected": {"ratio": 1.15, "s3_rerun_on_an_empty_disk_seconds": 30, "same": True},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
