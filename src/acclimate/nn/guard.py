"""Checks that training does what it seems to do: gradients are finite, parameters move, the loss stays in bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from acclimate.errors import ModelError
from acclimate.nn.sharding import whole

Parameters = Mapping[str, torch.nn.Parameter]


def clip(parameters: Parameters, largest: float, *, where: str) -> float:
    """Scale the gradients down to a norm.

    Returns:
        The norm before.

    Raises:
        ModelError: E-TRAIN-001, the norm is not finite. Clipping would then multiply every update by zero, and
            training would go on without moving.
    """
    slopes = [p.grad for p in parameters.values() if p.grad is not None]
    total = whole(torch.nn.utils.get_total_norm(slopes))
    torch.nn.utils.clip_grads_with_norm_(parameters.values(), largest, total)
    norm = float(total)
    if not math.isfinite(norm):
        bad = [n for n, p in parameters.items() if p.grad is not None and not bool(torch.isfinite(whole(p.grad)).all())]
        raise ModelError(
            "E-TRAIN-001",
            f"the gradient norm is {norm}" + (f", from {bad[0]}" if bad else ""),
            where=where,
            hint="lower finetune.<strategy>.learning_rate, or set compute.precision to fp32; a probe with huge "
            "weights on near-constant features does this too",
        )
    return norm


def require_bounded(
    strategy: str, train_loss: float, validation_loss: float, knows_nothing: float, *, where: str
) -> None:
    """Stop a training whose loss is not finite, or on train over twice that of knowing nothing.

    Loss on train is computed under dropout, whose noise a probe with large weights on features of a narrow spread makes
    larger. A model that knows more than nothing of validation has not diverged, whatever that comes to.

    Raises:
        ModelError: E-TRAIN-003.
    """
    finite = math.isfinite(train_loss) and math.isfinite(validation_loss)
    if finite and (train_loss <= 2 * knows_nothing or validation_loss < knows_nothing):
        return
    raise ModelError(
        "E-TRAIN-003",
        f"training diverged: loss {train_loss:.3g} on train, {validation_loss:.3g} on validation",
        where=where,
        hint=f"lower finetune.{strategy}.learning_rate",
    )


class Movement:
    """Whether training moves parameters by more than weight decay shrinks them.

    Args:
        parameters: the trained parameters, at their start.
        weight_decay: AdamW's, on all but vectors.
    """

    def __init__(self, parameters: Parameters, weight_decay: float) -> None:
        self._parameters = parameters
        self._weight_decay = weight_decay
        self._start = {name: value.detach().clone() for name, value in parameters.items()}
        self._shrunk, self._path = 1.0, 0.0

    def stepped(self, rate: float) -> None:
        """Count one step at a learning rate."""
        self._shrunk *= 1.0 - rate * self._weight_decay
        self._path += rate

    def check(self, *, where: str) -> None:
        """Raise when the encoder or the head stood still.

        Raises:
            ModelError: E-TRAIN-002.
        """
        for part in ("encoder", "head"):
            names = [name for name in self._parameters if name.startswith(f"{part}.")]
            # an AdamW step is about as long as its rate: a thousandth of the way is rounding
            if names and not any(self._moved(name) > 1e-3 * self._path for name in names):
                raise ModelError(
                    "E-TRAIN-002",
                    f"no parameter of the {part} moved in the first epoch",
                    where=where,
                    hint="raise finetune.<strategy>.learning_rate; if it is a usual one, please report this",
                )

    def _moved(self, name: str) -> float:
        value = self._parameters[name].detach()
        expected = self._start[name] * (self._shrunk if value.ndim > 1 else 1.0)
        return float(whole(value - expected).abs().max())
