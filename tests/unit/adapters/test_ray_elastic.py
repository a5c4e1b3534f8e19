"""Workers that come and go while they train: what comes out is what one process gives."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.nn.job import LabelledRows, TrainJob, TrainResult
from acclimate.nn.train import InProcessTrainer
from tests.ray_jobs import ray_job

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]
# on a fast machine 80 were over before a second worker had come
EPOCHS = 240
PATIENCE_SECONDS = 240


@pytest.fixture
def job(tiny_source: Path, tmp_path: Path) -> TrainJob:
    """Without dropout, which would differ from worker to worker; 50 steps an epoch."""
    source = Path(shutil.copytree(tiny_source, tmp_path / "source"))
    config = json.loads((source / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (source / "config.json").write_text(json.dumps(config))
    rng = np.random.default_rng(3)
    texts = [" ".join(f"{word} {rng.integers(1000)}" for word in [("bad", "good")[i % 2]] * 6) for i in range(400)]
    rows = LabelledRows(tuple(texts), np.arange(400) % 2)
    settings = {"learning_rate": 1e-4}
    changes: dict[str, Any] = {"train": rows, "settings": settings, "epochs": EPOCHS, "patience": EPOCHS}
    return ray_job(source, tmp_path / "checkpoints", "come-and-go", **changes)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray cluster with room for one worker, beside a head that takes none."""
    from ray.cluster_utils import Cluster

    from acclimate.adapters import ray as trainer

    monkeypatch.setattr(trainer, "RESIZE_SECONDS", 1.0)
    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    found.add_node(num_cpus=1)
    found.wait_for_nodes()
    monkeypatch.setenv("RAY_ADDRESS", found.address)
    yield found
    found.shutdown()


def same(several: TrainResult, one: TrainResult) -> None:
    """The same losses epoch by epoch, and the same answers, but for the order in which sums were rounded."""
    assert len(several.history) == len(one.history) == EPOCHS
    for name in ("train_loss", "validation_loss"):
        losses = [[getattr(point, name) for point in result.history] for result in (several, one)]
        np.testing.assert_allclose(*losses, atol=1e-4, rtol=0)
    assert several.best_epoch == one.best_epoch
    np.testing.assert_allclose(several.validation_outputs, one.validation_outputs, atol=1e-3, rtol=0)
    assert one.history[-1].train_loss < one.history[0].train_loss / 2


def test_training_starts_with_one_worker_grows_with_a_node_and_shrinks_without_it(job: TrainJob, cluster: Any) -> None:
    from acclimate.adapters.ray import RayTrainer

    workers: list[int] = []
    epochs: list[int] = []
    grow, shrink = threading.Event(), threading.Event()

    def progress(event: str, /, **fields: Any) -> None:
        if event != "epoch":
            return
        workers.append(fields["workers"])
        epochs.append(fields["epoch"])
        if len(epochs) == EPOCHS // 8:
            grow.set()
        if workers.count(2) == EPOCHS // 8:
            shrink.set()

    # only the main thread may add a node
    with ThreadPoolExecutor(1) as beside:
        training = beside.submit(RayTrainer(2, fewest=1).train, job, progress=progress)
        assert grow.wait(PATIENCE_SECONDS)
        node = cluster.add_node(num_cpus=1)
        assert shrink.wait(PATIENCE_SECONDS)
        cluster.remove_node(node, allow_graceful=False)
        result = training.result()
    changes = [after for before, after in zip([0, *workers], workers, strict=False) if before != after]
    assert changes == [1, 2, 1]
    assert epochs == list(range(1, EPOCHS + 1)), "each epoch was trained to its end once"
    shutil.rmtree(job.folder)
    same(result, InProcessTrainer().train(job))
