from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.errors import ConfigError, ModelError, UnavailableError
from acclimate.nn.job import MaskedJob, TrainJob
from acclimate.nn.train import InProcessTrainer
from tests.copied_folders import CopiedFolders
from tests.ray_jobs import kill_one_worker, ray_job
from tests.servers import free_ports

pytestmark = pytest.mark.ray
# dropout differs from worker to worker
LOSS_TOLERANCE = 0.05


@pytest.fixture
def make_job(tiny_source: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    return partial(ray_job, tiny_source, tmp_path / "checkpoints")


@pytest.mark.slow
def test_workers_without_a_common_disk_train_report_fail_and_recover(
    make_job: Callable[..., TrainJob],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """One test, since each start of Ray takes many seconds."""
    from acclimate.adapters.ray import RayTrainer

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    shared = CopiedFolders(tmp_path / "machines")
    long = {"epochs": 25, "patience": 25}
    job = replace(make_job("several", **long), folder=shared.home / "checkpoints" / "job" / "full-full-25")
    epochs: list[int] = []
    killed: list[int] = []
    came_by_disk: list[int] = []

    def progress(event: str, /, **fields: Any) -> None:
        os.write(1, b"told\n")
        print("told")
        if event != "epoch":
            return
        epochs.append(fields["epoch"])
        if job.folder.exists():
            came_by_disk.append(fields["epoch"])
        if not killed:
            killed.append(kill_one_worker())

    trainer = RayTrainer(workers=2, shared=shared)
    several = trainer.train(job, progress=progress)
    assert killed[0] > 0
    assert epochs == sorted(set(epochs)), "an epoch was trained twice"
    assert epochs[-1] == 25
    assert came_by_disk == []
    assert {home.name for home in shared.homes} >= {f"home-{killed[0]}", shared.home.name}
    assert len(shared.homes) == 5, "the driver, two workers and the two that replaced them"
    assert all((home / "sources" / "tiny" / "config.json").exists() for home in shared.homes)
    one = InProcessTrainer().train(make_job("one", **long))
    assert len(several.history) == len(one.history)
    losses = [[point.validation_loss for point in result.history] for result in (several, one)]
    np.testing.assert_allclose(*losses, atol=LOSS_TOLERANCE)
    assert several.best_score > 0.8
    assert list((shared.home / "tmp").iterdir()) == []
    # Ray tells of the dead worker on standard output, where a caller expects our result and nothing else
    assert capfd.readouterr().out == ""

    # a finished job needs no Ray
    assert trainer.train(job, progress=progress).history == several.history


@pytest.mark.slow
def test_a_job_that_fails_is_named_on_a_common_disk(
    make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    from acclimate.adapters.ray import RayTrainer

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    job = make_job("still", settings={"learning_rate": 1e-12})
    with pytest.raises(ModelError) as caught:
        RayTrainer(workers=2).train(job)
    assert caught.value.code == "E-TRAIN-002"
    assert [path.name for path in job.folder.parent.iterdir() if "ray" in path.name] == []


@pytest.mark.slow
def test_two_workers_pretrain_as_one_does(make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch) -> None:
    from acclimate.adapters.ray import RayTrainer

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    plain = make_job("pretraining", epochs=2)
    own = ("probe_weight", "probe_bias", "train", "validation")
    fields = {name: value for name, value in vars(plain).items() if name not in own}
    texts = {"train": plain.train.inputs, "held_out": plain.validation.inputs}
    settings = {"strategy": "tapt", "settings": {"learning_rate": 3e-3, "masked_share": 0.15}}
    job = MaskedJob(**{**fields, **texts, **settings, "metric": "masked_loss"})
    several = RayTrainer(workers=2).train(job)
    one = InProcessTrainer().train(replace(job, folder=job.folder.with_name("one")))
    losses = [[point.validation_loss for point in result.history] for result in (several, one)]
    np.testing.assert_allclose(*losses, atol=LOSS_TOLERANCE)
    assert losses[0][1] < losses[0][0]


@pytest.mark.slow
def test_two_workers_share_out_the_model(make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch) -> None:
    from acclimate.adapters.ray import RayTrainer

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    sharded = RayTrainer(workers=2, sharded=True).train(make_job("sharded"))
    one = InProcessTrainer().train(make_job("one"))
    losses = [[point.validation_loss for point in result.history] for result in (sharded, one)]
    np.testing.assert_allclose(*losses, atol=LOSS_TOLERANCE)
    assert losses[0][2] < losses[0][0]


def test_checkpoints_outside_of_the_shared_workspace_are_refused(
    make_job: Callable[..., TrainJob], tmp_path: Path
) -> None:
    from acclimate.adapters.ray import RayTrainer

    with pytest.raises(ConfigError) as caught:
        RayTrainer(workers=2, shared=CopiedFolders(tmp_path / "machines")).train(make_job("elsewhere"))
    assert caught.value.code == "E-TRAIN-034"


def test_a_worker_that_sees_no_workspace_says_so(make_job: Callable[..., TrainJob], tmp_path: Path) -> None:
    from acclimate.adapters.ray_files import Exchange

    with pytest.raises(UnavailableError) as caught:
        Exchange(tmp_path / "on another machine", None).local(make_job("any"))
    assert caught.value.code == "E-TRAIN-033"


def test_while_ray_runs_nothing_reaches_standard_output(capfd: pytest.CaptureFixture[str]) -> None:
    from acclimate.adapters.ray_session import quiet_output

    with quiet_output():
        print("ours")
        os.write(1, b"a library's\n")
        subprocess.run(["echo", "a child's"], check=True)
    print("the result")
    out, err = capfd.readouterr()
    assert out == "the result\n"
    assert {"ours", "a library's", "a child's"} <= set(err.splitlines())


TOLD_TO_STOP = """
import os, pickle, signal, sys, threading
from acclimate import steps
from acclimate.adapters.ray import RayTrainer
from acclimate.errors import InterruptedRun
signal.signal(signal.SIGTERM, steps._interrupt)

def stop_after_the_first_epoch(event, /, **fields):
    if event == "epoch" and fields["epoch"] == 1:
        os.kill(os.getpid(), signal.SIGTERM)

try:
    with open(sys.argv[1], "rb") as file:
        RayTrainer(2).train(pickle.load(file), progress=stop_after_the_first_epoch)
except InterruptedRun as error:
    print(error.code)
    sys.exit(error.exit_code)
"""


@pytest.mark.slow
def test_a_process_that_is_told_to_stop_while_ray_trains_says_so(
    make_job: Callable[..., TrainJob], tmp_path: Path
) -> None:
    """Ray takes SIGTERM for itself, and its compiled code wraps what our handler raises."""
    job = tmp_path / "job.pickle"
    job.write_bytes(pickle.dumps(make_job("stopped", epochs=50, patience=50)))
    done = subprocess.run(
        [sys.executable, "-c", TOLD_TO_STOP, str(job)], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout.strip()) == (143, "E-RUN-143"), done.stderr[-2000:]


TOKEN = "0123456789abcdef" * 4
ASKED = """
from acclimate.adapters.ray_session import connected
from acclimate.errors import UnavailableError
try:
    with connected(2):
        print("connected")
except UnavailableError as error:
    print(error.code, error.hint)
"""


@pytest.fixture
def guarded_cluster(tmp_path: Path) -> Iterator[str]:
    """The address of a Ray cluster that asks for :data:`TOKEN`."""
    (port,) = free_ports(1)
    ray = Path(sys.executable).with_name("ray")
    options = ["--num-cpus=2", "--include-dashboard=false", "--node-ip-address=127.0.0.1", "--block"]
    asked = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    with (tmp_path / "head.log").open("wb") as log:
        head = subprocess.Popen(
            [ray, "start", "--head", f"--port={port}", *options],
            env={**os.environ, **asked},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    yield f"127.0.0.1:{port}"
    os.killpg(head.pid, signal.SIGTERM)
    head.wait()


@pytest.mark.slow
def test_a_cluster_that_asks_for_a_token_takes_the_right_one_only(guarded_cluster: str) -> None:
    def answer(**given: str) -> str:
        environment = {**os.environ, "RAY_ADDRESS": guarded_cluster, **given}
        return subprocess.run(
            [sys.executable, "-c", ASKED], env=environment, capture_output=True, text=True, check=True, timeout=120
        ).stdout

    # Ray itself waits for a head that is only just starting
    assert answer(RAY_AUTH_TOKEN=TOKEN) == "connected\n"
    for wrong in ({"RAY_AUTH_TOKEN": TOKEN[::-1]}, {}):
        refusal = answer(**wrong)
        assert refusal.startswith("E-TRAIN-031 ")
        assert "RAY_AUTH_TOKEN" in refusal
