"""A training under way: what it has come to, kept in checkpoints and taken up from them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import torch

from acclimate.core.unfreezing import epochs_waited
from acclimate.nn import checkpoint as store
from acclimate.nn.devices import random_states
from acclimate.nn.guard import Movement
from acclimate.nn.job import FloatArray, Job
from acclimate.nn.layer_groups import layer_groups
from acclimate.nn.learner import Learner
from acclimate.nn.sharding import laid_out, whole
from acclimate.nn.step import Workers
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.training_model import put, statistics
from acclimate.records import EpochPoint


@dataclass
class Run:
    """A training under way."""

    job: Job
    key: str
    workers: Workers
    learner: Learner
    parameters: dict[str, torch.nn.Parameter]
    optimizer: torch.optim.AdamW
    history: list[EpochPoint] = field(default_factory=list)
    best_epoch: int = 0
    # worker 0 keeps the best epochs' weights on disk, best first
    kept: list[tuple[int, store.StoredTensors]] = field(default_factory=list)
    # kept by every worker, and only where training may go back to them
    best_values: store.Tensors | None = None
    seconds: float = 0.0
    # when the last checkpoint was written or the epoch began; what comes after it is not yet in the seconds
    since: float = field(default_factory=time.monotonic)
    # of the epoch under way: steps done, the sum of their losses, generators to go on with
    steps: int = 0
    loss: float = 0.0
    drawn: store.Tensors = field(default_factory=dict)
    # of the first epoch
    movement: Movement | None = None

    @property
    def epoch(self) -> int:
        """The epoch under way, from 1."""
        return len(self.history) + 1

    @property
    def where(self) -> str:
        """What an error names as its place."""
        return f"strategy {self.job.strategy}, epoch {self.epoch}"

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to train."""
        done = len(self.history)
        return done >= self.job.epochs or (done > 0 and self._waited >= self.job.patience)

    @property
    def _waited(self) -> int:
        if not STRATEGIES[self.job.strategy].unfreezes:
            return len(self.history) - self.best_epoch
        groups = len(layer_groups(self.learner.model.encoder))
        return epochs_waited([point.validation_score for point in self.history], groups)


def keep(run: Run, epoch: int, outputs: FloatArray, state: store.Tensors) -> None:
    """Store an epoch's weights if it is among the best so far; the earlier of two equals is the better.

    Args:
        run: the training, the epoch in its history.
        epoch: the epoch, from 1.
        outputs: what the model says of the validation rows.
        state: what :func:`gathered` gave.

    Raises:
        UnavailableError: E-TRAIN-015, the disk is full or not writable.
    """

    def rank(kept: int) -> tuple[float, int]:
        return -run.history[kept - 1].validation_score, kept

    best = sorted([*(kept for kept, _ in run.kept), epoch], key=rank)[: run.job.keep]
    stored = dict(run.kept)
    if epoch in best:
        weights = {name: value for name, value in state.items() if not name.startswith("optimizer/")}
        outputs_too = {**weights, "outputs": torch.from_numpy(outputs)}
        stored[epoch] = store.store_tensors(run.job.folder, f"best-{epoch}", outputs_too)
    run.kept = [(kept, stored[kept]) for kept in best]


def save(run: Run, state: store.Tensors) -> None:
    """Make what :func:`gathered` gave the folder's checkpoint.

    Raises:
        UnavailableError: E-TRAIN-015, the disk is full or not writable.
    """
    folder, now = run.job.folder, time.monotonic()
    run.seconds, run.since = run.seconds + now - run.since, now
    checkpoint = store.Checkpoint(
        job=run.key,
        finished=run.is_over,
        best_epoch=run.best_epoch,
        history=run.history,
        steps=run.steps,
        seconds=run.seconds,
        trained_parameters=sum(p.numel() for p in run.parameters.values()),
        total_parameters=sum(p.numel() for p in run.learner.model.parameters()),
        kept=[stored for _, stored in run.kept],
        state=None if run.is_over else store.store_tensors(folder, f"state-{len(run.history)}-{run.steps}", state),
    )
    store.commit(folder, checkpoint)


def gathered(run: Run) -> store.Tensors:
    """What a checkpoint holds, for worker 0; all gather what is sharded, one tensor after another."""
    state: store.Tensors = {}
    for name, value in (_weights(run) if run.is_over else _state(run)).items():
        found = whole(value)
        if run.workers.rank == 0:
            state[name] = found if found is value else found.cpu()
    return state


def _weights(run: Run) -> store.Tensors:
    values: store.Tensors = {f"parameter/{name}": value for name, value in run.parameters.items()}
    return {**values, **{f"statistic/{name}": value for name, value in statistics(run.learner.model).items()}}


def _state(run: Run) -> store.Tensors:
    values = _weights(run)
    for name, parameter in run.parameters.items():
        for part, value in run.optimizer.state[parameter].items():
            values[f"optimizer/{part}/{name}"] = value
    if run.steps:
        values["epoch/loss"] = torch.tensor(run.loss, dtype=torch.float64)
        values |= {f"generator/{kind}": state for kind, state in random_states(run.workers.device).items()}
    return values


def take_up(run: Run, found: store.Checkpoint) -> None:
    """Bring a training that has just begun to where a checkpoint of it was written.

    Raises:
        IntegrityError: E-TRAIN-012, a tensor file has changed since the checkpoint was read.
    """
    if found.state is None:
        raise ValueError("a checkpoint that is not finished has a state")
    values = store.load_tensors(run.job.folder, found.state)
    for name, parameter in run.parameters.items():
        # one after another: a device need not hold them twice
        put({name: laid_out(values[f"parameter/{name}"], parameter)}, {name: parameter})
    learned = statistics(run.learner.model)
    put({name: values[f"statistic/{name}"] for name in learned}, learned)
    for name, parameter in run.parameters.items():
        parts = {part: values.get(f"optimizer/{part}/{name}") for part in ("step", "exp_avg", "exp_avg_sq")}
        run.optimizer.state[parameter] = {
            part: value.to(parameter.device) if part == "step" else laid_out(value, parameter)
            for part, value in parts.items()
            if value is not None
        }
    run.learner.compute.refresh()
    run.history, run.best_epoch, run.steps = list(found.history), found.best_epoch, found.steps
    if run.steps and run.workers.rank == 0:
        # losses of workers are added up
        run.loss = float(values["epoch/loss"])
    if run.steps and run.workers.world == 1:
        kinds = ("cpu", run.workers.device.type)
        run.drawn = {kind: values[f"generator/{kind}"] for kind in kinds if f"generator/{kind}" in values}
    run.kept = [(int(stored.file.removeprefix("best-").split(".")[0]), stored) for stored in found.kept]
    if STRATEGIES[run.job.strategy].unfreezes and found.kept:
        best = store.load_tensors(run.job.folder, found.kept[0])
        run.best_values = {name: best[f"parameter/{name}"] for name in run.parameters}
    run.seconds = found.seconds
