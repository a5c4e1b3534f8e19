"""The baseline's frozen model as arms start from it: with the head that hasn't seen validation."""

from __future__ import annotations

from pathlib import Path

from acclimate.errors import IntegrityError, ModelError
from acclimate.nn.head_file import read_head
from acclimate.nn.model import AdaptedModel

#: In the baseline's folder: the probe on train alone.
PROBE = "probe.safetensors"


def frozen_on_train(baseline: Path) -> AdaptedModel:
    """The frozen model with its probe on train alone, by which all arms are judged.

    Args:
        baseline: baseline's folder, of a classifier.

    Raises:
        IntegrityError: E-TRAIN-020, there is no such probe, or it does not fit.
    """
    model = AdaptedModel.load(baseline / "model")
    try:
        return AdaptedModel.build(
            model.encoder, *read_head(baseline / PROBE), model.labels, strategy=model.strategy, source=model.source
        )
    except ModelError as error:
        raise IntegrityError(
            "E-TRAIN-020", f"the baseline's probe can't be used: {error}", where=error.where, hint="run baseline again"
        ) from error
