"""The head and the vectors: biases and normalisation.

Source: Ben-Zaken et al. 2022 (BitFit), with the normalisations' weights as in LayerNorm tuning.
"""

from __future__ import annotations

from acclimate.nn.strategies.strategy import Settings, Strategy, train_only
from acclimate.nn.trainable import Trainable


def _prepare(model: Trainable, settings: Settings) -> None:  # noqa: ARG001 - no settings of its own
    train_only(model, {name for name, parameter in model.encoder.named_parameters() if parameter.ndim <= 1})


BITFIT = Strategy(
    "bitfit",
    role="arm",
    starts_from_probe=True,
    prepare=_prepare,
)
