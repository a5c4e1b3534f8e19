"""Batch spectral shrinkage: eta times the squares of the smallest singular values of a batch's feature matrix.

Source: Chen, Wang, Fu, Long & Wang 2019, eq. 4; k = 1.
"""

from __future__ import annotations

import torch

SMALLEST = 1


class Bss:
    """The penalty of the directions in which a batch's features hardly vary.

    Args:
        eta: its weight.
        smallest: how many singular values are suppressed, k.
    """

    def __init__(self, eta: float, smallest: int = SMALLEST) -> None:
        self._eta = eta
        self._smallest = smallest

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Eta sum_{i<=k} sigma_{-i}^2 of features [B, d]; a batch of fewer than k rows or dimensions takes all."""
        singular = torch.linalg.svdvals(features.float())  # [min(B, d)], largest first
        penalty: torch.Tensor = self._eta * (singular[-self._smallest :] ** 2).sum()
        return penalty


def make(weight: float) -> Bss:
    """The penalty with k = 1."""
    return Bss(weight)
