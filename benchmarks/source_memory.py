"""What a baseline on an adapted source says where its training rows are among those the source was fitted on.

A case is a data set and a seed. A source is fine-tuned in full on 600 rows with their labels, chosen on 200 others, as
stage ``finetune`` does at its defaults. Then 300 further rows come, and the frozen baseline is fitted on its features
of all 900. Out of fold it is scored in two ways: on all 900 rows, and on the 300 alone that are new to the source
(what the baseline stage does). Each is compared with the score of the same head on 600 rows that neither has seen:
``overstated`` is the difference in macro-F1. ``would_freeze`` says in how many cases rule R3 held the head for good
enough where five points more than its true score are asked for.

Expected, written before: on all rows overstated by .05 or more on average; on the new rows by no more than .02 either
way; R3 held in no case by the new rows.

    python -m benchmarks.source_memory
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.config import BaselineSpec
from acclimate.core.folds import assign_folds
from acclimate.core.out_of_fold import OutOfFold
from acclimate.core.probe import fit_probe
from acclimate.nn.encoder import Encoder
from benchmarks.labelled_rows import LabelledData, parts, read_rows
from benchmarks.measured import DATA, SOURCE, auto_precision, machine, say, store
from benchmarks.trained_models import (
    DEFAULTS,
    METRIC,
    chosen_probe,
    fine_tuned,
    mean_and_error,
    score_of_features,
)

SETS = ("topics", "movies", "reviews")
KNOWN, CHOSEN_ON, NEW, TEST = 600, 200, 300, 600
MORE = 0.05
BASELINE = BaselineSpec()


@dataclass(frozen=True)
class Scored:
    """A baseline scored in one way.

    Args:
        overstated: its out-of-fold macro-F1 - that of its head on rows nobody has seen.
        would_freeze: rule R3's condition on its interval holds.
    """

    overstated: float
    would_freeze: bool


def measured(read: LabelledData, seed: int, source: Path, encoder: Encoder) -> dict[str, Scored]:
    """One case, by the rows that are scored."""
    known, validation, new, test = parts(len(read), [KNOWN, CHOSEN_ON, NEW, TEST], seed)
    train, count = read.some(known), len(read.labels)
    probe, _ = chosen_probe(encoder.embed(train.inputs), train.labels, count, seed)
    _, champion = fine_tuned(
        "full", source, encoder, probe, train, read.some(validation), epochs=DEFAULTS.max_epochs["full"], seed=seed
    )
    rows = read.some(np.concatenate([known, new]))
    features = champion.encoder.embed(rows.inputs)
    found = {}
    for name, scored in {"all_rows": None, "new_rows": np.arange(KNOWN + NEW) >= KNOWN}.items():
        folds = assign_folds(rows.labels, None, folds=BASELINE.folds, seed=seed)
        judge = OutOfFold(rows.labels, None, folds, count, METRIC, BASELINE.bootstraps, seed, scored)
        choice = judge.probe(features, BASELINE.c_grid)
        bounds = judge.bounds(choice.predicted)
        head = fit_probe(features, rows.labels, count, c=choice.c)
        true = score_of_features(champion.encoder, head.weight, head.bias, read.some(test))
        found[name] = Scored(bounds.point - true, bounds.low >= true + MORE)
    return found


def summary(cases: Sequence[Scored]) -> dict[str, Any]:
    """Means over cases."""
    mean, error = mean_and_error([case.overstated for case in cases])
    return {
        "overstated": round(mean, 4),
        "overstated_standard_error": None if error is None else round(error, 4),
        "would_freeze": sum(case.would_freeze for case in cases),
        "cases": len(cases),
    }


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the CSV files")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    encoder = Encoder.load(folder, precision=auto_precision(folder))
    cases: dict[str, list[dict[str, Scored]]] = {}
    for name in SETS:
        read = read_rows(options.data / f"{name}.csv")
        cases[name] = []
        for seed in range(options.seeds):
            case = measured(read, seed, folder, encoder)
            cases[name].append(case)
            say(data=name, seed=seed, **{way: vars(scored) for way, scored in case.items()})
    of_all = [case for own in cases.values() for case in own]
    result: dict[str, Any] = {
        "claim": "how much a baseline on a fine-tuned source overstates macro-F1, by the rows it is scored on",
        "expected": "all rows: >= .05; those new to the source: within .02, and R3 holds for none",
        "source": f"{card.name} {card.revision}",
        "precision": encoder.precision,
        "seeds": options.seeds,
        "known_rows": KNOWN,
        "new_rows": NEW,
        "test_rows": TEST,
        **machine("torch", "transformers"),
    }
    for name, own in {**cases, "all_sets": of_all}.items():
        result[name] = {way: summary([case[way] for case in own]) for way in ("all_rows", "new_rows")}
    store("source_memory", result)


if __name__ == "__main__":
    main()
