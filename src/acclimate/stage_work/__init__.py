"""Each stage as a piece of work with its key: what it reads, which slices of the configuration count, how it is called.

A stage's module is imported only when it has to be run, so that finding a finished one stays quick.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from acclimate.execution import Context, Work, execute
from acclimate.keys import run_key
from acclimate.stage_work.ingesting import ingest_work
from acclimate.stage_work.measures import baseline_work, decide_work, gap_work
from acclimate.stage_work.training import finetune_step
from acclimate.stage_work.verdicts import Folders, comparator_of, evaluate_work, judge_and_register

Step = Callable[..., Path]


def _evaluate_step(context: Context, data: Path, baseline: Path, candidate: Path) -> Path:
    champion = comparator_of(context, run_key(context, data))
    return execute(context, evaluate_work(context, data, baseline, candidate, champion))


def _register_step(context: Context, **folders: Path) -> Path:
    return judge_and_register(context, Folders(**folders))


def _plain(work: Callable[..., Work]) -> Step:
    return lambda context, **folders: execute(context, work(context, **folders))


STEPS: dict[str, Step] = {
    "ingest": _plain(ingest_work),
    "gap": _plain(gap_work),
    "baseline": _plain(baseline_work),
    "decide": _plain(decide_work),
    "finetune": finetune_step,
    "evaluate": _evaluate_step,
    "register": _register_step,
}
