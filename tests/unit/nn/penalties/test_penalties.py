"""Every penalty, generically, and each against its closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from acclimate.nn.compute import Compute
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob
from acclimate.nn.model import linear
from acclimate.nn.penalties import (
    FEATURE_PENALTIES,
    PENALTIES,
    ROW_PENALTIES,
    WEIGHT_PENALTIES,
    PenaltyBatch,
    Start,
    penalties_of,
)
from acclimate.nn.penalties.bss import Bss
from acclimate.nn.penalties.delta import channel_attention
from acclimate.nn.penalties.l2_sp import L2SP
from acclimate.nn.step import Rows, Workers, gradients, optimizer_for
from acclimate.nn.train import finished, train
from acclimate.nn.training_model import build, trainable

MakeJob = Callable[..., TrainJob]
STRONG = {"l2_sp": 10.0, "delta": 1000.0, "bss": 10.0, "lwf": 100.0}


def started(job: TrainJob) -> Start:
    encoder, model = build(job)
    return Start(job, encoder, model, trainable(model))


def with_penalty(job: TrainJob, **weights: float) -> TrainJob:
    return replace(job, settings={**job.settings, **weights})


def batch_of(start: Start, rows: list[int]) -> PenaltyBatch:
    inputs = Rows.of(start.encoder, start.job.train).prepared.batch(rows)
    features = start.model.features(inputs)
    return PenaltyBatch(rows, inputs, features, start.model.classify(features))


def test_none_is_on_by_itself(make_job: MakeJob) -> None:
    found = penalties_of(started(make_job()))
    assert (found.of_rows, found.of_features, found.of_weights) == ([], [], [])
    assert set(PENALTIES) == set(STRONG)


@pytest.mark.parametrize("name", sorted(ROW_PENALTIES))
@pytest.mark.parametrize("strategy", ["full", "lora", "adapter"])
def test_a_penalty_of_rows_is_0_before_anything_has_moved(name: str, strategy: str, make_job: MakeJob) -> None:
    start = started(with_penalty(make_job(strategy), **{name: 1.0}))
    start.model.eval()
    (penalty,) = penalties_of(start).of_rows
    # a batch of another shape may round its features differently
    assert float(penalty(batch_of(start, [0, 1, 2])).detach()) == pytest.approx(0.0, abs=1e-6)
    with torch.no_grad():
        for parameter in start.parameters.values():
            parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) * 0.1)
    assert float(penalty(batch_of(start, [0, 1, 2])).detach()) > 1e-4


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_a_gradient_is_finite_and_not_nothing(name: str, make_job: MakeJob) -> None:
    """In training mode, where dropout moves even an untrained model."""
    start = started(with_penalty(make_job(), **{name: STRONG[name]}))
    start.model.train()
    plain = started(make_job())
    plain.model.train()
    data = Rows.of(start.encoder, start.job.train)
    for one, penalties in ((start, penalties_of(start)), (plain, penalties_of(plain))):
        torch.manual_seed(0)
        gradients(Compute(one.model, one.parameters, "fp32"), data, list(range(8)), Workers(), penalties)
    largest = 0.0
    for key, parameter in start.parameters.items():
        assert parameter.grad is not None, key
        assert bool(torch.isfinite(parameter.grad).all()), key
        other = plain.parameters[key].grad
        assert other is not None
        largest = max(largest, float((parameter.grad - other).abs().max()))
    assert largest > 1e-4


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_a_strong_penalty_keeps_a_training_near_its_start(name: str, make_job: MakeJob) -> None:
    """By the measure that the penalty is made of."""

    def left(job: TrainJob) -> float:
        train(job)
        result = finished(job)
        assert result is not None
        start = started(with_penalty(job, **{name: 1.0}))
        found = penalties_of(start)
        values = load_file(result.weights[0])
        with torch.no_grad():
            for key, parameter in start.parameters.items():
                parameter.copy_(values[f"parameter/{key}"])
        start.model.eval()
        batch = batch_of(start, list(range(8)))
        of_rows = [penalty(batch) for penalty in found.of_rows]
        of_features = [penalty(batch.features) for penalty in found.of_features]
        of_weights = [penalty() for penalty in found.of_weights]
        return float(sum([*of_rows, *of_features, *of_weights]).detach())  # type: ignore[union-attr]

    free, held = make_job(epochs=3), with_penalty(make_job(epochs=3), **{name: STRONG[name]})
    assert left(held) < 0.5 * left(free)


# --- L2-SP -----------------------------------------------------------------------------------------------------------


def test_l2_sp_is_half_the_squared_way_and_half_the_squared_head() -> None:
    shared, head = (torch.nn.Parameter(torch.tensor(values)) for values in ([1.0, 2.0], [3.0]))
    penalty = L2SP({"encoder.w": shared, "head.w": head}, 0.5)
    assert float(penalty().detach()) == pytest.approx(0.25 * 9)
    with torch.no_grad():
        shared.add_(torch.tensor([1.0, -2.0]))
    assert float(penalty().detach()) == pytest.approx(0.25 * (1 + 4) + 0.25 * 9)


def test_l2_sps_gradient_is_that_of_its_value(make_job: MakeJob) -> None:
    start = started(make_job())
    penalty = L2SP(start.parameters, 0.3)
    with torch.no_grad():
        for parameter in start.parameters.values():
            parameter.mul_(1.1)
    expected = torch.autograd.grad(penalty(), list(start.parameters.values()))
    for parameter in start.parameters.values():
        parameter.grad = torch.ones_like(parameter)
    penalty.add_gradient()
    for parameter, value in zip(start.parameters.values(), expected, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, 1 + value)


def test_l2_sp_takes_the_place_of_weight_decay(make_job: MakeJob) -> None:
    job = make_job()
    parameters = trainable(build(job)[1])
    decays = [group["weight_decay"] for group in optimizer_for(job, parameters).param_groups]
    assert max(decays) > 0
    held = with_penalty(job, l2_sp=0.01)
    assert {group["weight_decay"] for group in optimizer_for(held, parameters).param_groups} == {0.0}


# --- BSS -------------------------------------------------------------------------------------------------------------


def test_bss_is_the_smallest_eigenvalue_of_the_gram_matrix() -> None:
    features = torch.randn(6, 10, generator=torch.Generator().manual_seed(1), dtype=torch.float64).float()
    smallest = np.linalg.eigvalsh((features @ features.T).double().numpy())
    for k in (1, 3):
        assert float(Bss(0.5, k)(features)) == pytest.approx(0.5 * smallest[:k].sum(), rel=1e-3)


def test_bss_of_fewer_rows_than_it_suppresses_takes_all() -> None:
    features = torch.tensor([[3.0, 4.0]])
    assert float(Bss(1.0, 2)(features)) == pytest.approx(25.0)


# --- distillation ----------------------------------------------------------------------------------------------------


def test_distillation_is_the_divergence_at_temperature_2(make_job: MakeJob) -> None:
    start = started(with_penalty(make_job(), lwf=0.7))
    (penalty,) = penalties_of(start).of_rows
    rows = [3, 1, 4]
    logits = torch.randn(3, 2, generator=torch.Generator().manual_seed(2))
    teacher = linear(
        start.encoder.embed([start.job.train.inputs[row] for row in rows]), start.job.probe_weight, start.job.probe_bias
    )
    p, q = (np.exp(z / 2) / np.exp(z / 2).sum(axis=1, keepdims=True) for z in (teacher, logits.numpy()))
    expected = 0.7 * 4 * (p * (np.log(p) - np.log(q))).sum()
    found = penalty(replace(batch_of(start, rows), logits=logits))
    assert float(found) == pytest.approx(float(expected), rel=1e-4)


# --- DELTA -----------------------------------------------------------------------------------------------------------


def test_deltas_attention_rises_with_what_the_answer_depends_on(make_job: MakeJob) -> None:
    """A head that looks at one channel only, and is right: that channel of the last block matters most."""
    job = make_job()
    features = Encoder.load(job.source, precision="fp32").embed(job.train.inputs)[:, 5]
    weight, bias = np.zeros_like(job.probe_weight), np.zeros_like(job.probe_bias)
    weight[1, 5] = 40.0
    labels = (features > np.median(features)).astype(np.int64)
    bias[1] = -40.0 * np.median(features)
    rows = replace(job.train, labels=labels)
    attention = channel_attention(started(replace(job, train=rows, probe_weight=weight, probe_bias=bias)))
    assert len(attention) == 2
    for one in attention:
        assert float(one.sum()) == pytest.approx(1.0)
    assert int(attention[1].argmax()) == 5
    others = np.delete(attention[1].numpy(), 5)
    np.testing.assert_allclose(others, others[0], rtol=1e-4)


def test_delta_is_the_mean_over_tokens_of_squared_distances(make_job: MakeJob) -> None:
    start = started(with_penalty(make_job(), delta=2.0))
    start.model.eval()
    (penalty,) = penalties_of(start).of_rows
    rows = [0, 1, 2]
    before = start.encoder.with_module(start.model.encoder)
    texts = [start.job.train.inputs[row] for row in rows]
    inputs = before.reader.prepare(texts).batch(range(len(texts)))
    mask = inputs["attention_mask"]
    with torch.no_grad():
        first = start.model.encoder(**inputs, output_hidden_states=True).hidden_states
        for parameter in start.parameters.values():
            parameter.add_(0.01)
        second = start.model.encoder(**inputs, output_hidden_states=True).hidden_states
    attention = channel_attention(started(start.job))
    expected = 0.0
    for layer, weights in ((1, attention[0]), (2, attention[1])):
        for row in range(3):
            tokens = mask[row].bool()
            distance = ((second[layer][row, tokens] - first[layer][row, tokens]) ** 2).mean(dim=0)
            expected += 2.0 * float((distance * weights).sum())
    assert float(penalty(batch_of(start, rows)).detach()) == pytest.approx(expected, rel=1e-3)


def test_evaluating_keeps_no_states(make_job: MakeJob) -> None:
    start = started(with_penalty(make_job(), delta=1.0))
    (penalty,) = penalties_of(start).of_rows
    for rows in ([0], [1, 2, 3], [4]):
        batch_of(start, rows)
    assert float(penalty(batch_of(start, [5, 6])).detach()) >= 0, "the last run's states are those that are compared"


# --- together --------------------------------------------------------------------------------------------------------


def test_all_registries_are_asked_for() -> None:
    assert sorted([*ROW_PENALTIES, *FEATURE_PENALTIES, *WEIGHT_PENALTIES]) == sorted(PENALTIES)
