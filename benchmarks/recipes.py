"""A whole run against two recipes: SetFit 1.2 where labels are few, ``transformers.Trainer`` where there are many.

Each gets the same training rows of a data set as a table, and is a process of its own that is timed from its start to
its end: start, imports, reading the table, and all it does until its model is saved. The same test rows, held out from
all, are answered from the saved model by another process that is not timed; the score is macro-F1.

- ours is ``acclimate run`` in a new workspace at its defaults: ingest, frozen baseline, decision, training where it
  decides so, evaluation, gate, registry and report (the gap needs reference data and has none here). It alone also
  answers the test rows within its time, since its gate judges by them. Told no score to reach it trains only where
  validation can show a gain of .2 (rule R4); ``--at-least`` asks for one. A model that the gate then refuses is taken
  from the workspace.
- SetFit is its own README's example at its defaults. It trains on all rows.
- Trainer is the recipe of transformers' guide: rate 2e-5, batches of 16, 3 epochs, the best of them by validation.

All start from the same source model. Ours and Trainer choose by the same validation rows: 20 % of the training rows, or
5 a class where that is more, which ingest asks for. Few labels are 10 rows a class; many are all that a data set has
beside its test rows, up to 1,000. Seeds draw other training rows and take turns in who comes first; ratios of seconds
and differences of scores are paired by data set and seed.

Expected: with few labels a score no worse than SetFit's by .02 in no more time; with many a score no worse than
Trainer's in no more than twice the time (two arms are tried, and all is judged). Written before this script was run;
of an earlier form it was known that few labels score below SetFit.

SetFit needs transformers below 5, so an environment of its own:

    python3.11 -m venv FOLDER
    FOLDER/bin/pip install 'setfit==1.2.*' 'transformers<5' 'sentence-transformers<5' 'torch==2.13.0'

    python -m benchmarks.recipes --setfit-python FOLDER/bin/python
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.core.metrics import score
from acclimate.nn.job import IntArray
from benchmarks.labelled_rows import LabelledData, of_each_class, parts, read_rows
from benchmarks.measured import DATA, SOURCE, in_turn, machine, say, store
from benchmarks.recipe_contenders import OURS, SETFIT, TRAINER, Outcome, Task, contend, setfit_versions
from benchmarks.recipe_tables import hand_over
from benchmarks.trained_models import METRIC, mean_and_error

SETS = ("reviews", "movies", "topics")
FEW, MANY = "few_labels", "many_labels"
RIVALS = {FEW: SETFIT, MANY: TRAINER}
EXPECTED = {
    FEW: {"macro_f1_difference": ">= -0.02", "seconds_ratio": "<= 1"},
    MANY: {"macro_f1_difference": ">= 0", "seconds_ratio": "<= 2"},
}

# by contender: seconds, macro-F1 and what was decided
Point = dict[str, dict[str, Any]]


def drawn(read: LabelledData, part: str, options: argparse.Namespace, seed: int) -> tuple[IntArray, IntArray]:
    """Training rows, another draw each seed, and test rows, always the same."""
    test, pool = parts(len(read), [options.test_rows, len(read) - options.test_rows], 0)
    if part == FEW:
        (train,) = of_each_class(read.classes, pool, [options.few], seed)
        return train, test
    order = np.random.default_rng(seed).permutation(pool)
    return order[: options.many], test


def measured(
    name: str, read: LabelledData, part: str, seed: int, options: argparse.Namespace, source_folder: Path
) -> Point:
    """Both contenders on one data set and seed."""
    train, test = drawn(read, part, options, seed)
    found: Point = {}
    for who in in_turn([OURS, RIVALS[part]], seed):
        with tempfile.TemporaryDirectory() as kept:
            task = Task(name, Path(kept) / "given", options.source, source_folder, seed, options.at_least)
            hand_over(read, train, test, task.folder)
            outcome = contend(who, task, options.setfit_python)
        found[who] = scored(outcome, read, test)
        say(part=part, data=name, seed=seed, who=who, rows=len(train), **found[who])
    return found


def scored(outcome: Outcome, read: LabelledData, test: IntArray) -> dict[str, Any]:
    """Seconds, macro-F1 of the answers, and what was decided."""
    answers = np.array([read.labels.index(label) for label in outcome.answers], dtype=np.int64)
    return {
        "seconds": outcome.seconds,
        "macro_f1": score(METRIC, read.classes[test], answers, len(read.labels)),
        "decided": outcome.decided,
    }


def summary(points: Sequence[Point], rival: str) -> dict[str, Any]:
    """One data set: each contender over seeds, and ours against the other."""
    found: dict[str, Any] = {}
    for who in (OURS, rival):
        own = [point[who] for point in points]
        found[who] = {
            "seconds": round(statistics.median(one["seconds"] for one in own), 1),
            "macro_f1": round(statistics.mean(one["macro_f1"] for one in own), 4),
            "macro_f1_by_seed": [round(one["macro_f1"], 4) for one in own],
        }
    found[OURS]["decided_by_seed"] = [point[OURS]["decided"] for point in points]
    return {**found, **compared(points, rival)}


def compared(points: Iterable[Point], rival: str) -> dict[str, Any]:
    """Ours against the other, paired: how many times its seconds, and the difference of scores."""
    pairs = [(point[OURS], point[rival]) for point in points]
    ratios = [ours["seconds"] / theirs["seconds"] for ours, theirs in pairs]
    mean, error = mean_and_error([ours["macro_f1"] - theirs["macro_f1"] for ours, theirs in pairs])
    return {
        "macro_f1_difference": round(mean, 4),
        "standard_error": None if error is None else round(error, 4),
        "seconds_ratio": round(statistics.median(ratios), 3),
        "seconds_ratio_lowest": round(min(ratios), 3),
        "seconds_ratio_highest": round(max(ratios), 3),
    }


def result_of(points: dict[str, dict[str, list[Point]]]) -> dict[str, Any]:
    """Expected beside got for each part, over all data sets and seeds, then each data set."""
    found: dict[str, Any] = {
        part: {
            "expected": EXPECTED[part],
            "got": compared([point for own in of_sets.values() for point in own], RIVALS[part]),
        }
        for part, of_sets in points.items()
    }
    for part, of_sets in points.items():
        found[part] |= {name: summary(own, RIVALS[part]) for name, own in of_sets.items()}
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the CSV files")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--parts", nargs="+", choices=tuple(RIVALS), default=list(RIVALS))
    parser.add_argument("--setfit-python", type=Path, help="python of an environment with SetFit 1.2")
    parser.add_argument("--few", type=int, default=10, help="rows of each class, where labels are few")
    parser.add_argument("--many", type=int, default=1000, help="training rows at most, where labels are many")
    parser.add_argument("--few-seeds", type=int, default=2)
    parser.add_argument("--many-seeds", type=int, default=1)
    parser.add_argument("--test-rows", type=int, default=600)
    parser.add_argument("--at-least", type=float, help="score asked of ours (goal.at_least); by default none is")
    parser.add_argument("--source", default=SOURCE)
    return parser.parse_args()


def main() -> None:
    """Measure, print, and write the results as JSON."""
    options = arguments()
    theirs = setfit_versions(options.setfit_python) if FEW in options.parts else {}
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    seeds = {FEW: options.few_seeds, MANY: options.many_seeds}
    points: dict[str, dict[str, list[Point]]] = {part: {} for part in options.parts}
    for name in options.sets:
        read = read_rows(options.data / f"{name}.csv")
        for part in options.parts:
            points[part][name] = [
                measured(name, read, part, seed, options, folder.resolve()) for seed in range(seeds[part])
            ]
    result = {
        "claim": "from a table to a saved model, against SetFit with few labels and a Trainer recipe with many",
        "source": f"{card.name} {card.revision}",
        "few_rows_a_class": options.few,
        "many_rows_at_most": options.many,
        "seeds": {part: seeds[part] for part in options.parts},
        "test_rows": options.test_rows,
        "at_least": options.at_least,
        **machine("accelerate", "torch", "transformers"),
        "setfit_environment": theirs,
        **result_of(points),
    }
    store("recipes", result)


if __name__ == "__main__":
    main()
