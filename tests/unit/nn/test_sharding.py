"""Training with the model shared out among workers: two real processes, which must do what two unsharded ones do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from acclimate.errors import ConfigError, ModelError
from acclimate.nn.devices import CPU
from acclimate.nn.job import Job, TrainJob
from acclimate.nn.sharding import ShardedCompute
from acclimate.nn.step import Workers
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import finished, train
from acclimate.nn.trainable import Trainable
from tests.gloo_workers import held, in_processes, trained
from tests.small_jobs import lm_job
from tests.tiny_lm import toy_pairs, write_tiny_lm

MakeJob = Callable[..., TrainJob]
SHARDED = tuple(name for name, strategy in STRATEGIES.items() if strategy.is_shardable)
WRITING: dict[str, dict[str, float | int]] = {
    "full": {"learning_rate": 5e-3},
    "lora": {"learning_rate": 2e-2, "rank": 8},
}


def in_folder(job: Job, name: str) -> Any:
    return replace(job, folder=job.folder.with_name(f"{job.folder.name}-{name}"))


def assert_close(one: Job, other: Job, *, outputs: float = 1e-5) -> None:
    left, right = finished(one), finished(other)
    assert left is not None
    assert right is not None
    assert (left.trained_parameters, left.total_parameters) == (right.trained_parameters, right.total_parameters)
    for a, b in zip(left.history, right.history, strict=True):
        assert a.train_loss == pytest.approx(b.train_loss, abs=outputs)
        assert a.validation_loss == pytest.approx(b.validation_loss, abs=outputs)
    np.testing.assert_allclose(left.validation_outputs, right.validation_outputs, atol=outputs * 10)
    mine, theirs = load_file(left.weights[0]), load_file(right.weights[0])
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        np.testing.assert_allclose(value.numpy(), theirs[name].numpy(), atol=outputs * 10, err_msg=name)


@pytest.mark.slow
def test_sharded_workers_do_what_unsharded_ones_do(make_job: MakeJob, tmp_path: Path) -> None:
    """One test, since processes take many seconds to start.

    50 rows in batches of 7: shares of unequal size, in unequal numbers of parts, and a last batch of one row that
    leaves a worker without any.
    """
    plain: dict[str, Any] = {"batch_size": 7, "epochs": 2}
    jobs: dict[str, Job] = {name: make_job(name, **plain) for name in SHARDED}
    jobs["held"] = make_job("full", **plain, settings={"learning_rate": 1e-3, "l2_sp": 0.1})
    lm, pairs = write_tiny_lm(tmp_path / "tiny-llama"), {"train": toy_pairs(22, 1), "validation": toy_pairs(9, 2)}
    jobs |= {
        f"writing {name}": lm_job(lm, tmp_path / f"writing-{name}", name, settings=own, **plain, **pairs)
        for name, own in WRITING.items()
    }
    rounded = make_job("full", **plain, precision="bf16")
    works = [
        partial(trained, in_folder(job, how), sharded=how == "sharded")
        for job in [*jobs.values(), rounded]
        for how in ("sharded", "plain")
    ]
    # half sharded, half not, both ways round
    resumed = jobs["full"]
    works += [
        partial(trained, in_folder(resumed, name), sharded=sharded, until=until)
        for name, first in (("there", True), ("back", False))
        for sharded, until in ((first, 1), (not first, None))
    ]
    broken = make_job("full", **plain, probe_weight=np.full((2, 32), 1e38, dtype=np.float32))
    still = make_job("full", **plain, settings={"learning_rate": 1e-12})
    works += [partial(trained, job, sharded=True) for job in (broken, still)]
    works.append(partial(held, jobs["full"]))
    meeting = tmp_path / "meeting-place"
    meeting.mkdir()
    found = in_processes(2, works, meeting)

    for of_worker in found:
        errors = [one for one in of_worker[:-1] if one is not None]
        assert errors == ["E-TRAIN-001", "E-TRAIN-002"]
    for job in jobs.values():
        assert_close(in_folder(job, "sharded"), in_folder(job, "plain"))
    assert_close(in_folder(rounded, "sharded"), in_folder(rounded, "plain"), outputs=0.02)
    for name in ("there", "back"):
        assert_close(in_folder(resumed, name), in_folder(resumed, "plain"))
    for parameters, all_parameters, moments, all_moments in (of_worker[-1] for of_worker in found):
        assert parameters == pytest.approx(all_parameters / 2, rel=0.05)
        assert moments == pytest.approx(all_moments / 2, rel=0.05)
    assert sum(of_worker[-1][0] for of_worker in found) == found[0][-1][1]


def test_what_works_on_whole_weights_is_refused_before_anything_is_built(make_job: MakeJob) -> None:
    sharded = Workers(0, 2, sharded=True)
    jobs = [make_job(strategy) for strategy in STRATEGIES if strategy not in SHARDED]
    jobs += [make_job("full", settings={"learning_rate": 1e-3, name: 0.1}) for name in ("delta", "lwf", "bss")]
    for job in jobs:
        with pytest.raises(ConfigError) as caught:
            train(job, workers=sharded)
        assert caught.value.code == "E-TRAIN-036"
        assert "compute.sharded: false" in caught.value.hint
        assert not job.folder.exists()


def test_batch_normalisation_is_refused() -> None:
    encoder = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4))
    with pytest.raises(ModelError) as caught:
        ShardedCompute(Trainable(encoder, torch.nn.Linear(4, 2), head_is_new=True), "fp32", CPU)
    assert caught.value.code == "E-TRAIN-037"
