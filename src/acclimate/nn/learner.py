"""What the training loop asks of a task: gradients of a batch, and a score on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from acclimate.nn.job import FloatArray
from acclimate.nn.sharding import AnyCompute
from acclimate.nn.step import Workers
from acclimate.nn.trainable import Trainable


@dataclass(frozen=True)
class Validated:
    """A model on the validation rows.

    Args:
        outputs: what it said of them, float32 ``[n, k]``; see :class:`acclimate.nn.job.TrainResult`.
        loss: mean loss, nats.
        score: what the epoch is chosen by, 0..1, larger is better.
    """

    outputs: FloatArray
    loss: float
    score: float


class Learner(Protocol):
    """A task's own part of a training; the loop does the rest."""

    @property
    def model(self) -> Trainable:
        """The model with float32 weights, which checkpoints hold."""

    @property
    def compute(self) -> AnyCompute[Any]:
        """The model as it computes."""

    @property
    def sizes(self) -> Sequence[int]:
        """What each training row costs, in tokens."""

    @property
    def units(self) -> int:
        """What the training loss of an epoch is the mean over: rows, or tokens."""

    @property
    def loss_of_knowing_nothing(self) -> float:
        """Mean loss of uniform guesses, nats."""

    def begin_epoch(self, epoch: int) -> None:
        """An epoch begins, counted from 1; what the learner draws itself depends on the job and this number only."""

    def gradients(self, rows: Sequence[int], workers: Workers) -> float:
        """Add the gradient of a batch's mean loss to that of the trained weights; the same for any number of workers.

        Returns:
            Summed loss of this worker's share, nats.
        """

    def validate(self, workers: Workers) -> Validated:
        """Score the model as it is now, the rows shared among the workers."""
