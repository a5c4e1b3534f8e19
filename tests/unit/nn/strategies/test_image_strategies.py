"""What is of images only: statistics of batch normalisation, places in DELTA, bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acclimate.errors import ConfigError
from acclimate.nn.compute import Compute
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob
from acclimate.nn.model import AdaptedModel
from acclimate.nn.step import Rows, Workers, gradients
from acclimate.nn.train import finished, train
from acclimate.nn.training_model import build, finish, statistics, trainable
from acclimate.records import SourceCard
from tests.small_jobs import image_job
from tests.toy_images import MODELS, write_image_source

CARD = SourceCard(name="toy", revision="1", digest="d" * 64, licence=None, model_type="x", parameters=1, labels=None)
MakeImageJob = Callable[..., TrainJob]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("vision")
    return {kind: write_image_source(folder / kind, kind) for kind in MODELS}


@pytest.fixture
def make_image_job(sources: dict[str, Path], tmp_path: Path) -> MakeImageJob:
    made = count(1)

    def make(kind: str, strategy: str, **changes: Any) -> TrainJob:
        return image_job(sources[kind], tmp_path / f"job-{next(made)}", strategy, **changes)

    return make


@pytest.mark.parametrize("kind", ["resnet", "efficientnet-lite"])
def test_only_a_random_start_learns_the_statistics_of_batch_normalisation(
    kind: str, make_image_job: MakeImageJob
) -> None:
    for name, learns in (("full", False), ("scratch", True)):
        job = make_image_job(kind, name, epochs=1)
        before = {key: value.clone() for key, value in build(job)[1].state_dict().items() if "running" in key}
        train(job)
        result = finished(job)
        assert result is not None
        after = finish(job, result.weights[0]).encoder.module.state_dict()
        moved = [not torch.equal(value, after[key.removeprefix("encoder.")]) for key, value in before.items()]
        assert all(moved) if learns else not any(moved)


def test_delta_is_the_mean_over_places_of_squared_distances(make_image_job: MakeImageJob) -> None:
    from acclimate.nn.penalties import PenaltyBatch, Start, penalties_of
    from acclimate.nn.penalties.delta import channel_attention, watched_blocks
    from acclimate.nn.training_model import trainable

    job = make_image_job("resnet", "full", settings={"learning_rate": 1e-3, "delta": 0.5})
    encoder, model = build(job)
    model.eval()
    start = Start(job, encoder, model, trainable(model))
    penalty = penalties_of(start).of_rows[0]
    attention = channel_attention(start)
    batch = encoder.reader.prepare(job.train.inputs).batch([0, 1, 2])

    def maps() -> list[torch.Tensor]:
        seen: list[torch.Tensor] = []
        hooks = [
            block.register_forward_hook(lambda *call: seen.append(call[2])) for block in watched_blocks(model.encoder)
        ]
        features = model.features(batch)
        for hook in hooks:
            hook.remove()
        return [*seen, features]

    before = [value.detach() for value in maps()]
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.mul_(1.05)
    *after, features = maps()
    found = penalty(PenaltyBatch([0, 1, 2], batch, features, model.classify(features)))
    expected = 0.0
    for here, there, weight in zip(after, before, attention, strict=False):
        assert weight.shape == (here.shape[1],)
        assert float(weight.sum()) == pytest.approx(1.0, abs=1e-5)
        squares = ((here.detach() - there) ** 2).mean(dim=(2, 3))  # [b, channels]
        expected += float((squares * weight).sum())
    assert float(found.detach()) == pytest.approx(0.5 * expected, rel=1e-4)
    assert expected > 0


def test_a_worker_without_rows_or_with_one_leaves_the_statistics_alone(make_image_job: MakeImageJob) -> None:
    job = make_image_job("resnet", "scratch")
    encoder, model = build(job)
    compute = Compute(model, trainable(model), "fp32")
    compute.model.train()
    data = Rows.of(encoder, job.train)
    before = {name: value.clone() for name, value in statistics(model).items()}
    for rows, workers in (
        ([0], Workers()),
        ([0], Workers(1, 2, lambda _: None)),
        ([0, 1], Workers(1, 2, lambda _: None)),
    ):
        compute.begin()
        gradients(compute, data, rows, workers)
        assert all(torch.equal(value, before[name]) for name, value in statistics(model).items())
    compute.begin()
    gradients(compute, data, [0, 1, 2], Workers())
    assert not any(torch.equal(value, before[name]) for name, value in statistics(model).items())


@pytest.mark.parametrize("name", ["full", "lora", "scratch"])
def test_bfloat16_trains_what_is_stored(name: str, make_image_job: MakeImageJob, tmp_path: Path) -> None:
    job = make_image_job("resnet", name, precision="bf16")
    train(job)
    result = finished(job)
    assert result is not None
    trained = finish(job, result.weights[0])
    model = AdaptedModel.build(trained.encoder, trained.weight, trained.bias, ["a", "b"], strategy=name, source=CARD)
    model.save(tmp_path / "stored")
    again = AdaptedModel.load(tmp_path / "stored").logits(job.validation.inputs)
    np.testing.assert_array_equal(again, model.logits(job.validation.inputs))
    np.testing.assert_allclose(again, result.validation_outputs, atol=0.1)


def test_only_a_model_with_batch_normalisation_learns_statistics(
    make_job: Callable[..., TrainJob], make_image_job: MakeImageJob
) -> None:
    """A text model trained from scratch must keep its bound on memory: parts of a batch."""
    assert not build(make_job("scratch"))[1].learns_statistics
    assert not build(make_image_job("vit", "scratch"))[1].learns_statistics
    assert build(make_image_job("resnet", "scratch"))[1].learns_statistics


@pytest.mark.parametrize(("kind", "targets"), [("vit", ["q_proj", "v_proj"]), ("resnet", ["layer.0.convolution"])])
def test_lora_adapts_the_layers_that_are_named(kind: str, targets: list[str], make_image_job: MakeImageJob) -> None:
    """Of a convolutional network its convolutions."""
    job = make_image_job(kind, "lora", epochs=1)
    job = replace(job, settings={**job.settings, "targets": targets})
    start = dict(Encoder.load(job.source, precision="fp32").module.named_parameters())
    train(job)
    result = finished(job)
    assert result is not None
    trained = finish(job, result.weights[0])
    after = dict(trained.encoder.module.named_parameters())
    moved = {key for key, value in start.items() if not torch.equal(value, after[key])}
    assert moved == {key for key in start if any(key.endswith(f".{target}.weight") for target in targets)}
    assert len(moved) > 1
    model = AdaptedModel.build(trained.encoder, trained.weight, trained.bias, ["a", "b"], strategy="lora", source=CARD)
    np.testing.assert_allclose(model.logits(job.validation.inputs), result.validation_outputs, atol=1e-3, rtol=1e-3)


def test_lora_refuses_what_is_the_name_of_no_convolution(make_image_job: MakeImageJob) -> None:
    job = make_image_job("resnet", "lora")
    with pytest.raises(ConfigError) as caught:
        build(replace(job, settings={**job.settings, "targets": ["query"]}))
    assert (caught.value.code, caught.value.hint) == ("E-TRAIN-038", "their names end in convolution")
