"""What training computes on. A GPU is needed to see it compute there: those tests are marked ``gpu``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from acclimate.errors import ConfigError
from acclimate.nn.calibrate import calibrate
from acclimate.nn.devices import CPU, device_of, generators, measuring_device, training_device
from acclimate.nn.job import TrainJob
from acclimate.nn.step import Rows, Workers
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import InProcessTrainer, finished, train
from acclimate.nn.training_model import build

MakeJob = Callable[..., TrainJob]
HELD = {"l2_sp": 0.1, "delta": 1.0, "bss": 0.01, "lwf": 1.0}
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")


@pytest.fixture
def gpu() -> torch.device:
    if not torch.cuda.is_available():
        pytest.skip("no GPU here: what trains on one is unverified until this ran on a machine that has one")
    return torch.device("cuda", torch.cuda.current_device())


def test_nothing_asked_for_means_the_processors() -> None:
    assert training_device(0) == measuring_device(0) == CPU
    assert generators(CPU) == []


@without_gpu
def test_a_gpu_that_is_not_there_is_an_error_and_not_a_slow_training(make_job: MakeJob) -> None:
    with pytest.raises(ConfigError) as caught:
        InProcessTrainer(gpus=1).train(make_job())
    assert caught.value.code == "E-TRAIN-035"
    assert "gpus_per_worker" in caught.value.hint


@without_gpu
def test_where_there_is_none_the_processors_are_measured() -> None:
    assert measuring_device(2) == CPU


def test_a_batch_goes_where_the_model_is(make_job: MakeJob) -> None:
    """``meta`` stands for a device that is not the processors: it has shapes and no values."""
    job = make_job()
    encoder, model = build(job)
    data, elsewhere = Rows.of(encoder, job.train), torch.device("meta")
    model.to(elsewhere)
    assert device_of(model) == device_of(encoder.module) == elsewhere
    inputs, labels = data.batch([3, 1, 2], elsewhere)
    assert {labels.device, *(value.device for value in inputs.values())} == {elsewhere}
    at_home, labels = data.batch([3, 1, 2], CPU)
    assert at_home["input_ids"].tolist() == data.prepared.batch([3, 1, 2])["input_ids"].tolist()
    assert labels.tolist() == job.train.labels[[3, 1, 2]].tolist()


class Stopped(Exception):
    """Stands for a signal."""


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_a_gpu_trains_what_the_processors_train(
    strategy: str, precision: str, make_job: MakeJob, gpu: torch.device
) -> None:
    here = InProcessTrainer().train(make_job(strategy, precision=precision, epochs=8, patience=8))
    there = InProcessTrainer(gpus=1).train(make_job(strategy, precision=precision, epochs=8, patience=8))
    assert len(there.history) == len(here.history)
    assert there.best_score > 0.8
    # it draws another dropout
    assert there.history[0].validation_loss == pytest.approx(here.history[0].validation_loss, abs=0.05)


@pytest.mark.gpu
def test_on_a_gpu_penalties_train_too(make_job: MakeJob, gpu: torch.device) -> None:
    found = InProcessTrainer(gpus=1).train(make_job(settings={"learning_rate": 2e-3, **HELD}, epochs=8, patience=8))
    assert found.best_score > 0.8


@pytest.mark.gpu
def test_on_a_gpu_a_stopped_training_goes_on_and_draws_the_same_dropout(make_job: MakeJob, gpu: torch.device) -> None:
    def stop(event: str, /, **_fields: object) -> None:
        raise Stopped(event)

    undisturbed = InProcessTrainer(gpus=1).train(make_job())
    job = make_job()
    with pytest.raises(Stopped):
        train(job, workers=Workers(device=gpu), progress=stop)
    torch.cuda.manual_seed(9)
    resumed = InProcessTrainer(gpus=1).train(job)
    np.testing.assert_allclose(resumed.validation_outputs, undisturbed.validation_outputs, atol=1e-4)


@pytest.mark.gpu
def test_a_training_begun_on_a_gpu_is_finished_on_the_processors(make_job: MakeJob, gpu: torch.device) -> None:
    def stop(event: str, /, **_fields: object) -> None:
        raise Stopped(event)

    job = make_job()
    with pytest.raises(Stopped):
        train(job, workers=Workers(device=gpu), progress=stop)
    train(job)
    assert finished(job) is not None
    assert finished(replace(job, seed=9)) is None


@pytest.mark.gpu
def test_the_speed_is_that_of_the_gpu(make_job: MakeJob, gpu: torch.device) -> None:
    job = make_job()
    found = calibrate(
        job.source,
        job.train.inputs,
        precision="auto",
        max_length=None,
        strategies={"full": {}},
        batch_size=8,
        device=measuring_device(1),
    )
    assert torch.cuda.get_device_name(gpu) in found.machine
