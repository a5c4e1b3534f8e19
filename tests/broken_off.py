"""Trainings that are killed between two steps of an epoch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from acclimate.nn import train as loop
from acclimate.nn.job import Job

Place = tuple[int, int]


class Killed(Exception):
    """Stands for a kill."""


def break_off(job: Job, *places: Place) -> None:
    """Train a job that is killed after each of these steps in turn, and taken up again between them.

    Args:
        job: what is trained, with a checkpoint after each step.
        places: epoch and step, both from 1.
    """
    for place in places:

        def kill(event: str, /, *, at: Place = place, **fields: Any) -> None:
            if event == "checkpoint" and (fields["epoch"], fields["step"]) == at:
                raise Killed

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
            with pytest.raises(Killed):
                loop.train(job, progress=kill)
        # what the process does meanwhile must not matter
        torch.manual_seed(sum(place))
