"""What an adapted model costs to serve on this machine: time for single rows, and memory of a process of its own."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.examples import Inputs
from acclimate.nn.adapted import load_adapted
from acclimate.ports import Progress

MEMORY_ROWS = 8
# a large model on a slow disk takes its time to load
LONGEST_SECONDS = 600
STATUS = Path("/proc/self/status")
PEAK = b"peak memory in bytes: "


def serving_cost(
    folder: Path, predict: Callable[[Any], object], inputs: Inputs, *, progress: Progress
) -> dict[str, float]:
    """Milliseconds of single rows, median and 95 % quantile, and bytes of memory where that could be measured.

    Args:
        folder: the model's folder.
        predict: answers rows with the model, which is loaded already.
        inputs: rows, at least one; each is timed, and the first few make up the memory's one call.
        progress: told why memory was not measured.
    """
    cost = latency(predict, inputs)
    memory = serving_memory(folder, inputs[:MEMORY_ROWS], progress=progress)
    return cost if memory is None else cost | {"peak_memory_bytes": memory}


def latency(predict: Callable[[Any], object], inputs: Inputs) -> dict[str, float]:
    """Milliseconds to predict one row, after one that warms up: median and 95 % quantile."""
    predict(inputs[:1])
    taken = []
    for row in range(len(inputs)):
        started = time.perf_counter()
        predict(inputs[row : row + 1])
        taken.append((time.perf_counter() - started) * 1000.0)
    return {f"latency_p{q}_ms": round(float(np.percentile(taken, q)), 3) for q in (50, 95)}


def serving_memory(folder: Path, inputs: Inputs, *, progress: Progress) -> int | None:
    """Most memory, bytes, that a process of its own holds while it loads a model and answers some rows at once.

    Interpreter and libraries count: it is what a machine that serves the model must have at least.

    Returns:
        None where that process does not end well; ``progress`` is told why.
    """
    rows = [one if isinstance(one, str) else {"base64": base64.b64encode(one).decode("ascii")} for one in inputs]
    # -P: nothing is imported from the working directory
    command = [sys.executable, "-P", "-m", __name__, str(folder)]
    sent = json.dumps(rows).encode("ascii")
    try:
        done = subprocess.run(  # noqa: S603  # our own interpreter and module, no shell
            command, input=sent, capture_output=True, timeout=LONGEST_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        why = f"took over {LONGEST_SECONDS} s"
    except OSError as error:
        why = f"could not be started: {error}"
    else:
        found = re.search(rb"^%s(\d+)$" % PEAK, done.stdout, re.MULTILINE)
        if done.returncode == 0 and found:
            return int(found.group(1))
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
        why = f"ended with {done.returncode}: {last[:300]}"
    progress("memory_not_measured", says=f"a process that serves the model {why}")
    return None


def _peak_bytes() -> int:
    """Most memory of this process. Not ``ru_maxrss`` on Linux: that starts with what the parent process held."""
    lines = STATUS.read_text(encoding="ascii").splitlines() if STATUS.is_file() else []
    for line in lines:
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """Load the model folder in ``argv``, answer the rows on standard input, and print the peak memory."""
    rows: list[Any] = json.loads(sys.stdin.read())
    inputs: list[Any] = [one if isinstance(one, str) else base64.b64decode(one["base64"]) for one in rows]
    load_adapted(Path(sys.argv[1])).predict(inputs)
    sys.stdout.write(f"\n{PEAK.decode()}{_peak_bytes()}\n")


if __name__ == "__main__":
    main()
