from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from acclimate.nn import step
from acclimate.nn.compute import Compute
from acclimate.nn.job import TrainJob
from acclimate.nn.step import Rows, Workers, gradients, optimizer_for
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.training_model import build, trainable


def gradient_of(
    job: TrainJob, rows: list[int], world: int, precision: str = "fp32"
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and gradient of a batch whose shares are computed one after the other."""
    encoder, model = build(job)
    model.eval()
    data = Rows.of(encoder, job.train)
    parameters = trainable(model)
    compute = Compute(model, parameters, precision)
    compute.model.eval()
    loss = sum(gradients(compute, data, rows, Workers(rank, world)) for rank in range(world))
    return loss, {name: p.grad for name, p in parameters.items() if p.grad is not None}


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
@pytest.mark.parametrize("world", [2, 3, 8])
def test_shares_add_up_to_the_gradient_of_the_batch(
    strategy: str, world: int, make_job: Callable[..., TrainJob]
) -> None:
    job, rows = make_job(strategy), [4, 40, 17, 3, 28, 9, 33]
    loss, whole = gradient_of(job, rows, 1)
    summed, parts = gradient_of(job, rows, world)
    assert summed == pytest.approx(loss, rel=1e-5)
    assert whole.keys() == parts.keys() == trainable(build(job)[1]).keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(parts[name], gradient, atol=1e-6, rtol=1e-4)


def test_the_gradient_is_that_of_the_mean_loss(make_job: Callable[..., TrainJob]) -> None:
    job, rows = make_job(), [0, 1, 2, 3, 4]
    encoder, model = build(job)
    model.eval()
    data = Rows.of(encoder, job.train)
    torch.nn.functional.cross_entropy(model(data.prepared.batch(rows)), data.labels[rows]).backward()
    found = gradient_of(job, rows, 1)[1]
    for name, parameter in trainable(model).items():
        torch.testing.assert_close(found[name], parameter.grad)


@pytest.mark.parametrize("world", [1, 2])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_the_gradient_of_parts_is_that_of_the_whole_batch(
    strategy: str, world: int, make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gradient accumulation: a batch whose activations would not fit is computed in parts."""
    job, rows = make_job(strategy), list(range(24))
    encoder = build(job)[0]
    data = Rows.of(encoder, job.train)
    whole = gradient_of(job, rows, 1)
    assert len(step._parts(rows, data, whole=False)) == 1
    monkeypatch.setattr(step, "PART_TOKENS", 4 * max(data.sizes))
    assert len(step._parts(rows[::world], data, whole=False)) >= 6 / world
    accumulated = gradient_of(job, rows, world)
    assert accumulated[0] == pytest.approx(whole[0], rel=1e-5)
    assert accumulated[1].keys() == whole[1].keys()
    for name, gradient in whole[1].items():
        torch.testing.assert_close(accumulated[1][name], gradient, atol=1e-6, rtol=1e-4)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_in_bfloat16_the_parts_of_a_batch_add_up_in_float32(
    strategy: str, make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, rows = make_job(strategy), list(range(24))
    exact = gradient_of(job, rows, 1)[1]
    monkeypatch.setattr(step, "PART_TOKENS", 1)
    accumulated = gradient_of(job, rows, 1, "bf16")[1]
    assert {value.dtype for value in accumulated.values()} == {torch.float32}
    a, b = (torch.cat([values[name].flatten() for name in exact]) for values in (exact, accumulated))
    assert float(torch.nn.functional.cosine_similarity(a, b, dim=0)) > 0.99
    assert float(a.norm()) == pytest.approx(float(b.norm()), rel=0.05)


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_in_bfloat16_the_gradient_points_the_same_way(strategy: str, make_job: Callable[..., TrainJob]) -> None:
    job, rows = make_job(strategy), list(range(24))
    exact, rounded = (gradient_of(job, rows, 1, precision)[1] for precision in ("fp32", "bf16"))
    assert exact.keys() == rounded.keys()
    assert {value.dtype for value in rounded.values()} == {torch.float32}
    a, b = (torch.cat([values[name].flatten() for name in exact]) for values in (exact, rounded))
    assert float(torch.nn.functional.cosine_similarity(a, b, dim=0)) > 0.99
    assert not torch.equal(a, b)


def test_what_computes_follows_what_is_trained(make_job: Callable[..., TrainJob]) -> None:
    model = build(make_job())[1]
    parameters = trainable(model)
    compute = Compute(model, parameters, "bf16")
    own = dict(compute.model.named_parameters())
    assert {value.dtype for name, value in own.items() if not name.startswith("head.")} == {torch.bfloat16}
    with torch.no_grad():
        for parameter in parameters.values():
            parameter.add_(1.0)
    parameters["encoder.embeddings.word_embeddings.weight"].requires_grad_(False)
    compute.refresh()
    for name, parameter in parameters.items():
        torch.testing.assert_close(own[name], parameter.to(own[name].dtype))
        assert own[name].requires_grad == parameter.requires_grad
    assert Compute(model, parameters, "fp32").model is model


def test_biases_and_normalisation_do_not_decay(make_job: Callable[..., TrainJob]) -> None:
    parameters = trainable(build(make_job())[1])
    decaying, spared = optimizer_for(make_job(weight_decay=0.5), parameters).param_groups
    names = {id(parameter): name for name, parameter in parameters.items()}
    assert (decaying["weight_decay"], spared["weight_decay"]) == (0.5, 0.0)
    assert all(name.endswith("bias") or "LayerNorm" in name for name in (names[id(p)] for p in spared["params"]))
    assert all(name.endswith("weight") and "Norm" not in name for name in (names[id(p)] for p in decaying["params"]))
    assert len(decaying["params"]) + len(spared["params"]) == len(parameters)
