"""The training loop: epochs, early stopping, checkpoints. Plain functions; progress goes to a callback."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from acclimate.core.metrics import score
from acclimate.digests import code_digest, data_digest
from acclimate.errors import IntegrityError
from acclimate.nn import checkpoint as store
from acclimate.nn.batching import shuffled_batches, token_batches
from acclimate.nn.guard import Movement, clip, require_bounded
from acclimate.nn.job import FloatArray, TrainJob, TrainResult
from acclimate.nn.model import TextClassifier
from acclimate.nn.schedule import rate_factor
from acclimate.nn.step import Tokens, Workers, gradients, logits_of, optimizer_for
from acclimate.nn.training_model import build, put, trainable
from acclimate.ports import Progress, silent
from acclimate.records import EpochPoint

EVALUATION_TOKENS = 4096
ALONE = Workers()


@dataclass
class _Run:
    """A training under way."""

    job: TrainJob
    key: str
    workers: Workers
    model: TextClassifier
    parameters: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.AdamW
    train: Tokens
    validation: Tokens
    history: list[EpochPoint] = field(default_factory=list)
    best_epoch: int = 0
    best: store.StoredTensors | None = None
    seconds: float = 0.0

    @property
    def where(self) -> str:
        return f"strategy {self.job.strategy}, epoch {len(self.history) + 1}"

    @property
    def is_over(self) -> bool:
        done = len(self.history)
        return done >= self.job.epochs or (done > 0 and done - self.best_epoch >= self.job.patience)


def job_key(job: TrainJob) -> str:
    """Digest of everything that decides a job's result, this code and torch included."""
    return data_digest({"job": job.digest(), "code": code_digest("acclimate.nn.train"), "torch": torch.__version__})


def finished(job: TrainJob) -> TrainResult | None:
    """The result of a job that was trained to its end, or None."""
    found = _checkpoint_of(job, job_key(job), silent)
    if found is None or not found.finished:
        return None
    return TrainResult(
        weights=job.folder / found.best.file,
        validation_logits=store.load_tensors(job.folder, found.best)["logits"].numpy(),
        history=tuple(found.history),
        best_epoch=found.best_epoch,
        trained_parameters=found.trained_parameters,
        total_parameters=found.total_parameters,
        seconds=found.seconds,
    )


class InProcessTrainer:
    """The port ``Trainer`` for one worker: this process."""

    workers = 1

    def train(self, job: TrainJob, *, progress: Progress = silent) -> TrainResult:
        """Train a job to its end; see :func:`train`."""
        train(job, progress=progress)
        return require_result(job)


def require_result(job: TrainJob) -> TrainResult:
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


def train(job: TrainJob, *, workers: Workers = ALONE, progress: Progress = silent) -> None:
    """Train one strategy, or what is left of it; :func:`finished` gives the result.

    A checkpoint of the same job is taken up after its last whole epoch, with the same bits as if nothing had
    happened; one of another job, or a damaged one, is reported and replaced.

    Args:
        job: what to train. Its folder is made, written by worker 0 and must be seen by all.
        workers: who trains together; each calls this function with the same job.
        progress: told ``epoch`` after each epoch and ``checkpoint_ignored`` with a reason.

    Raises:
        ModelError: E-TRAIN-001 gradient not finite, E-TRAIN-002 nothing moved, E-TRAIN-003 diverged.
        IntegrityError: E-TRAIN-013, workers see different checkpoints.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    key = job_key(job)
    found = _checkpoint_of(job, key, progress)
    _require_agreement(workers, job, 0 if found is None else found.epoch)
    if found is not None and found.finished:
        return
    run = _started(job, key, workers)
    if found is not None:
        _take_up(run, found)
    while not run.is_over:
        _epoch(run, progress)


def _checkpoint_of(job: TrainJob, key: str, progress: Progress) -> store.Checkpoint | None:
    try:
        return store.read_checkpoint(job.folder, key)
    except IntegrityError as error:
        progress("checkpoint_ignored", strategy=job.strategy, code=error.code, reason=str(error))
        return None


def _require_agreement(workers: Workers, job: TrainJob, epoch: int) -> None:
    seen = torch.zeros(workers.world, dtype=torch.int64)
    seen[workers.rank] = epoch
    workers.add_up(seen)
    if len(set(seen.tolist())) > 1:
        raise IntegrityError(
            "E-TRAIN-013",
            f"the workers see checkpoints of different epochs: {seen.tolist()}",
            where=str(job.folder),
            hint="put the workspace on a disk that all workers share",
        )


def _started(job: TrainJob, key: str, workers: Workers) -> _Run:
    encoder, model = build(job)
    parameters = trainable(model)
    return _Run(
        job=job,
        key=key,
        workers=workers,
        model=model,
        parameters=parameters,
        optimizer=optimizer_for(job, parameters),
        train=Tokens.of(encoder, job.train.texts, job.train.labels),
        validation=Tokens.of(encoder, job.validation.texts, job.validation.labels),
    )


def _epoch(run: _Run, progress: Progress) -> None:
    started = time.monotonic()
    job, epoch = run.job, len(run.history) + 1
    # only what depends on (seed, epoch) is random, so that a training taken up here goes on with the same bits
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.SeedSequence([job.seed, epoch, run.workers.rank]).generate_state(1)[0]))
        train_loss = _train_epoch(run, epoch)
    logits = _evaluate(run)
    point = _point(run, epoch, train_loss, logits)
    run.history.append(point)
    run.seconds += time.monotonic() - started
    if epoch == 1 or point.validation_score > run.history[run.best_epoch - 1].validation_score:
        run.best_epoch = epoch
        if run.workers.rank == 0:
            values = {f"parameter/{name}": value for name, value in run.parameters.items()}
            run.best = store.store_tensors(job.folder, f"best-{epoch}", {**values, "logits": torch.from_numpy(logits)})
    if run.workers.rank == 0:
        _save(run)
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


def _train_epoch(run: _Run, epoch: int) -> float:
    """One pass over the training rows; mean loss."""
    job = run.job
    order = shuffled_batches(run.train.lengths, batch_size=job.batch_size, rng=np.random.default_rng([job.seed, epoch]))
    watch = Movement(run.parameters, job.weight_decay) if epoch == 1 else None
    run.model.train()
    total = 0.0
    for i, rows in enumerate(order):
        factor = rate_factor(
            (epoch - 1) * len(order) + i, steps=job.epochs * len(order), warmup=job.warmup, schedule=job.schedule
        )
        rate = float(job.settings["learning_rate"]) * factor
        for group in run.optimizer.param_groups:
            group["lr"] = rate
        run.optimizer.zero_grad(set_to_none=False)
        total += gradients(job, run.model, run.train, rows, run.workers)
        clip(run.parameters, job.clip_norm, where=f"{run.where}, step {i + 1}")
        run.optimizer.step()
        if watch is not None:
            watch.stepped(rate)
    if watch is not None:
        watch.check(where=run.where)
    summed = torch.tensor([total], dtype=torch.float64)
    run.workers.add_up(summed)
    return float(summed) / len(run.train.ids)


def _evaluate(run: _Run) -> FloatArray:
    """Validation logits, float32 ``[n, C]``, the rows shared among the workers."""
    run.model.eval()
    logits = torch.zeros(len(run.validation.ids), run.job.n_classes)
    batches = token_batches(run.validation.lengths, token_budget=EVALUATION_TOKENS)
    with torch.no_grad():
        for rows in batches[run.workers.rank :: run.workers.world]:
            ids, mask, _ = run.validation.batch(rows)
            logits[rows] = logits_of(run.job, run.model, ids, mask)
    run.workers.add_up(logits)
    return np.asarray(logits.numpy(), dtype=np.float32)


def _point(run: _Run, epoch: int, train_loss: float, logits: FloatArray) -> EpochPoint:
    loss = float(torch.nn.functional.cross_entropy(torch.from_numpy(logits), run.validation.labels))
    job = run.job
    require_bounded(job.strategy, train_loss, loss, job.n_classes, where=run.where)
    value = score(job.metric, job.validation.labels, logits.argmax(axis=1), job.n_classes)
    return EpochPoint(epoch=epoch, train_loss=train_loss, validation_loss=loss, validation_score=value)


def _save(run: _Run) -> None:
    if run.best is None:
        raise ValueError("a checkpoint needs the weights of the best epoch")
    folder, done = run.job.folder, len(run.history)
    checkpoint = store.Checkpoint(
        job=run.key,
        finished=run.is_over,
        best_epoch=run.best_epoch,
        history=run.history,
        seconds=run.seconds,
        trained_parameters=sum(p.numel() for p in run.parameters.values()),
        total_parameters=sum(p.numel() for p in run.model.parameters()),
        best=run.best,
        state=None if run.is_over else store.store_tensors(folder, f"state-{done}", _state(run)),
    )
    store.commit(folder, checkpoint)


def _state(run: _Run) -> store.Tensors:
    values: store.Tensors = {f"parameter/{name}": value for name, value in run.parameters.items()}
    for name, parameter in run.parameters.items():
        for part, value in run.optimizer.state[parameter].items():
            values[f"optimizer/{part}/{name}"] = value
    return values


def _take_up(run: _Run, found: store.Checkpoint) -> None:
    if found.state is None:
        raise ValueError("a checkpoint that is not finished has a state")
    values = store.load_tensors(run.job.folder, found.state)
    put({name: values[f"parameter/{name}"] for name in run.parameters}, run.parameters)
    for name, parameter in run.parameters.items():
        parts = {part: values.get(f"optimizer/{part}/{name}") for part in ("step", "exp_avg", "exp_avg_sq")}
        run.optimizer.state[parameter] = {part: value for part, value in parts.items() if value is not None}
    run.history, run.best_epoch, run.best = list(found.history), found.best_epoch, found.best
    run.seconds = found.seconds
