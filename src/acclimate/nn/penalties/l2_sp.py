"""L2-SP: a/2 ||w_shared - w0||^2 + b/2 ||w_head||^2 with a = b, in the place of weight decay.

Source: Li, Grandvalet & Davoine 2018, eq. 2 and 3.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from acclimate.nn.penalties import Start


class L2SP:
    """The penalty of trained weights for leaving their start, and of the head's for being large.

    Args:
        parameters: what is trained, by name, at its start; names that begin with ``head.`` are the head's.
        weight: a and b.
    """

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], weight: float) -> None:
        self._shared = [value for name, value in parameters.items() if not name.startswith("head.")]
        self._head = [value for name, value in parameters.items() if name.startswith("head.")]
        self._start = [value.detach().clone() for value in self._shared]
        self._weight = weight

    def __call__(self) -> torch.Tensor:
        """The penalty, a scalar in the graph; its first term is 0 at the start."""
        moved = sum(((a - b) ** 2).sum() for a, b in zip(self._shared, self._start, strict=True))
        size = sum((value**2).sum() for value in self._head)
        return torch.as_tensor(self._weight / 2 * (moved + size))

    def add_gradient(self) -> None:
        """A (w - w0) and a w, added to the gradients that are there; what is not trained now has none."""
        with torch.no_grad():
            for value, start in zip(self._shared, self._start, strict=True):
                if value.grad is not None:
                    value.grad.add_(value - start, alpha=self._weight)
            for value in self._head:
                if value.grad is not None:
                    value.grad.add_(value, alpha=self._weight)


def make(start: Start, weight: float) -> L2SP:
    """The penalty of a job's trained parameters."""
    return L2SP(start.parameters, weight)
