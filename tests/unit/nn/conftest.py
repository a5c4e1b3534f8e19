"""Small training jobs on the tiny source."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from acclimate.nn.job import TrainJob
from tests.small_jobs import text_job


@pytest.fixture
def make_job(tiny_source: Path, tmp_path: Path) -> Callable[..., TrainJob]:
    """Factory of jobs: ``make_job("lora", epochs=2)``; its folder is new unless given."""
    made = count(1)

    def make(strategy: str = "full", **changes: Any) -> TrainJob:
        return text_job(tiny_source, tmp_path / f"job-{next(made)}", strategy, **changes)

    return make
