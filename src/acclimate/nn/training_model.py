"""The model of a training job: built before, merged after."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from acclimate.nn.encoder import Encoder
from acclimate.nn.inserts import Insert
from acclimate.nn.job import FloatArray, TrainJob
from acclimate.nn.model import TextClassifier
from acclimate.nn.strategies import STRATEGIES


@dataclass(frozen=True)
class Trained:
    """A trained model in the parts an adapted model is built from: encoder, head weight [C, d], bias [C]."""

    encoder: Encoder
    weight: FloatArray
    bias: FloatArray


def build(job: TrainJob) -> tuple[Encoder, TextClassifier]:
    """The classifier of a job at step 0, and the encoder it was made from, which tokenizes for it.

    The same job gives the same bits. What is to be trained has ``requires_grad``.
    """
    strategy = STRATEGIES[job.strategy]
    random_seed = None if strategy.starts_from_probe else job.seed
    encoder = Encoder.load(job.source, precision=job.precision, max_length=job.max_length, random_seed=random_seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        model = TextClassifier(encoder.module, encoder.dim, job.n_classes, encoder.pooling)
        if strategy.starts_from_probe:
            model.set_head(job.probe_weight, job.probe_bias)
        strategy.prepare(model, job.settings)
    return encoder, model


def trainable(model: TextClassifier) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def put(values: dict[str, torch.Tensor], into: dict[str, torch.nn.Parameter]) -> None:
    """Copy values into the parameters of the same names."""
    with torch.no_grad():
        for name, parameter in into.items():
            parameter.copy_(values[name])


def finish(job: TrainJob, weights: Path) -> Trained:
    """The trained model of a finished job: merged into plain weights where its strategy allows, else with inserts.

    Args:
        job: what was trained.
        weights: one of its result's files.
    """
    encoder, model = build(job)
    stored, parameters = load_file(weights), trainable(model)
    put({name: stored[f"parameter/{name}"] for name in parameters}, parameters)
    strategy = STRATEGIES[job.strategy]
    insert = None
    if strategy.merge is None:
        insert = Insert.of(strategy.name, job.settings, model.encoder)
    else:
        strategy.merge(model)
    model.eval()
    head = model.head
    return Trained(
        encoder.with_module(model.encoder, insert=insert),
        head.weight.detach().numpy().copy(),
        head.bias.detach().numpy().copy(),
    )
