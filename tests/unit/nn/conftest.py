"""Small training jobs on the tiny source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.nn.job import LabelledRows, TrainJob

SETTINGS: dict[str, dict[str, float | int]] = {
    "lora": {"learning_rate": 1e-2, "rank": 4, "alpha": 8.0, "dropout": 0.0},
    "adapter": {"learning_rate": 1e-2, "bottleneck": 8},
    "prefix": {"learning_rate": 5e-2, "tokens": 4},
    "ia3": {"learning_rate": 5e-2},
    "bitfit": {"learning_rate": 1e-2},
    "partial": {"learning_rate": 2e-3, "groups": 1},
    "gradual": {"learning_rate": 2e-3},
    "full": {"learning_rate": 2e-3},
    "tapt": {"learning_rate": 2e-3, "masked_share": 0.15},
    "scratch": {"learning_rate": 2e-3},
}
WORDS = ("bad awful poor slow hate", "good great nice best love", "the of and in that it for on with he as you do at")


def toy_rows(rows: int, seed: int) -> LabelledRows:
    """Rows of two classes, about half the words telling which, 3 to 12 words long."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 2
    texts = []
    for label in labels:
        own = rng.random(int(rng.integers(3, 13))) < 0.5
        texts.append(" ".join(str(rng.choice(WORDS[label if mine else 2].split())) for mine in own))
    return LabelledRows(tuple(texts), labels.astype(np.int64))


@pytest.fixture
def make_job(tiny_source: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    """Factory of jobs: ``make_job("lora", epochs=2)``; its folder is new unless given."""
    made = 0

    def make(strategy: str = "full", **changes: Any) -> TrainJob:
        nonlocal made
        made += 1
        rng = np.random.default_rng(7)
        job = TrainJob(
            strategy=strategy,
            settings=SETTINGS.get(strategy, {"learning_rate": 1e-3}),
            source=tiny_source,
            source_digest="tiny",
            probe_weight=rng.normal(0, 0.1, (2, 32)).astype(np.float32),
            probe_bias=rng.normal(0, 0.1, 2).astype(np.float32),
            train=toy_rows(50, 1),
            validation=toy_rows(20, 2),
            metric="macro_f1",
            epochs=3,
            schedule="linear",
            batch_size=8,
            warmup=0.1,
            weight_decay=0.01,
            clip_norm=1.0,
            patience=3,
            keep=1,
            seed=0,
            max_length=32,
            precision="fp32",
            folder=tmp_path / f"job-{made}",
        )
        return replace(job, **changes)

    return make
