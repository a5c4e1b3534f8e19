"""What a run costs as rows grow: seconds and peak memory of each part at 1,000, 10,000 and 100,000 rows.

Rows are made of real movie reviews: five words in a row out of one, and three more drawn from all words of its class,
no two rows alike. So texts are as long at every size, and labels can be learnt. The reference are product reviews as
they are, the same at every size.

Each part at each size is a process of its own. ``ingest``, ``gap`` and ``baseline`` are those stages as a run has
them; ``features`` embeds the ingested train and validation rows, as the baseline does first; ``training`` prepares all
training rows and takes 20 steps of full fine-tuning. Seconds are of the work: starts, imports and the calibration that
is done once don't count. Memory is the largest resident set of the process, imports and models included.
``baseline`` is left out above ``--baseline-rows``: beside the features it fits a probe some 80 times and looks up each
row's neighbours among all others, which grows with the square of the rows.

``to_linear`` is how many times the seconds of the size before, divided by how many times its rows: 1 is linear, less
has costs that don't grow. ``added_mb`` is memory beyond that of the size before, ``added_share`` the same as a share of
it, ``added_feature_table_mb`` what rows x dimensions x 4 bytes grew by.

Expected (written before measuring), from 10,000 to 100,000 rows: to_linear at most 1.2 for ingest, features and
preparing to train, and at most .2 for gap and training steps, which read no more rows; memory grows by no more than the
feature table in features, and by at most 10 % in all other parts.

    python -m benchmarks.growth
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from acclimate.core.row_identity import normal_form
from benchmarks.growth_parts import PARTS, STEPS
from benchmarks.labelled_rows import LabelledData, read_rows
from benchmarks.measured import DATA, SOURCE, machine, say, store
from benchmarks.recipe_tables import write_csv

SIZES = (1_000, 10_000, 100_000)
BASELINE_ROWS = 10_000
REFERENCE_ROWS = 2_000
KEPT_WORDS, DRAWN_WORDS = 5, 3
RATIOS = {"seconds": "to_linear", "prepare_seconds": "prepare_to_linear"}
ADDED = {"peak_mb": "added_mb", "feature_table_mb": "added_feature_table_mb"}
EXPECTED = {
    "to_linear": {"ingest": 1.2, "features": 1.2, "gap": 0.2, "training": 0.2},
    "prepare_to_linear": {"training": 1.2},
    "added": "features: no more than the feature table; all else: added_share <= .1",
}

# by part: what its process printed
Point = dict[str, dict[str, float]]


def made_rows(read: LabelledData, rows: int, seed: int = 0) -> list[tuple[str, str]]:
    """Texts and labels made of real ones, no two of one normal form."""
    words = [text.split() for text in read.texts]
    usable = [row for row, own in enumerate(words) if len(own) >= KEPT_WORDS]
    pools = [
        np.array([word for row in np.flatnonzero(read.classes == label) for word in words[row]], dtype=object)
        for label in range(len(read.labels))
    ]
    rng, seen, made = np.random.default_rng(seed), set[str](), list[tuple[str, str]]()
    while len(made) < rows:
        row = usable[int(rng.integers(len(usable)))]
        start, label = int(rng.integers(len(words[row]) - KEPT_WORDS + 1)), int(read.classes[row])
        drawn = rng.integers(len(pools[label]), size=DRAWN_WORDS)
        text = " ".join([*words[row][start : start + KEPT_WORDS], *pools[label][drawn]])
        form = normal_form(text)
        if form not in seen:
            seen.add(form)
            made.append((text, read.labels[label]))
    return made


def hand_over(target: LabelledData, reference: LabelledData, rows: int, folder: Path) -> Path:
    """Write the tables and the configuration of one size; the configuration's path."""
    folder.mkdir(parents=True)
    write_csv(folder / "target.csv", ("text", "label"), made_rows(target, rows))
    real = zip(reference.texts, [reference.labels[label] for label in reference.classes], strict=True)
    write_csv(folder / "reference.csv", ("text", "label"), list(real)[:REFERENCE_ROWS])
    config = folder / "adaptation.yaml"
    source = {"model": SOURCE, "reference": {"data": "reference.csv"}}
    described = {"name": "growth", "source": source, "target": {"data": "target.csv"}, "workspace": "workspace"}
    # JSON is YAML
    config.write_text(json.dumps(described) + "\n", encoding="utf-8")
    return config


def measured(config: Path, rows: int, parts: Sequence[str]) -> Point:
    """Each part in a process of its own, one after the other: later ones read what ingest wrote."""
    found: Point = {}
    for part in parts:
        command = [sys.executable, "-m", "benchmarks.growth_parts", part, str(config)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{part} with {rows} rows failed with exit code {done.returncode}")
        found[part] = json.loads(done.stdout.splitlines()[-1])
        say(rows=rows, part=part, **{name: round(value, 2) for name, value in found[part].items()})
    return found


def grown(before: tuple[int, Point], after: tuple[int, Point]) -> dict[str, dict[str, float]]:
    """How each part that both sizes have grew from one to the other."""
    (fewer, first), (more, second) = before, after
    found: dict[str, dict[str, float]] = {}
    for part in (name for name in second if name in first):
        a, b = first[part], second[part]
        found[part] = {
            **{name: round(b[key] / a[key] / (more / fewer), 3) for key, name in RATIOS.items() if key in b},
            **{name: round(b[key] - a[key], 1) for key, name in ADDED.items() if key in b},
            "added_share": round(b["peak_mb"] / a["peak_mb"] - 1, 3),
        }
    return found


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of movies.csv and reviews.csv")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="rows of the target, ascending")
    parser.add_argument("--baseline-rows", type=int, default=BASELINE_ROWS, help="most rows of a whole baseline")
    options = parser.parse_args()
    target, reference = (read_rows(options.data / f"{name}.csv") for name in ("movies", "reviews"))
    points: list[tuple[int, Point]] = []
    for rows in options.sizes:
        parts = [part for part in PARTS if part != "baseline" or rows <= options.baseline_rows]
        with tempfile.TemporaryDirectory() as folder:
            config = hand_over(target, reference, rows, Path(folder) / "given")
            points.append((rows, measured(config, rows, parts)))
    result = {
        "claim": "seconds and peak memory as rows grow, each part in a process of its own",
        "expected": EXPECTED,
        "data": f"made of movies.csv, {KEPT_WORDS} + {DRAWN_WORDS} words a row",
        "reference_rows": REFERENCE_ROWS,
        "training_steps": STEPS,
        **machine("torch", "transformers"),
        "got": {f"{a[0]}_to_{b[0]}_rows": grown(a, b) for a, b in pairwise(points)},
        **{
            f"{rows}_rows": {
                part: {name: round(value, 2) for name, value in own.items()} for part, own in point.items()
            }
            for rows, point in points
        },
    }
    store("growth", result)


if __name__ == "__main__":
    main()
