"""Models between models: weights averaged tensor by tensor, encoder and head alike.

Source: Wortsman et al. 2022a (WiSE-FT, on the line between source and fine-tuned weights), 2022b (model soups).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from acclimate.nn.training_model import Trained


def weighted(models: Sequence[Trained], weights: Sequence[float]) -> Trained:
    """The weighted sum of models of one architecture.

    Args:
        models: at least one; none with added layers.
        weights: of each; they add up to 1.

    Returns:
        A model of its own; the given ones are left as they are.

    Raises:
        ValueError: their weights have different names or shapes.
    """
    states = [model.encoder.module.state_dict() for model in models]
    if any({name: value.shape for name, value in state.items()} != _shapes(states[0]) for state in states[1:]):
        raise ValueError("models of different shapes can't be averaged")
    module = copy.deepcopy(models[0].encoder.module)
    module.load_state_dict({name: _sum([state[name] for state in states], weights) for name in states[0]})
    return Trained(
        models[0].encoder.with_module(module),
        np.sum([w * model.weight for w, model in zip(weights, models, strict=True)], axis=0, dtype=np.float32),
        np.sum([w * model.bias for w, model in zip(weights, models, strict=True)], axis=0, dtype=np.float32),
    )


def between(source: Trained, tuned: Trained, alpha: float) -> Trained:
    """(1 - alpha) source + alpha tuned; ``tuned`` itself at 1."""
    return tuned if alpha == 1.0 else weighted([source, tuned], [1.0 - alpha, alpha])


def mean(models: Sequence[Trained]) -> Trained:
    """The mean of models."""
    return weighted(models, [1.0 / len(models)] * len(models))


def _shapes(state: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in state.items()}


def _sum(values: Sequence[torch.Tensor], weights: Sequence[float]) -> torch.Tensor:
    if not values[0].is_floating_point():
        # positions and the like, the same in all
        return values[0]
    total = torch.zeros_like(values[0])
    for value, weight in zip(values, weights, strict=True):
        total.add_(value, alpha=weight)
    return total
