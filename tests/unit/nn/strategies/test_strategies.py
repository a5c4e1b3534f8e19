"""Every strategy, generically: a new one gets all of these."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob
from acclimate.nn.model import TextClassifier, linear
from acclimate.nn.step import Tokens
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import finished, train
from acclimate.nn.training_model import build, finish, trainable

ALL = sorted(STRATEGIES)
FROM_PROBE = [name for name in ALL if STRATEGIES[name].starts_from_probe]
MakeJob = Callable[..., TrainJob]


def logits(encoder: Encoder, model: TextClassifier, texts: tuple[str, ...]) -> np.ndarray:
    ids, mask, _ = Tokens.of(encoder, texts, [0] * len(texts)).batch(range(len(texts)))
    model.eval()
    with torch.no_grad():
        return model(ids, mask).numpy()


def frozen_logits(job: TrainJob) -> np.ndarray:
    encoder = Encoder.load(job.source, precision="fp32", max_length=job.max_length)
    return linear(encoder.embed(job.validation.texts), job.probe_weight, job.probe_bias)


@pytest.mark.parametrize("name", FROM_PROBE)
def test_logits_at_step_0_are_the_probes(name: str, make_job: MakeJob) -> None:
    job = make_job(name)
    encoder, model = build(job)
    np.testing.assert_allclose(logits(encoder, model, job.validation.texts), frozen_logits(job), atol=1e-5)


@pytest.mark.parametrize("name", sorted(set(ALL) - set(FROM_PROBE)))
def test_a_random_start_knows_neither_source_nor_probe(name: str, make_job: MakeJob) -> None:
    job = make_job(name, seed=11)
    first, again, other = build(job)[1], build(job)[1], build(make_job(name, seed=12))[1]
    source = Encoder.load(job.source, precision="fp32").module.state_dict()
    for key, value in first.encoder.state_dict().items():
        assert torch.equal(value, again.encoder.state_dict()[key])
        if value.ndim > 1:
            assert not torch.allclose(value, source[key])
            assert not torch.allclose(value, other.encoder.state_dict()[key])
    assert not np.allclose(first.head.weight.detach().numpy(), job.probe_weight)


@pytest.mark.parametrize("name", ALL)
def test_building_leaves_the_global_generator_alone(name: str, make_job: MakeJob) -> None:
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    build(make_job(name))
    assert torch.equal(torch.rand(3), expected)


def plain(name: str) -> str:
    """Name of the encoder's parameter that a parameter is or changes."""
    return re.sub(r"base_model\.model\.|\.base_layer|\.lora_[AB]\.default", "", name)


@pytest.mark.parametrize("name", ALL)
def test_training_moves_what_is_trained_and_nothing_else(name: str, make_job: MakeJob) -> None:
    job = make_job(name, epochs=2)
    model = build(job)[1]
    before = {
        plain(key): value.detach().clone() for key, value in model.encoder.named_parameters() if "lora" not in key
    }
    train(job)
    result = finished(job)
    assert result is not None
    trained = finish(job, result)
    touched = {plain(key[len("encoder.") :]) for key in trainable(model) if key.startswith("encoder.")}
    for key, value in trained.encoder.module.named_parameters():
        assert torch.equal(value, before[key]) == (key not in touched), key
    assert not np.allclose(trained.weight, job.probe_weight)
    assert result.trained_parameters == sum(p.numel() for p in trainable(model).values())
    assert result.total_parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", ALL)
def test_the_merged_model_computes_what_was_trained(name: str, make_job: MakeJob) -> None:
    job = make_job(name, epochs=2)
    train(job)
    result = finished(job)
    assert result is not None
    trained = finish(job, result)
    merged = linear(trained.encoder.embed(job.validation.texts), trained.weight, trained.bias)
    np.testing.assert_allclose(merged, result.validation_logits, atol=1e-4)
    assert np.abs(merged - frozen_logits(job)).max() > 0.05, "training was a no-op"


@pytest.mark.parametrize("name", ALL)
def test_the_merged_model_is_a_plain_one(name: str, make_job: MakeJob) -> None:
    job = make_job(name, epochs=1)
    train(job)
    result = finished(job)
    assert result is not None
    module = finish(job, result).encoder.module
    source = Encoder.load(job.source, precision="fp32").module
    assert type(module) is type(source)
    assert module.state_dict().keys() == source.state_dict().keys()


def test_lora_trains_few_parameters_on_every_linear_layer(make_job: MakeJob) -> None:
    job = make_job("lora")
    names = trainable(build(job)[1])
    linears = [
        n for n, m in Encoder.load(job.source, precision="fp32").module.named_modules() if type(m) is torch.nn.Linear
    ]
    assert len(linears) == 12
    for linear_name in linears:
        assert {f"encoder.base_model.model.{linear_name}.lora_{side}.default.weight" for side in "AB"} <= names.keys()
    assert len(names) == 2 * len(linears) + 2
