"""Workers that die or hang and nodes that are lost in training: what comes out is what an undisturbed one gives."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.errors import UnavailableError
from acclimate.nn.job import LabelledRows, TrainJob, TrainResult
from tests.ray_jobs import kill_one_worker, ray_job

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1500)]
KILLS = 20
DEATHS_A_RUN = 5
EPOCHS = 50
LIMIT_SECONDS = 15


@pytest.fixture
def make_job(tiny_source: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    rng = np.random.default_rng(3)
    texts = [" ".join(f"{word} {rng.integers(1000)}" for word in [("bad", "good")[i % 2]] * 6) for i in range(400)]
    rows = LabelledRows(tuple(texts), np.arange(400) % 2)
    settings = {"learning_rate": 1e-4}
    return partial(
        ray_job, tiny_source, tmp_path / "checkpoints", epochs=EPOCHS, patience=EPOCHS, train=rows, settings=settings
    )


@pytest.fixture(autouse=True)
def _own_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)


def same(first: TrainResult, second: TrainResult) -> None:
    """The same epochs with the same losses, and the same weights in the end."""
    assert len(first.history) == len(second.history) == EPOCHS
    for name in ("train_loss", "validation_loss"):
        losses = [[getattr(point, name) for point in result.history] for result in (first, second)]
        np.testing.assert_allclose(*losses, atol=1e-6, rtol=0)
    np.testing.assert_allclose(first.validation_outputs, second.validation_outputs, atol=1e-6, rtol=0)
    assert first.best_epoch == second.best_epoch


@pytest.fixture
def one_ray() -> Iterator[None]:
    """A Ray that outlives the trainings: a start of it takes longer than a training here."""
    from acclimate.adapters.ray_session import connected, quiet_output

    with quiet_output(), connected(2):
        yield


@pytest.mark.usefixtures("one_ray")
def test_twenty_kills_at_random_steps_change_nothing(
    make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    from acclimate.adapters import ray as trainer
    from acclimate.adapters.ray import RayTrainer

    # each run after a given up one costs a controller more
    monkeypatch.setattr(trainer, "WORKER_FAILURES", DEATHS_A_RUN - 1)
    undisturbed = RayTrainer(workers=2).train(make_job("undisturbed"))
    per_epoch = undisturbed.seconds / EPOCHS
    job, rng = make_job("killed"), np.random.default_rng(0)
    killed: list[int] = []
    into_epoch: list[float] = []
    epochs: list[int] = []
    timers: list[threading.Timer] = []

    def kill() -> None:
        # between two lives of the workers there is none to kill
        with suppress(ValueError):
            killed.append(kill_one_worker())
            since = time.time() - (job.folder / "checkpoint.json").stat().st_mtime
            into_epoch.append(since / per_epoch)

    def progress(event: str, /, **fields: Any) -> None:
        if event != "epoch":
            return
        epochs.append(fields["epoch"])
        if len(killed) < KILLS and not any(timer.is_alive() for timer in timers):
            timers.append(threading.Timer(float(rng.uniform(0, 1.5 * per_epoch)), kill))
            timers[-1].start()

    result, runs = None, 0
    while result is None:
        # so many deaths end a run; the next one goes on after the last whole epoch
        with suppress(UnavailableError):
            result = RayTrainer(workers=2).train(job, progress=progress)
        runs += 1
    assert len(killed) == len(set(killed)) == KILLS
    assert runs > 1, "no run was given up"
    quarters = {int(4 * share) for share in into_epoch}
    assert quarters >= {0, 1, 2, 3}, f"kills hit only some steps of an epoch: {into_epoch}"
    assert epochs == list(range(1, EPOCHS + 1)), "each epoch was trained to its end once"
    same(result, undisturbed)


@pytest.mark.usefixtures("one_ray")
def test_a_worker_that_hangs_is_replaced(make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one waits for its gradients in vain, until the time limit of a collective is over."""
    from acclimate.adapters import ray as trainer
    from acclimate.adapters.ray import RayTrainer

    monkeypatch.setattr(trainer, "COLLECTIVE_TIMEOUT_SECONDS", LIMIT_SECONDS)
    undisturbed = RayTrainer(workers=2).train(make_job("undisturbed"))
    stopped: list[int] = []
    seen: list[float] = []

    def progress(event: str, /, **fields: Any) -> None:
        if event != "epoch":
            return
        seen.append(time.monotonic())
        if fields["epoch"] == EPOCHS // 4:
            stopped.append(kill_one_worker(signal.SIGSTOP))

    result = RayTrainer(workers=2).train(make_job("hung"), progress=progress)
    assert len(stopped) == 1
    assert max(later - before for before, later in pairwise(seen)) > LIMIT_SECONDS / 2, "nobody waited"
    same(result, undisturbed)


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster whose head has no processors, and two nodes with two each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(num_cpus=2) for _ in range(2)]
    cluster.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    yield cluster, nodes
    cluster.shutdown()


def test_a_node_that_is_lost_does_not_end_the_run(make_job: Callable[..., TrainJob], two_nodes: Any) -> None:
    import ray

    from acclimate.adapters.ray import RayTrainer

    cluster, nodes = two_nodes
    lost: list[str] = []

    def progress(event: str, /, **fields: Any) -> None:
        if event != "epoch" or fields["epoch"] != EPOCHS // 4 or lost:
            return
        busy = {
            bundle
            for group in ray.util.placement_group_table().values()
            if group["state"] == "CREATED"
            for bundle in group["bundles_to_node_id"].values()
        }
        (node,) = [node for node in nodes if node.node_id in busy]
        lost.append(node.node_id)
        cluster.remove_node(node, allow_graceful=False)

    result = RayTrainer(workers=2).train(make_job("moved"), progress=progress)
    assert len(lost) == 1
    undisturbed = RayTrainer(workers=2).train(make_job("undisturbed"))
    same(result, undisturbed)
