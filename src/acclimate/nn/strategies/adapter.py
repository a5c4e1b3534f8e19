"""Bottleneck layers behind each block, see :mod:`acclimate.nn.inserts.bottleneck`; the head is trained too."""

from __future__ import annotations

from acclimate.nn.inserts import attach
from acclimate.nn.strategies.strategy import Settings, Strategy
from acclimate.nn.trainable import Trainable


def _prepare(model: Trainable, settings: Settings) -> None:
    model.encoder = attach("adapter", model.encoder, settings)
    model.open_head()


ADAPTER = Strategy(
    "adapter",
    role="arm",
    starts_from_probe=True,
    prepare=_prepare,
    insert="adapter",
    encoders=("text", "patches"),
)
