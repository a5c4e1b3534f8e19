"""Small jobs that train a tiny language model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acclimate.nn.job import WritingJob
from tests.small_jobs import lm_job
from tests.tiny_lm import write_tiny_lm


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a random two-layer Llama that reads bytes. Shared: copy it before changing anything."""
    return write_tiny_lm(tmp_path_factory.mktemp("lm") / "tiny-llama")


@pytest.fixture
def make_job(tiny_lm: Path, tmp_path: Path) -> Callable[..., WritingJob]:
    """Factory of jobs: ``make_job("lora", epochs=2)``; its folder is new unless given."""
    made = count(1)

    def make(strategy: str = "full", **changes: Any) -> WritingJob:
        return lm_job(tiny_lm, tmp_path / f"job-{next(made)}", strategy, **changes)

    return make
