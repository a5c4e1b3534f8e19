"""What Ray's workers gain and cost: one process against Ray Train with one worker and with two, on one machine.

Each mode is a process of its own that trains the same job: full fine-tuning with the product's defaults, in the
precision that ``auto`` takes here. A worker has one thread, and so has ``one_process``; ``one_process_all_threads`` is
what a user has without Ray. Rounds take turns, another mode first each round.

Rows per second are of training alone: loading, tokenizing and checkpoints don't count, adding up gradients does.
``scaling`` is the speed of two workers as a multiple of one worker's, ``efficiency`` half of it. ``first_step_seconds``
run from the call of the trainer to the first step, Ray's start and the loading of the model included; it is taken from
the first epoch's report, which may come half a second late. Memory is the largest sum of proportional set sizes of the
process and all its descendants, Ray's own included, looked at once a second.

Expected (written before measuring), on two processors: one worker trains at least .95 times as fast as one process;
two at least 1.4 times as fast as one (efficiency .7: gradients of 90 MB go through gloo at each step), and slower than
one process with two threads; the first step within 20 s with Ray and 8 s without; at most 3 GB with two workers.

    python -m benchmarks.ray_scaling
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.core.probe import Probe
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob
from acclimate.nn.train import InProcessTrainer
from acclimate.ports import Trainer
from benchmarks.labelled_rows import parts, read_rows
from benchmarks.measured import DATA, SOURCE, auto_precision, in_turn, machine, say, store
from benchmarks.trained_models import training_job

VALIDATION_ROWS = 32
STRATEGY = "full"
ONE_PROCESS, ALL_THREADS, ONE_WORKER, TWO_WORKERS = (
    "one_process",
    "one_process_all_threads",
    "ray_one_worker",
    "ray_two_workers",
)
RAY_WORKERS = {ONE_WORKER: 1, TWO_WORKERS: 2}
MODES = (ONE_PROCESS, ALL_THREADS, ONE_WORKER, TWO_WORKERS)


def trainer_of(mode: str) -> Trainer:
    """Who trains."""
    if mode not in RAY_WORKERS:
        return InProcessTrainer()
    from acclimate.adapters.ray import RayTrainer

    return RayTrainer(RAY_WORKERS[mode])


def job_of(options: argparse.Namespace, folder: Path) -> TrainJob:
    """The job that all modes train; its head starts at zero, which changes nothing of the speed."""
    source, _ = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    encoder, read = Encoder.load(source, precision=options.precision), read_rows(options.csv)
    train, validation = (read.some(rows) for rows in parts(len(read), [options.rows, VALIDATION_ROWS], 0))
    classes = len(read.labels)
    return training_job(
        STRATEGY,
        source,
        encoder,
        Probe(np.zeros((classes, encoder.dim)), np.zeros(classes)),
        train,
        validation,
        epochs=options.epochs,
        patience=options.epochs,
        seed=0,
        folder=folder,
    )


def train_once(options: argparse.Namespace) -> dict[str, float]:
    """What the process of one mode measures."""
    first: list[float] = []

    def progress(event: str, /, **fields: Any) -> None:
        if event == "epoch" and not first:
            first.append(time.monotonic() - float(fields["seconds"]))

    with tempfile.TemporaryDirectory() as kept:
        job = job_of(options, Path(kept) / "job")
        started = time.monotonic()
        result = trainer_of(options.only).train(job, progress=progress)
        wall = time.monotonic() - started
    return {
        "rows_per_second": options.rows * options.epochs / result.seconds,
        "first_step_seconds": first[0] - started,
        "wall_seconds": wall,
    }


def family(pid: int) -> set[int]:
    """A process and its descendants."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            # it ended meanwhile
            continue
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def memory_gb(pids: set[int]) -> float:
    """Sum of the proportional set sizes of processes, GB; one that ended meanwhile has none."""
    kilobytes = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        kilobytes += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kilobytes * 1024 / 1e9


def measured_once(options: argparse.Namespace, mode: str) -> dict[str, float]:
    """One mode in a process of its own, and its peak memory."""
    threads = os.cpu_count() or 1 if mode == ALL_THREADS else 1
    command = [sys.executable, "-m", "benchmarks.ray_scaling", str(options.csv), "--only", mode]
    for name in ("rows", "epochs", "source", "precision"):
        command += [f"--{name}", str(getattr(options, name))]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    environment.pop("RAY_ADDRESS", None)
    peak, over = [0.0], threading.Event()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:

        def watch() -> None:
            while not over.wait(1.0):
                peak[0] = max(peak[0], memory_gb(family(child.pid)))

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        output, _ = child.communicate()
        over.set()
        thread.join()
    if child.returncode:
        raise SystemExit(f"{mode} failed with exit code {child.returncode}")
    return {**json.loads(output.splitlines()[-1]), "memory_gb": peak[0]}


def summary(points: dict[str, list[dict[str, float]]]) -> dict[str, Any]:
    """Medians over rounds, and ratios of speed round by round."""
    found: dict[str, Any] = {
        mode: {name: round(statistics.median(point[name] for point in own), 2) for name in own[0]}
        for mode, own in points.items()
    }

    def ratio(mode: str, other: str) -> dict[str, float]:
        ratios = [
            mine["rows_per_second"] / theirs["rows_per_second"]
            for mine, theirs in zip(points[mode], points[other], strict=True)
        ]
        return {"median": round(statistics.median(ratios), 3), "lowest": round(min(ratios), 3)}

    scaling = ratio(TWO_WORKERS, ONE_WORKER)
    return found | {
        "scaling": scaling,
        "efficiency": {name: round(value / RAY_WORKERS[TWO_WORKERS], 3) for name, value in scaling.items()},
        "one_worker_to_one_process": ratio(ONE_WORKER, ONE_PROCESS),
        "two_workers_to_all_threads": ratio(TWO_WORKERS, ALL_THREADS),
    }


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, nargs="?", default=DATA / "movies.csv", help="columns text and label")
    parser.add_argument("--rows", type=int, default=640, help="training rows")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--source", default=SOURCE)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--only", choices=MODES, help="train by this mode only, and print what it took")
    options = parser.parse_args()
    if options.precision == "auto":
        folder = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)[0]
        options.precision = auto_precision(folder)
    if options.only:
        sys.stdout.write(json.dumps(train_once(options)) + "\n")
        return
    points: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for turn in range(options.rounds):
        for mode in in_turn(MODES, turn):
            points[mode].append(measured_once(options, mode))
            say(round=turn, mode=mode, **points[mode][-1])
    _, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    result = {
        "claim": "Ray Train with one worker and two, against one process",
        "expected": "one worker >= .95 times one process; scaling >= 1.4; first step <= 20 s with Ray, <= 8 s without; "
        "<= 3 GB with two workers",
        "source": f"{card.name} {card.revision}",
        "data": options.csv.name,
        "rows": options.rows,
        "epochs": options.epochs,
        "rounds": options.rounds,
        "precision": options.precision,
        "processors": os.cpu_count(),
        **machine("ray", "torch", "transformers"),
        **summary(points),
    }
    store("ray_scaling", result)


if __name__ == "__main__":
    main()
