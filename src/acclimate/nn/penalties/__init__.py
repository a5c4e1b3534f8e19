"""Penalties that keep a training near what the source model knows: one file and one line here each.

They compose: each is switched on by its weight among a job's settings, and the training step adds them up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch

from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob
from acclimate.nn.model import Classifier
from acclimate.nn.penalties import bss, delta, distillation, l2_sp
from acclimate.nn.readers import Batch


@dataclass(frozen=True)
class PenaltyBatch:
    """Some rows of a batch on their way through the model.

    Args:
        rows: their numbers in the training data.
        inputs: what the encoder was called with.
        features: pooled [b, d], in the graph.
        logits: [b, C], in the graph.
    """

    rows: list[int]
    inputs: Batch
    features: torch.Tensor
    logits: torch.Tensor


class RowPenalty(Protocol):
    """A penalty that is a sum over rows."""

    def __call__(self, batch: PenaltyBatch) -> torch.Tensor:
        """The penalty summed over the batch's rows, a scalar in the graph."""


class FeaturePenalty(Protocol):
    """A penalty on the features of the whole batch at once."""

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """The penalty of a feature matrix [B, d], a scalar in the graph."""


class WeightPenalty(Protocol):
    """A penalty on the weights alone."""

    def __call__(self) -> torch.Tensor:
        """The penalty, a scalar in the graph."""

    def add_gradient(self) -> None:
        """Add its gradient to that of the weights; the same as going backward from its value, at less cost."""


@dataclass(frozen=True)
class Start:
    """What a penalty may be made from: the model at step 0, before anything was trained.

    Args:
        job: what is trained.
        encoder: the source model.
        model: the classifier as it will be trained.
        parameters: what is trained, by name.
    """

    job: TrainJob
    encoder: Encoder
    model: Classifier
    parameters: Mapping[str, torch.nn.Parameter]


@dataclass(frozen=True)
class Penalties:
    """The penalties of a training; empty without any."""

    of_rows: list[RowPenalty] = field(default_factory=list)
    of_features: list[FeaturePenalty] = field(default_factory=list)
    of_weights: list[WeightPenalty] = field(default_factory=list)


#: How each penalty is made, by the setting that switches it on; its value there is the weight.
ROW_PENALTIES: dict[str, Callable[[Start, float], RowPenalty]] = {
    "delta": delta.make,
    "lwf": distillation.make,
}
FEATURE_PENALTIES: dict[str, Callable[[float], FeaturePenalty]] = {"bss": bss.make}
WEIGHT_PENALTIES: dict[str, Callable[[Start, float], WeightPenalty]] = {"l2_sp": l2_sp.make}
PENALTIES = (*ROW_PENALTIES, *FEATURE_PENALTIES, *WEIGHT_PENALTIES)


def penalties_of(start: Start) -> Penalties:
    """The penalties that a job's settings ask for."""
    weights = {name: float(start.job.settings.get(name, 0.0)) for name in PENALTIES}
    return Penalties(
        [make(start, weights[name]) for name, make in ROW_PENALTIES.items() if weights[name] > 0],
        [make(weights[name]) for name, make in FEATURE_PENALTIES.items() if weights[name] > 0],
        [make(start, weights[name]) for name, make in WEIGHT_PENALTIES.items() if weights[name] > 0],
    )
