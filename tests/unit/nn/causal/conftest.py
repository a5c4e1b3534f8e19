"""Small jobs that train a tiny language model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from acclimate.nn.job import WritingJob
from tests.tiny_lm import write_tiny_lm, writing_job

SETTINGS: dict[str, dict[str, float | int]] = {
    "lora": {"learning_rate": 2e-2, "rank": 8},
    "ia3": {"learning_rate": 1e-1},
    "bitfit": {"learning_rate": 5e-2},
    "partial": {"learning_rate": 1e-2, "groups": 1},
    "gradual": {"learning_rate": 1e-2},
    "full": {"learning_rate": 5e-3},
    "scratch": {"learning_rate": 5e-3},
}


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random two-layer Llama that reads bytes. Shared: copy it before changing anything."""
    return write_tiny_lm(tmp_path_factory.mktemp("lm") / "tiny-llama")


@pytest.fixture
def make_job(tiny_lm: Path, tmp_path: Path) -> Callable[..., WritingJob]:
    """Factory of jobs: ``make_job("lora", epochs=2)``; its folder is new unless given."""
    made = 0

    def make(strategy: str = "full", **changes: Any) -> WritingJob:
        nonlocal made
        made += 1
        settings = SETTINGS.get(strategy, {"learning_rate": 1e-3})
        return writing_job(tiny_lm, tmp_path / f"job-{made}", strategy, settings, **changes)

    return make
