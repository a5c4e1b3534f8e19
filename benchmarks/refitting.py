"""What the frozen model gains by learning from the validation rows too, once all is decided, and how sure it may be.

For each data set, number of labels a class and seed, rows are drawn and parted as ingest parts them: a fifth of a class
for validation, at least five rows. The head on train alone gets its temperature from the validation rows. The one that
is handed on is fitted on both, with the same inverse penalty, and gets its temperature from rows held out in turn
(:mod:`acclimate.core.refitting`); ``validation_temperature`` is the same head with the other's temperature. All are
scored on the rest of the data set, at most 2,500 rows: macro-F1, and negative log-likelihood of the probabilities.

The inverse penalty and the temperature were chosen on topics and movies; reviews were looked at afterwards. That there
is something to gain was seen on all three, in runs of :mod:`benchmarks.recipes`.

Expected: a higher macro-F1 for every set with 10 rows a class and no lower one with 50; a lower negative
log-likelihood than with the other temperature.

    python -m benchmarks.refitting
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.config import BaselineSpec
from acclimate.core.folds import assign_folds
from acclimate.core.label_checks import MIN_ROWS
from acclimate.core.metrics import FloatArray, IntArray, score
from acclimate.core.probe import Probe
from acclimate.core.refitting import refit, with_validation
from acclimate.core.reliability import fit_temperature, nll, softmax
from acclimate.nn.encoder import Encoder
from benchmarks.labelled_rows import read_rows
from benchmarks.measured import DATA, SOURCE, auto_precision, machine, say, store
from benchmarks.trained_models import METRIC, chosen_probe, mean_and_error

CHOSEN_ON, REPORTED_ON = ("topics", "movies"), ("reviews",)
ROWS_A_CLASS = (10, 20, 50)
MOST_ROWS = 2500
VALIDATION_SHARE = 0.2


def drawn(classes: IntArray, a_class: int, seed: int) -> tuple[IntArray, IntArray, IntArray]:
    """Rows of train, validation and test."""
    rng = np.random.default_rng(seed)
    held_out = max(MIN_ROWS, round(VALIDATION_SHARE * a_class))
    parts: tuple[list[IntArray], ...] = ([], [], [])
    for label in np.unique(classes):
        rows = rng.permutation(np.flatnonzero(classes == label))
        for part, found in zip(parts, np.split(rows, [a_class - held_out, a_class]), strict=True):
            part.append(found)
    train, validation, test = (np.concatenate(part) for part in parts)
    return train, validation, test


def compared(features: FloatArray, classes: IntArray, a_class: int, seed: int) -> dict[str, dict[str, float]]:
    """Both heads on one draw."""
    count = int(classes.max()) + 1
    train, validation, test = drawn(classes, a_class, seed)
    alone, c = chosen_probe(features[train], classes[train], count, seed)
    folds = assign_folds(classes[train], None, folds=BaselineSpec().folds, seed=seed)
    temperature = fit_temperature(alone.logits(features[validation]), classes[validation])
    both = np.concatenate([train, validation])
    handed_on = refit(features[both], classes[both], count, c=c, folds=with_validation(folds, len(validation)))

    def scored(probe: Probe, divisor: float) -> dict[str, float]:
        logits = probe.logits(features[test])
        return {
            "macro_f1": score(METRIC, classes[test], logits.argmax(axis=1), count),
            "nll": nll(softmax(logits / divisor), classes[test]),
        }

    return {
        "train_alone": scored(alone, temperature),
        "train_and_validation": scored(handed_on.probe, handed_on.temperature),
        "validation_temperature": scored(handed_on.probe, temperature),
    }


def summary(points: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Means over seeds, and differences paired by seed."""
    found: dict[str, Any] = {
        name: {kind: round(float(np.mean([point[name][kind] for point in points])), 4) for kind in ("macro_f1", "nll")}
        for name in points[0]
    }
    for kind, other in (("macro_f1", "train_alone"), ("nll", "validation_temperature")):
        mean, error = mean_and_error([point["train_and_validation"][kind] - point[other][kind] for point in points])
        found[f"{kind}_against_{other}"] = round(mean, 4)
        found[f"{kind}_standard_error"] = None if error is None else round(error, 4)
    return found


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the CSV files")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    precision = auto_precision(folder)
    encoder = Encoder.load(folder, precision=precision, max_length=None)
    result: dict[str, Any] = {
        "claim": "the frozen model's head on train and validation against the head on train alone",
        "expected": "macro-F1: more with 10 rows a class, no less with 50; lower NLL than with the other temperature",
        "source": f"{card.name} {card.revision}",
        "precision": precision,
        "seeds": options.seeds,
        **machine("torch", "transformers"),
    }
    for name in (*CHOSEN_ON, *REPORTED_ON):
        read = read_rows(options.data / f"{name}.csv")
        some = np.random.default_rng(0).permutation(len(read))[:MOST_ROWS]
        features, classes = encoder.embed(read.some_texts(some)), read.classes[some]
        result[name] = {}
        for a_class in ROWS_A_CLASS:
            points = [compared(features, classes, a_class, seed) for seed in range(options.seeds)]
            result[name][f"{a_class}_rows_a_class"] = summary(points)
            say(data=name, rows_a_class=a_class, **result[name][f"{a_class}_rows_a_class"])
    store("refitting", result)


if __name__ == "__main__":
    main()
