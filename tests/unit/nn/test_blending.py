"""Averages of weights: against the arithmetic, at both ends of the line, and what is chosen on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from acclimate.nn.averaging import between, mean, weighted
from acclimate.nn.blending import blended
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import TrainJob, TrainResult
from acclimate.nn.model import linear
from acclimate.nn.train import finished, train
from acclimate.nn.training_model import Trained, finish

MakeJob = Callable[..., TrainJob]


def source_of(job: TrainJob) -> Trained:
    return Trained(Encoder.load(job.source, precision="fp32", max_length=32), job.probe_weight, job.probe_bias)


def result_of(job: TrainJob) -> TrainResult:
    train(job)
    result = finished(job)
    assert result is not None
    return result


def logits(model: Trained, texts: tuple[str, ...]) -> np.ndarray:
    return linear(model.encoder.embed(texts), model.weight, model.bias)


def test_the_ends_of_the_line_are_the_models_themselves(make_job: MakeJob) -> None:
    job = make_job("lora", epochs=2)
    source, tuned = source_of(job), finish(job, result_of(job).weights[0])
    texts = job.validation.inputs
    np.testing.assert_array_equal(logits(between(source, tuned, 0.0), texts), logits(source, texts))
    assert between(source, tuned, 1.0) is tuned
    half, parts = between(source, tuned, 0.5), (source, tuned)
    for name, value in half.encoder.module.state_dict().items():
        a, b = (part.encoder.module.state_dict()[name] for part in parts)
        torch.testing.assert_close(value, a if not value.is_floating_point() else (a + b) / 2)
    np.testing.assert_allclose(half.weight, (source.weight + tuned.weight) / 2, rtol=1e-6)


def test_averaging_leaves_what_is_averaged_alone(make_job: MakeJob) -> None:
    job = make_job(epochs=1)
    source, tuned = source_of(job), finish(job, result_of(job).weights[0])
    before = {name: value.clone() for name, value in tuned.encoder.module.state_dict().items()}
    mean([tuned, source, tuned])
    assert all(torch.equal(value, before[name]) for name, value in tuned.encoder.module.state_dict().items())


def test_models_of_other_shapes_are_not_averaged(make_job: MakeJob) -> None:
    job = make_job("adapter", epochs=1)
    with pytest.raises(ValueError, match="different shapes"):
        weighted([source_of(job), finish(job, result_of(job).weights[0])], [0.5, 0.5])


def test_so_many_of_the_best_epochs_are_kept_best_first(make_job: MakeJob) -> None:
    job = make_job(epochs=5, patience=5, keep=3)
    result = result_of(job)
    scores = [point.validation_score for point in result.history]
    order = sorted(range(5), key=lambda epoch: (-scores[epoch], epoch))[:3]
    assert [path.name for path in result.weights] == [f"best-{epoch + 1}.safetensors" for epoch in order]
    assert {path.name for path in job.folder.iterdir()} == {"checkpoint.json", *(path.name for path in result.weights)}
    predicted = logits(finish(job, result.weights[0]), job.validation.inputs)
    np.testing.assert_allclose(predicted, result.validation_outputs, atol=1e-4)


def test_the_best_point_is_handed_on_and_of_equals_the_one_nearer_to_the_source(make_job: MakeJob) -> None:
    job = make_job(epochs=3, keep=2)
    result = result_of(job)
    source, seen = source_of(job), []

    def score(model: Trained) -> float:
        # how far the head has come along the way to the best epoch's
        share = float(np.abs(model.weight - source.weight).max() / np.abs(tuned.weight - source.weight).max())
        seen.append(share)
        return -abs(share - 0.45)

    tuned = finish(job, result.weights[0])
    found = blended(replace(job, keep=1), replace(result, weights=result.weights[:1]), score, source=source)
    assert found.alpha == 0.4, "0.4 and 0.5 are equally near: the smaller one forgets less"
    assert sorted(found.scores) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert len(seen) == 10


@pytest.mark.parametrize("strategy", ["adapter", "prefix", "scratch"])
def test_without_a_line_to_the_source_the_trained_model_is_handed_on(strategy: str, make_job: MakeJob) -> None:
    job = make_job(strategy, epochs=2)
    result = result_of(job)
    found = blended(job, result, lambda _: 0.5, source=source_of(job))
    assert (found.alpha, list(found.scores)) == (1.0, [1.0])
    assert found.model is found.tuned
    assert found.epochs == (result.best_epoch,)


def test_epochs_are_averaged_where_that_is_no_worse(make_job: MakeJob) -> None:
    job = make_job(epochs=3, keep=3)
    result = result_of(job)
    models = [finish(job, path) for path in result.weights]
    found = blended(job, result, lambda _: 0.5, source=None)
    assert len(found.epochs) == 3
    np.testing.assert_allclose(found.model.weight, np.mean([one.weight for one in models], axis=0), rtol=1e-5)
    worse = iter([0.5, 0.4, 0.4])
    assert blended(job, result, lambda _: next(worse), source=None).epochs == (result.best_epoch,)
