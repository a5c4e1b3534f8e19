"""The port ``Trainer`` on Ray Train: the same training function on several workers that add up their gradients.

Weights, checkpoints and events travel by file: the workspace must be on a disk that all workers share.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import Any

import torch.distributed

from acclimate.errors import AcclimateError, UnavailableError, from_dict
from acclimate.nn.job import TrainJob, TrainResult
from acclimate.nn.step import Workers
from acclimate.nn.train import finished, job_key, require_result, train
from acclimate.ports import Progress, silent

COLLECTIVE_TIMEOUT_SECONDS = 300
WORKER_FAILURES = 1
STARTS = 3
POLL_SECONDS = 0.5


class RayTrainer:
    """Trains on N gloo workers.

    A cluster is used where ``RAY_ADDRESS`` names one or Ray runs in this process already; else Ray is started on this
    machine for each training and stopped after it, without its dashboard.

    Args:
        workers: number of training processes, at least 2.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def train(self, job: TrainJob, *, progress: Progress = silent) -> TrainResult:
        """Train a job to its end; a worker that dies once is replaced, and training goes on after the last epoch.

        Raises:
            ModelError: as in one process, see :func:`acclimate.nn.train.train`.
            UnavailableError: E-TRAIN-030 workers failed repeatedly, E-TRAIN-031 Ray can't be reached or started,
                E-TRAIN-032 workers run another version of the code.
        """
        result = finished(job)
        if result is not None:
            return result
        exchange = job.folder.parent / f"{job.folder.name}.ray-{uuid.uuid4().hex[:8]}"
        exchange.mkdir(parents=True)
        try:
            with _connected(self.workers), _relayed(exchange / "events.jsonl", progress):
                _fit(job, exchange, self.workers)
            error = exchange / "error.json"
            if error.exists():
                raise from_dict(json.loads(error.read_text(encoding="utf-8")))
        finally:
            shutil.rmtree(exchange, ignore_errors=True)
        return require_result(job)


@contextmanager
def _connected(workers: int) -> Iterator[None]:
    """A Ray to work with; stopped again if it was started here."""
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if "RAY_ADDRESS" not in os.environ:
        _protect()
        options |= {"address": "local", "num_cpus": max(workers, os.cpu_count() or 1), "include_dashboard": False}
    import ray

    if ray.is_initialized():
        yield
        return
    try:
        ray.init(**options)
    except (OSError, RuntimeError, ValueError, TimeoutError, ray.exceptions.RayError) as error:
        raise UnavailableError(
            "E-TRAIN-031",
            f"Ray can't be reached or started: {_first_line(error)}",
            where=os.environ.get("RAY_ADDRESS", "this machine"),
            hint="check RAY_ADDRESS; with compute.workers: 1 no Ray is needed",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _protect() -> None:
    """Ask for a token, so that nobody else who reaches the ports of our Ray can send it work."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray reads these when it is first imported: later only its children would ask for a token we don't send
    if "ray" not in sys.modules and "RAY_AUTH_MODE" not in os.environ:
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token_hex(32)}


def _fit(job: TrainJob, exchange: Path, workers: int) -> None:
    import ray.train.torch

    trainer = ray.train.torch.TorchTrainer(
        _work,
        train_loop_config={"job": job, "key": job_key(job), "exchange": exchange},
        scaling_config=ray.train.ScalingConfig(num_workers=workers, use_gpu=False),
        torch_config=ray.train.torch.TorchConfig(backend="gloo", timeout_s=COLLECTIVE_TIMEOUT_SECONDS),
        run_config=ray.train.RunConfig(
            name="train",
            storage_path=str(exchange.resolve()),
            failure_config=ray.train.FailureConfig(max_failures=WORKER_FAILURES, controller_failure_limit=STARTS),
        ),
    )
    try:
        trainer.fit()
    except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
        raise UnavailableError(
            "E-TRAIN-030",
            f"training workers failed {WORKER_FAILURES + 1} times: {_first_line(error)}",
            where=f"strategy {job.strategy}, {workers} workers",
            hint="run again: it goes on after the last whole epoch; out of memory: fewer workers or a smaller "
            "finetune.batch_size",
        ) from error


def _work(config: dict[str, Any]) -> None:
    """What each worker runs."""
    import ray.train

    job, exchange = config["job"], config["exchange"]
    context = ray.train.get_context()
    workers = Workers(context.get_world_rank(), context.get_world_size(), torch.distributed.all_reduce)

    def write_event(event: str, /, **fields: Any) -> None:
        with (exchange / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps({"event": event, **fields}) + "\n")

    try:
        _require_same_code(job, config["key"])
        train(job, workers=workers, progress=write_event if workers.rank == 0 else silent)
    except AcclimateError as error:
        # it would fail the same way again: Ray must not retry it
        if workers.rank == 0:
            (exchange / "error.json").write_text(json.dumps(error.to_dict()), encoding="utf-8")


def _require_same_code(job: TrainJob, key: str) -> None:
    if job_key(job) != key:
        raise UnavailableError(
            "E-TRAIN-032",
            "the workers run another version of acclimate or torch than this process",
            where=f"strategy {job.strategy}",
            hint="use one image for all; if acclimate was changed just now, run again",
        )


@contextmanager
def _relayed(path: Path, progress: Progress) -> Iterator[None]:
    """Hand on events that a worker writes to a file, until the block ends."""
    over = threading.Event()

    def relay() -> None:
        position = 0
        while True:
            last = over.wait(POLL_SECONDS)
            if path.exists():
                position = _hand_on(path, position, progress)
            if last:
                return

    thread = threading.Thread(target=relay, name="ray-events", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _hand_on(path: Path, position: int, progress: Progress) -> int:
    """Report the whole lines behind a position; returns the new one."""
    with path.open("rb") as file:
        file.seek(position)
        for line in file:
            if not line.endswith(b"\n"):
                break
            position += len(line)
            fields = json.loads(line)
            progress(fields.pop("event"), **fields)
    return position


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[-1] if lines else type(error).__name__)[:300]
