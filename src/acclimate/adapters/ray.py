"""The port ``Trainer`` on Ray Train: the same training function on several workers that add up their gradients.

Events and errors come back through a queue of Ray's; for weights and checkpoints see :mod:`ray_files`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch.distributed

from acclimate.adapters.ray_files import Exchange, SharedFolders
from acclimate.adapters.ray_session import connected, first_line, quiet_output
from acclimate.errors import AcclimateError, UnavailableError, from_dict
from acclimate.nn.devices import training_device
from acclimate.nn.job import Job, TrainResult
from acclimate.nn.step import Workers
from acclimate.nn.train import finished, job_key, require_result, train
from acclimate.ports import Progress, silent

COLLECTIVE_TIMEOUT_SECONDS = 300
WORKER_FAILURES = 1
# where machines come and go, losing one is no sign that something is wrong, nor is a start that counted on it
ELASTIC_FAILURES = 20
RESIZE_SECONDS = 60.0
STARTS = 3
POLL_SECONDS = 0.5
# the group is started anew for these: the service may be back, and all see the same checkpoint then
_OTHER_CODE = "E-TRAIN-032"
_DISAGREEMENT = "E-TRAIN-013"


class RayTrainer:
    """Trains on N workers, or on as many as there is room for.

    A cluster is used where ``RAY_ADDRESS`` names one or Ray runs in this process already; else Ray is started on this
    machine for each training and stopped after it, without its dashboard. While a training runs, this process's
    standard output goes to standard error.

    Args:
        workers: number of training processes, at least 2.
        fewest: with as few it starts and goes on; looked at every :data:`RESIZE_SECONDS`, a change starts the epoch
            under way again. None: with ``workers`` only.
        cpus: processors of each.
        gpus: GPUs of each, which computes on the first; 0 trains on processors.
        sharded: weights, gradients and the optimizer's state are shared out among them.
        shared: shared folders of a workspace that other machines reach; None where it is a folder, which then all
            workers must see. It is pickled.
    """

    def __init__(
        self,
        workers: int,
        *,
        fewest: int | None = None,
        cpus: int = 1,
        gpus: int = 0,
        sharded: bool = False,
        shared: SharedFolders | None = None,
    ) -> None:
        self.workers = workers
        self.fewest = workers if fewest is None else fewest
        self.cpus = cpus
        self.gpus = gpus
        self.sharded = sharded
        self.shared = shared

    def train(self, job: Job, *, progress: Progress = silent) -> TrainResult:
        """Train a job to its end; a worker that dies is replaced, and training goes on after the last whole epoch.

        It is given up after the second such death, and the twenty-first where workers may come and go.

        Raises:
            ModelError: as in one process, see :func:`acclimate.nn.train.train`.
            UnavailableError: E-TRAIN-030 workers failed repeatedly, E-TRAIN-031 Ray can't be reached or started,
                E-TRAIN-032 workers run another version of the code, E-TRAIN-033 they don't see the workspace.
            ConfigError: E-TRAIN-034, the checkpoints lie outside of the shared workspace; E-TRAIN-035, a worker has no
                GPU that torch can use; E-TRAIN-036, the job can't be trained sharded.
        """
        result = finished(job)
        if result is not None:
            return result
        exchange = Exchange.opened(job, self.shared)
        try:
            with quiet_output(), connected(self.fewest * self.cpus, self.fewest * self.gpus):
                self._fit(job, exchange, progress)
            exchange.collect()
        finally:
            exchange.close()
        return require_result(job)

    def _fit(self, job: Job, exchange: Exchange, progress: Progress) -> None:
        import ray.train.torch

        errors: list[AcclimateError] = []
        with _mailbox(progress, errors) as mailbox:
            trainer = ray.train.torch.TorchTrainer(
                _work,
                train_loop_config={
                    "job": job,
                    "key": job_key(job),
                    "exchange": exchange,
                    "mailbox": mailbox,
                    "gpus": self.gpus,
                    "sharded": self.sharded,
                },
                scaling_config=ray.train.ScalingConfig(
                    num_workers=(self.fewest, self.workers) if self._is_elastic else self.workers,
                    elastic_resize_monitor_interval_s=RESIZE_SECONDS,
                    use_gpu=self.gpus > 0,
                    resources_per_worker={"CPU": self.cpus} | ({"GPU": self.gpus} if self.gpus else {}),
                ),
                torch_config=ray.train.torch.TorchConfig(
                    # counts and losses are added up on the processors, whatever the gradients are on
                    backend="cpu:gloo,cuda:nccl" if self.gpus else "gloo",
                    timeout_s=COLLECTIVE_TIMEOUT_SECONDS,
                ),
                run_config=ray.train.RunConfig(
                    name="train",
                    storage_path=str(exchange.folder.resolve()),
                    failure_config=ray.train.FailureConfig(
                        max_failures=self._failures,
                        controller_failure_limit=ELASTIC_FAILURES if self._is_elastic else STARTS,
                    ),
                ),
            )
            failure = self._failure(trainer, job)
        if errors and (failure is not None or not _is_passing(errors[-1])):
            raise errors[-1]
        if failure is not None:
            raise failure from failure.__cause__

    @property
    def _is_elastic(self) -> bool:
        return self.fewest < self.workers

    @property
    def _failures(self) -> int:
        """Deaths of workers that are made good."""
        return ELASTIC_FAILURES if self._is_elastic else WORKER_FAILURES

    def _failure(self, trainer: Any, job: Job) -> UnavailableError | None:
        import ray.train

        try:
            trainer.fit()
        except (ray.train.TrainingFailedError, ray.exceptions.RayError) as error:
            failure = UnavailableError(
                "E-TRAIN-030",
                f"training workers failed {self._failures + 1} times: {first_line(error)}",
                where=f"strategy {job.strategy}, {self.workers} workers",
                hint="run again: it goes on after the last whole epoch; out of memory: fewer workers or a smaller "
                "finetune.batch_size",
            )
            failure.__cause__ = error
            return failure
        return None


def _work(config: dict[str, Any]) -> None:
    """What each worker runs."""
    import ray.train

    exchange, mailbox = config["exchange"], config["mailbox"]
    context = ray.train.get_context()
    rank, world = context.get_world_rank(), context.get_world_size()

    def report(event: str, /, **fields: Any) -> None:
        # where workers come and go there may be one alone, which writes checkpoints amid an epoch too
        if event in {"epoch", "checkpoint"}:
            exchange.keep()
        mailbox.put({"event": event, **fields, "workers": world})

    try:
        job = exchange.local(config["job"])
        _require_same_code(job, config["key"])
        device = training_device(config["gpus"])
        workers = Workers(rank, world, torch.distributed.all_reduce, device, sharded=config["sharded"])
        train(job, workers=workers, progress=report if rank == 0 else silent)
    except AcclimateError as error:
        mailbox.put({"error": error.to_dict()})
        if _is_passing(error):
            # another worker may wait for this one: end them all, and let Ray start them again
            raise RuntimeError(f"{error.code} {error}") from None
        # anything else would fail the same way again, on every worker


def _is_passing(error: AcclimateError) -> bool:
    return error.code == _DISAGREEMENT or (isinstance(error, UnavailableError) and error.code != _OTHER_CODE)


def _require_same_code(job: Job, key: str) -> None:
    if job_key(job) != key:
        raise UnavailableError(
            _OTHER_CODE,
            "the workers run another version of acclimate or torch than this process",
            where=f"strategy {job.strategy}",
            hint="use one image for all; if acclimate was changed just now, run again",
        )


@contextmanager
def _mailbox(progress: Progress, errors: list[AcclimateError]) -> Iterator[Any]:
    """A queue to the workers; until the block ends, events in it are handed on and errors are gathered."""
    import ray
    from ray.util.queue import Queue
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # beside this process, so that no other machine's loss takes it away
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    queue = Queue(actor_options={"num_cpus": 0, "scheduling_strategy": here})
    over, failed = threading.Event(), []

    def relay() -> None:
        try:
            last = False
            while not last:
                last = over.wait(POLL_SECONDS)
                _hand_on(queue, progress, errors)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
            failed.append(error)

    thread = threading.Thread(target=relay, name="ray-events", daemon=True)
    thread.start()
    try:
        yield queue
    finally:
        over.set()
        thread.join()
        queue.shutdown(force=True)
    if failed:
        raise failed[0]


def _hand_on(queue: Any, progress: Progress, errors: list[AcclimateError]) -> None:
    for found in queue.get_nowait_batch(queue.qsize()):
        if "error" in found:
            errors.append(from_dict(found["error"]))
        else:
            fields = dict(found)
            progress(fields.pop("event"), **fields)
