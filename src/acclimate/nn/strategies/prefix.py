"""Learned keys and values before each layer's own, see :mod:`acclimate.nn.inserts.prefix`; the head is trained too."""

from __future__ import annotations

from acclimate.nn.inserts import attach
from acclimate.nn.strategies.strategy import Settings, Strategy
from acclimate.nn.trainable import Trainable


def _prepare(model: Trainable, settings: Settings) -> None:
    model.encoder = attach("prefix", model.encoder, settings)
    model.open_head()


PREFIX = Strategy(
    "prefix",
    role="arm",
    starts_from_probe=True,
    prepare=_prepare,
    insert="prefix",
    changes_first_logits=True,
    encoders=("text",),
)
