"""A small job for Ray's workers, and how one of them dies or hangs."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.nn.job import LabelledRows, TrainJob
from tests.small_jobs import text_job


def ray_job(source: Path, checkpoints: Path, folder: str, **changes: Any) -> TrainJob:
    """Full fine-tuning on 40 short texts; its checkpoints lie in ``checkpoints / folder``."""
    texts = [f"{('bad awful', 'good great')[i % 2]} number {i}" for i in range(60)]
    labels = np.arange(60) % 2
    rows = [LabelledRows(tuple(texts[part]), labels[part]) for part in (slice(0, 40), slice(40, 60))]
    own: dict[str, Any] = {
        "settings": {"learning_rate": 1e-3},
        "probe_weight": np.zeros((2, 32), dtype=np.float32),
        "probe_bias": np.zeros(2, dtype=np.float32),
        "train": rows[0],
        "validation": rows[1],
    }
    return text_job(source, checkpoints / folder, **(own | changes))


def kill_one_worker(sent: signal.Signals = signal.SIGKILL) -> int:
    """Send a signal to the first training worker among this process's descendants."""
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
    os.kill(worker, sent)
    return worker
