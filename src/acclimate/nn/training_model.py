"""The model of a training job: built before, merged after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from acclimate.errors import ModelError
from acclimate.nn.encoder import Encoder
from acclimate.nn.inserts import Insert
from acclimate.nn.job import FloatArray, TrainJob
from acclimate.nn.model import Classifier, is_batch_norm
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.trainable import Trainable


@dataclass(frozen=True)
class Trained:
    """A trained model in the parts an adapted model is built from: encoder, head weight [C, d], bias [C]."""

    encoder: Encoder
    weight: FloatArray
    bias: FloatArray


def build(job: TrainJob) -> tuple[Encoder, Classifier]:
    """The classifier of a job at step 0, and the encoder it was made from, which tokenizes for it.

    The same job gives the same bits. What is to be trained has ``requires_grad``.

    Raises:
        ModelError: E-MODEL-024, the strategy does not work on this kind of encoder.
        ConfigError: E-TRAIN-038 or 039, a layer it is to adapt or make anew is not there.
    """
    strategy = STRATEGIES[job.strategy]
    random_seed = None if strategy.starts_from_probe else job.seed
    encoder = Encoder.load(job.source, precision=job.precision, max_length=job.max_length, random_seed=random_seed)
    if not strategy.works_on(encoder.form):
        raise ModelError(
            "E-MODEL-024",
            f"{job.strategy} does not work on this kind of encoder ({encoder.form})",
            where=str(job.source),
            hint=f"take {job.strategy} out of finetune.arms; lora, partial and full work on every encoder",
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(job.seed)
        model = Classifier(encoder.module, encoder.dim, job.n_classes, encoder.pooling)
        if strategy.starts_from_probe:
            model.set_head(job.probe_weight, job.probe_bias)
        strategy.prepare(model, job.settings)
    normalised = any(is_batch_norm(layer) for layer in model.modules())
    model.learns_statistics = normalised and not strategy.starts_from_probe
    return encoder, model


def trainable(model: Trainable) -> dict[str, torch.nn.Parameter]:
    """The parameters that are trained, by name."""
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}


def statistics(model: Trainable) -> dict[str, torch.Tensor]:
    """What batch normalisation learned beside the parameters, by name; empty where it keeps to the source's."""
    if not model.learns_statistics:
        return {}
    return {
        f"{name}.{part}": getattr(layer, part)
        for name, layer in model.named_modules()
        if is_batch_norm(layer)
        for part in ("running_mean", "running_var")
    }


def put(values: Mapping[str, torch.Tensor], into: Mapping[str, torch.Tensor]) -> None:
    """Copy values into the tensors of the same names."""
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
    learned = statistics(model)
    put({name: stored[f"statistic/{name}"] for name in learned}, learned)
    strategy = STRATEGIES[job.strategy]
    insert = None
    if strategy.insert is None:
        strategy.merge(model)
    else:
        insert = Insert.of(strategy.insert, job.settings, model.encoder)
    model.eval()
    head = model.head
    return Trained(
        encoder.with_module(model.encoder, insert=insert),
        head.weight.detach().numpy().copy(),
        head.bias.detach().numpy().copy(),
    )
