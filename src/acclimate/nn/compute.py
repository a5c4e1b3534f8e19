"""The model as it computes, beside the float32 weights that are trained.

In bfloat16 the whole encoder is a copy in that type: weights, activations and gradients, as in inference. Under
autocast the activations between matrix products would stay in float32 and be cast to and fro. The optimizer works on
the float32 weights, so that small updates are not lost.

Source: Micikevicius et al. 2018, mixed precision training with a master copy of the weights.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

import torch

from acclimate.nn.devices import device_of
from acclimate.nn.trainable import Trainable
from acclimate.nn.training_model import statistics

Model = TypeVar("Model", bound=Trainable)


class Compute(Generic[Model]):
    """A model in the precision it computes in.

    Args:
        model: the model with float32 weights.
        parameters: those that are trained, by name.
        precision: ``fp32``: it computes itself; ``bf16``: a copy of it does, but a new head stays in float32. One that
            learns statistics of batch normalisation computes itself.
    """

    def __init__(self, model: Model, parameters: Mapping[str, torch.nn.Parameter], precision: str) -> None:
        self.model = model
        self._pairs: list[tuple[torch.nn.Parameter, torch.nn.Parameter]] = []
        self._parameters = parameters
        self._is_first = True
        self._exchanged: torch.Tensor | None = None
        # statistics of batch normalisation are learned in the model itself, and not in eight bits
        if precision == "bf16" and not statistics(model):
            self.model = copy.deepcopy(model)
            self.model.encoder.to(torch.bfloat16)
            if not model.head_is_new:
                self.model.head.to(torch.bfloat16)
            own = dict(self.model.named_parameters())
            self._pairs = [(parameter, own[name]) for name, parameter in parameters.items()]

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return device_of(self.model)

    def begin(self) -> None:
        """Forget the gradients of the last batch."""
        self._is_first = True
        if not self._pairs:
            for parameter in self._parameters.values():
                if parameter.grad is not None:
                    parameter.grad.zero_()

    def collect(self) -> None:
        """Add what was just computed to the gradients of the trained weights."""
        for trained, own in self._pairs:
            if own.grad is None:
                continue
            if trained.grad is None:
                trained.grad = own.grad.float()
            elif self._is_first:
                trained.grad.copy_(own.grad)
            else:
                trained.grad.add_(own.grad)
            own.grad = None
        self._is_first = False

    def add_up_gradients(self, add_up: Callable[[torch.Tensor], None]) -> None:
        """Replace each gradient by its sum over all workers, in one exchange.

        Args:
            add_up: see :class:`acclimate.nn.step.Workers`.
        """
        parts = [p.grad for p in self._parameters.values() if p.grad is not None]
        numbers = sum(part.numel() for part in parts)
        if self._exchanged is None or len(self._exchanged) != numbers:
            # kept: memory that is new to the process costs as much as the exchange
            self._exchanged = parts[0].new_empty(numbers)
        pieces = torch.split(self._exchanged, [part.numel() for part in parts])
        for part, piece in zip(parts, pieces, strict=True):
            piece.view_as(part).copy_(part)
        add_up(self._exchanged)
        for part, piece in zip(parts, pieces, strict=True):
            part.copy_(piece.view_as(part))

    def refresh(self) -> None:
        """Take over the trained weights after they changed, and which of them are trained now."""
        with torch.no_grad():
            for trained, own in self._pairs:
                own.copy_(trained)
                own.requires_grad_(trained.requires_grad)
