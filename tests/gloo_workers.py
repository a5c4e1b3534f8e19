"""Processes that train together over gloo, without Ray."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing

from acclimate.errors import AcclimateError
from acclimate.nn import step
from acclimate.nn import train as loop
from acclimate.nn.causal import packing
from acclimate.nn.job import Job
from acclimate.nn.step import Workers, optimizer_for
from acclimate.nn.training_model import trainable

Work = Callable[[Workers], Any]


def in_processes(world: int, works: Sequence[Work], folder: Path) -> list[list[Any]]:
    """What each worker returns for each work, ``[rank][work]``; of one of our errors its code; others end all.

    Args:
        world: number of processes.
        works: done one after the other by all; they are pickled, what they return is JSON.
        folder: an empty one, for their meeting.
    """
    torch.multiprocessing.spawn(_process, args=(world, list(works), folder), nprocs=world)
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(world)]


def _process(rank: int, world: int, works: list[Work], folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=world
    )
    # parts of a few tokens, so that workers have unequal numbers of them
    step.PART_TOKENS = 40
    packing.packed.__kwdefaults__["tokens"] = 60
    found: list[Any] = []
    for work in works:
        try:
            found.append(work(Workers(rank, world, torch.distributed.all_reduce, sharded=True)))
        except AcclimateError as error:
            found.append(error.code)
        # worker 0 may still be writing what the next one reads
        torch.distributed.barrier()
    (folder / f"found-{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def trained(job: Job, workers: Workers, *, sharded: bool, until: int | None = None) -> None:
    """Train a job sharded or not, to its end or until an epoch is done."""

    epoch = loop._epoch

    def one_epoch(run: Any, progress: Any) -> None:
        # on all workers alike: one that goes on alone would wait for the others
        if len(run.history) == until:
            raise InterruptedError
        epoch(run, progress)

    with pytest.MonkeyPatch.context() as patched, suppress(InterruptedError):
        patched.setattr(loop, "_epoch", one_epoch)
        loop.train(job, workers=replace(workers, sharded=sharded))


def held(job: Job, workers: Workers) -> tuple[int, int, int, int]:
    """Numbers this worker holds of what is trained and of the optimizer's moments after a step, and those of all."""
    learner = loop.learner_of(job, workers.device, sharded=True)
    parameters = trainable(learner.model)
    optimizer = optimizer_for(job, parameters)
    learner.gradients(range(8), workers)
    optimizer.step()
    moments = [value for state in optimizer.state.values() for value in state.values() if value.ndim]
    counted = []
    for values in (list(parameters.values()), moments):
        counted += [sum(value.to_local().numel() for value in values), sum(value.numel() for value in values)]
    return tuple(counted)
