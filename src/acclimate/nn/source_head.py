"""The source model as it is: predictions of its own head."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from acclimate.examples import Inputs
from acclimate.nn.batching import token_batches
from acclimate.nn.encoder import TOKEN_BUDGET, Encoder
from acclimate.nn.loading import load_module
from acclimate.nn.model import AdaptedModel


def source_predictions(folder: Path, inputs: Inputs, *, precision: str, max_length: int | None) -> list[str]:
    """Labels that the source model's own head gives.

    Args:
        folder: an adapted model, or a transformers sequence classifier whose config names its labels.
        inputs: n texts or encoded images.
        precision: ``fp32`` or ``bf16`` for an adapted model; a transformers classifier runs in fp32.
        max_length: tokens of a text that are read; None takes the model's own.

    Raises:
        ModelError: the preflight's; E-MODEL-015, the weights of the head are not all there.
    """
    if (folder / "acclimate.json").is_file():
        return AdaptedModel.load(folder, precision).predict(inputs)
    encoder = Encoder.load(folder, precision="fp32", max_length=max_length)
    kind = "AutoModelForImageClassification" if encoder.reads_images else "AutoModelForSequenceClassification"
    model: Any = load_module(getattr(transformers, kind), folder)
    prepared = encoder.reader.prepare(inputs)
    predicted = np.empty(len(inputs), dtype=np.int64)
    model.eval()
    with torch.inference_mode():
        for rows in token_batches(prepared.sizes, token_budget=TOKEN_BUDGET):
            predicted[rows] = model(**prepared.batch(rows)).logits.argmax(dim=1).numpy()
    return [str(model.config.id2label[int(i)]) for i in predicted]
