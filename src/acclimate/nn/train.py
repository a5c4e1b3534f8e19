"""The training loop: epochs, early stopping, checkpoints. Plain functions; progress goes to a callback."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext

import numpy as np
import torch

from acclimate.core.unfreezing import next_opening
from acclimate.digests import code_digest, data_digest
from acclimate.errors import IntegrityError
from acclimate.nn import checkpoint as store
from acclimate.nn.batching import shuffled_batches
from acclimate.nn.causal.learner import WritingLearner
from acclimate.nn.class_learner import ClassLearner
from acclimate.nn.devices import CPU, generators, set_random_states, training_device
from acclimate.nn.guard import Movement, clip, require_bounded
from acclimate.nn.held_signals import HeldSignals
from acclimate.nn.job import Job, MaskedJob, TrainJob, TrainResult, WritingJob
from acclimate.nn.layer_groups import layer_groups
from acclimate.nn.learner import Learner, Validated
from acclimate.nn.pretraining import MaskedLearner
from acclimate.nn.schedule import rate_factor
from acclimate.nn.sharding import require_shardable
from acclimate.nn.step import Workers, optimizer_for
from acclimate.nn.step_kernels import step_kernels
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.training_model import put, statistics, trainable
from acclimate.nn.under_way import Run, gathered, keep, save, take_up
from acclimate.ports import Progress, silent
from acclimate.records import EpochPoint

ALONE = Workers()
# what a kill may cost one worker; a checkpoint of a large model takes seconds
CHECKPOINT_SECONDS = 300.0


def job_key(job: Job) -> str:
    """Digest of everything that decides a job's result, this code and torch included."""
    return data_digest({"job": job.digest(), "code": code_digest("acclimate.nn.train"), "torch": torch.__version__})


def finished(job: Job) -> TrainResult | None:
    """The result of a job that was trained to its end, or None."""
    found = _checkpoint_of(job, job_key(job), silent)
    if found is None or not found.finished:
        return None
    return TrainResult(
        weights=tuple(job.folder / stored.file for stored in found.kept),
        validation_outputs=store.load_tensors(job.folder, found.kept[0])["outputs"].numpy(),
        history=tuple(found.history),
        best_epoch=found.best_epoch,
        trained_parameters=found.trained_parameters,
        total_parameters=found.total_parameters,
        seconds=found.seconds,
    )


class InProcessTrainer:
    """The port ``Trainer`` for one worker: this process.

    Args:
        gpus: it computes on the first of these; 0: on the processors.
    """

    workers = 1

    def __init__(self, *, gpus: int = 0) -> None:
        self.gpus = gpus

    def train(self, job: Job, *, progress: Progress = silent) -> TrainResult:
        """Train a job to its end; see :func:`train`.

        Raises:
            ConfigError: E-TRAIN-035, there is no GPU.
        """
        train(job, workers=Workers(device=training_device(self.gpus)), progress=progress)
        return require_result(job)


def require_result(job: Job) -> TrainResult:
    """The result of a job that was just trained.

    Raises:
        IntegrityError: E-TRAIN-014, it is not there any more.
    """
    result = finished(job)
    if result is None:
        raise IntegrityError(
            "E-TRAIN-014",
            f"the trained weights of {job.strategy} are gone",
            where=str(job.folder),
            hint="something else changes the workspace; run again",
        )
    return result


def train(job: Job, *, workers: Workers = ALONE, progress: Progress = silent) -> None:
    """Train one strategy, or what is left of it; :func:`finished` gives the result.

    A checkpoint of the same job is taken up where it was written, with the same bits as if nothing had happened; one
    of another job, or a damaged one, is reported and replaced. There is one after each epoch. One worker alone also
    writes one when :data:`CHECKPOINT_SECONDS` have passed since the last, and where SIGTERM or SIGINT comes: these
    wait for it, see :class:`acclimate.nn.held_signals.HeldSignals`.

    Args:
        job: what to train. Its folder is made, written by worker 0 and must be seen by all.
        workers: who trains together; each calls this function with the same job.
        progress: told ``epoch`` after each epoch, ``checkpoint`` after one amid an epoch, ``resumed`` where it goes on
            from one, and ``checkpoint_ignored`` with a reason.

    Raises:
        ModelError: E-TRAIN-001 gradient not finite, E-TRAIN-002 nothing moved, E-TRAIN-003 diverged.
        IntegrityError: E-TRAIN-013, workers see different checkpoints.
        ConfigError: E-TRAIN-036, the job can't be trained sharded.
        UnavailableError: E-TRAIN-015, a checkpoint can't be written.
    """
    if workers.sharded:
        require_shardable(job)
    job.folder.mkdir(parents=True, exist_ok=True)
    key = job_key(job)
    found = _checkpoint_of(job, key, progress)
    _require_agreement(workers, job, (0, 0) if found is None else (found.epoch, found.steps))
    if found is not None and found.finished:
        return
    run = _started(job, key, workers)
    if found is None or not found.history:
        run.movement = Movement(run.parameters, job.weight_decay)
    if found is not None:
        take_up(run, found)
        if workers.rank == 0:
            progress("resumed", strategy=job.strategy, epoch=run.epoch, step=run.steps, says=f"goes on: {_place(run)}")
    while not run.is_over:
        _epoch(run, progress)


def _checkpoint_of(job: Job, key: str, progress: Progress) -> store.Checkpoint | None:
    try:
        return store.read_checkpoint(job.folder, key)
    except IntegrityError as error:
        progress("checkpoint_ignored", strategy=job.strategy, code=error.code, reason=str(error))
        return None


def _require_agreement(workers: Workers, job: Job, done: tuple[int, int]) -> None:
    seen = torch.zeros(workers.world, 2, dtype=torch.int64)
    seen[workers.rank] = torch.tensor(done)
    workers.add_up(seen)
    if len({tuple(row) for row in seen.tolist()}) > 1:
        raise IntegrityError(
            "E-TRAIN-013",
            f"the workers see checkpoints of different epochs and steps: {seen.tolist()}",
            where=str(job.folder),
            hint="put the workspace on a disk that all workers share",
        )


def learner_of(job: Job, device: torch.device = CPU, *, sharded: bool = False) -> Learner:
    """What the task of a job adds to the loop, on a device."""
    if isinstance(job, WritingJob):
        return WritingLearner(job, device, sharded=sharded)
    if isinstance(job, TrainJob):
        return ClassLearner(job, device, sharded=sharded)
    if isinstance(job, MaskedJob):
        return MaskedLearner(job, device)
    raise TypeError(f"nothing trains a {type(job).__name__}")


def _started(job: Job, key: str, workers: Workers) -> Run:
    learner = learner_of(job, workers.device, sharded=workers.sharded)
    parameters = trainable(learner.model)
    rates = STRATEGIES[job.strategy].rates(learner.model, job.settings)
    return Run(job, key, workers, learner, parameters, optimizer_for(job, parameters, rates))


def _epoch(run: Run, progress: Progress) -> None:
    # of several workers none can write a checkpoint amid an epoch by itself: a signal need not wait
    held = HeldSignals()
    with held if run.workers.world == 1 else nullcontext():
        _held_epoch(run, held, progress)


def _held_epoch(run: Run, held: HeldSignals, progress: Progress) -> None:
    started = run.since = time.monotonic()
    job, epoch = run.job, run.epoch
    groups = _open(run) if STRATEGIES[job.strategy].unfreezes else None
    # only what depends on (seed, epoch) is random, so that a training taken up here goes on with the same bits
    with torch.random.fork_rng(devices=generators(run.workers.device)):
        torch.manual_seed(int(np.random.SeedSequence([job.seed, epoch, run.workers.rank]).generate_state(1)[0]))
        set_random_states(run.workers.device, run.drawn)
        train_loss = _train_epoch(run, held, progress)
    run.steps, run.loss, run.drawn = 0, 0.0, {}
    found = run.learner.validate(run.workers)
    point = _point(run, epoch, train_loss, found, groups)
    run.history.append(point)
    if epoch == 1 or point.validation_score > run.history[run.best_epoch - 1].validation_score:
        run.best_epoch = epoch
        if groups is not None:
            run.best_values = {name: value.detach().clone() for name, value in run.parameters.items()}
    state = gathered(run)
    if run.workers.rank == 0:
        keep(run, epoch, found.outputs, state)
        save(run, state)
        progress(
            "epoch",
            strategy=job.strategy,
            schedule=job.schedule,
            epoch=epoch,
            of=job.epochs,
            train_loss=round(point.train_loss, 4),
            score=round(point.validation_score, 4),
            seconds=round(time.monotonic() - started, 2),
        )


def _open(run: Run) -> int:
    """Open and close layer groups for the next epoch; the number of open ones. Only the scores so far decide."""
    groups = layer_groups(run.learner.model.encoder)
    opening = next_opening([point.validation_score for point in run.history], len(groups))
    if opening.goes_back and run.best_values is not None and not run.steps:
        put(run.best_values, run.parameters)
        # moments of another place would carry the weights off again
        run.optimizer.state.clear()
    opened = {f"encoder.{name}" for group in groups[-opening.groups :] for name in group}
    for name, parameter in run.parameters.items():
        parameter.requires_grad_(name in opened or name.startswith("head."))
        if not parameter.requires_grad:
            # the optimizer passes over what has no gradient; a zero would still decay
            parameter.grad = None
    run.learner.compute.refresh()
    return opening.groups


def _train_epoch(run: Run, held: HeldSignals, progress: Progress) -> float:
    """One pass over the training rows, or what is left of it; mean loss."""
    job, epoch = run.job, run.epoch
    order = shuffled_batches(run.learner.sizes, batch_size=job.batch_size, rng=np.random.default_rng([job.seed, epoch]))
    run.learner.compute.model.train()
    run.learner.begin_epoch(epoch)
    for i, rows in enumerate(order):
        factor = rate_factor(
            (epoch - 1) * len(order) + i, steps=job.epochs * len(order), warmup=job.warmup, schedule=job.schedule
        )
        rate = float(job.settings["learning_rate"]) * factor
        if run.movement is not None:
            run.movement.stepped(rate)
        if i < run.steps:
            # done before the checkpoint that was taken up
            continue
        _step(run, rows, rate)
        # several workers would have to agree, and each draws for itself
        if run.workers.world == 1:
            _stop_or_checkpoint(run, held, progress, of=len(order))
    if run.movement is not None:
        run.movement.check(where=run.where)
        run.movement = None
    for learned in statistics(run.learner.model).values():
        run.workers.add_up(learned.div_(run.workers.world))
    summed = torch.tensor([run.loss], dtype=torch.float64)
    run.workers.add_up(summed)
    return float(summed) / run.learner.units


def _step(run: Run, rows: Sequence[int], rate: float) -> None:
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group["share"]
    run.learner.compute.begin()
    with step_kernels(run.workers.device):
        run.loss += run.learner.gradients(rows, run.workers)
    clip(run.parameters, run.job.clip_norm, where=f"{run.where}, step {run.steps + 1}")
    run.optimizer.step()
    run.learner.compute.refresh()
    run.steps += 1


def _stop_or_checkpoint(run: Run, held: HeldSignals, progress: Progress, *, of: int) -> None:
    """Between two steps: write a checkpoint where one is due, and let a signal that waits be handled."""
    if held.is_waiting or time.monotonic() - run.since >= CHECKPOINT_SECONDS:
        save(run, gathered(run))
        says = f"checkpoint: {_place(run)} of {of}"
        progress("checkpoint", strategy=run.job.strategy, epoch=run.epoch, step=run.steps, says=says)
    if held.is_waiting:
        held.let_go()


def _place(run: Run) -> str:
    return f"{run.job.strategy}, epoch {run.epoch}, step {run.steps}"


def _point(run: Run, epoch: int, train_loss: float, found: Validated, groups: int | None) -> EpochPoint:
    require_bounded(run.job.strategy, train_loss, found.loss, run.learner.loss_of_knowing_nothing, where=run.where)
    return EpochPoint(
        epoch=epoch,
        train_loss=train_loss,
        validation_loss=found.loss,
        validation_score=found.score,
        open_groups=groups,
    )
