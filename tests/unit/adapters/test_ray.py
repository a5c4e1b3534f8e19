from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.errors import ModelError
from acclimate.nn.job import LabelledTexts, TrainJob
from acclimate.nn.train import InProcessTrainer

pytestmark = pytest.mark.ray


@pytest.fixture
def make_job(tiny_source: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    def make(folder: str, **changes: Any) -> TrainJob:
        texts = [f"{('bad awful', 'good great')[i % 2]} number {i}" for i in range(60)]
        labels = np.arange(60) % 2
        rows = [LabelledTexts(tuple(texts[part]), labels[part]) for part in (slice(0, 40), slice(40, 60))]
        fields: dict[str, Any] = {
            "strategy": "full",
            "settings": {"learning_rate": 1e-3},
            "source": tiny_source,
            "source_digest": "tiny",
            "probe_weight": np.zeros((2, 32), dtype=np.float32),
            "probe_bias": np.zeros(2, dtype=np.float32),
            "train": rows[0],
            "validation": rows[1],
            "metric": "macro_f1",
            "epochs": 3,
            "schedule": "full",
            "batch_size": 8,
            "warmup": 0.1,
            "weight_decay": 0.01,
            "clip_norm": 1.0,
            "patience": 3,
            "seed": 0,
            "max_length": 32,
            "precision": "fp32",
            "folder": tmp_path / "checkpoints" / folder,
        }
        return TrainJob(**(fields | changes))

    return make


def kill_one_worker() -> int:
    """SIGKILL the first training worker among this process's descendants."""
    parents, names = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            stat, names[int(entry.name)] = (entry / "stat").read_text(), (entry / "cmdline").read_bytes()
        except OSError:
            continue
        parents[int(entry.name)] = int(stat.rsplit(")", 1)[1].split()[1])

    def is_ours(pid: int) -> bool:
        return pid == os.getpid() or (pid in parents and is_ours(parents[pid]))

    worker = min(pid for pid, name in names.items() if b"TrainWorker" in name and is_ours(pid))
    os.kill(worker, signal.SIGKILL)
    return worker


def test_two_workers_train_report_fail_and_recover(
    make_job: Callable[..., TrainJob], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One test, since each start of Ray takes many seconds."""
    from acclimate.adapters.ray import RayTrainer

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    events: list[tuple[str, dict[str, Any]]] = []
    killed: list[int] = []

    def progress(event: str, /, **fields: Any) -> None:
        events.append((event, fields))
        if fields.get("epoch") == 1 and not killed:
            killed.append(kill_one_worker())

    trainer = RayTrainer(workers=2)
    long = {"epochs": 60, "patience": 60}
    job = make_job("several", **long)
    several = trainer.train(job, progress=progress)
    assert [fields["epoch"] for event, fields in events if event == "epoch"][-1] == 60
    assert killed[0] > 0
    one = InProcessTrainer().train(make_job("one", **long))
    assert len(several.history) == len(one.history)
    assert several.best_score > 0.8
    assert [path.name for path in job.folder.parent.iterdir() if "ray" in path.name] == []

    # a finished job needs no Ray
    assert trainer.train(job, progress=progress).history == several.history

    with pytest.raises(ModelError) as caught:
        trainer.train(make_job("still", settings={"learning_rate": 1e-12}))
    assert caught.value.code == "E-TRAIN-002"
