"""What penalties that hold a training near its source model are worth where labels are few.

Full fine-tuning (started from the probe) without a penalty, with L2-SP (.01, what rule R5 sets where labels are few),
DELTA (.01) and BSS (.001), at 5 to 100 rows a class, on two targets: product reviews, with movie reviews as the source
domain that must not be forgotten, and the other way round. A seed draws new rows; within it all penalties have the same
rows, start, order and dropout, so differences are paired.

Measured: macro-F1 on 1,000 test rows, the same for all seeds and sizes; and retention, the change of a probe's macro-F1
on the source domain when it is fitted anew on the trained model's features (500 held-out rows, 800 to fit on, as in a
run). The model is the trained one itself: the product would also look between it and the source (WiSE-FT), which would
blur what the penalty did. ``frozen`` is the probe that every training starts from.

Training is at the product's defaults: up to 20 epochs, batches of 32, and an early stop after 3 epochs without a better
score on validation, which has as many rows as train. So few rows tell little: at 5 and 10 rows a class an epoch is a
single step, and a training may end after four; ``epochs`` and ``best_epoch`` say so. ``--patience 20`` trains on.

Expected (the published pattern, written before measuring): a gain in macro-F1 with few labels, none at 100 rows a
class. There: birds (CUB) with 15 % of the labels 51.2 -> 53.4 with BSS, 54.8 with DELTA; with all of them 81.8 -> 82.0
and 82.3 (Chen et al. 2019, Li et al. 2019, as run by TLlib). And L2-SP and DELTA forget no more than no penalty.

Each epoch's checkpoint is written and checked as in a run; a TMPDIR in memory saves its way to the disk.

    python -m benchmarks.few_labels
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.core.decision_policy import POLICY_V1
from acclimate.core.judge import Judge
from acclimate.core.probe import Probe
from acclimate.examples import Examples
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import FloatArray, IntArray, LabelledRows
from acclimate.nn.source_task import SourceKnowledge, SourceTask
from benchmarks.labelled_rows import LabelledData, of_each_class, parts, read_rows
from benchmarks.measured import DATA, SOURCE, auto_precision, machine, say, store
from benchmarks.trained_models import DEFAULTS, METRIC, chosen_probe, fine_tuned, mean_and_error, score_of

PENALTIES: dict[str, dict[str, float]] = {
    "none": {},
    "l2_sp": {"l2_sp": POLICY_V1.few_labels_l2_sp},
    # the weights of their papers, as the configuration names them
    "delta": {"delta": 0.01},
    "bss": {"bss": 0.001},
}
# target, then the source domain
PAIRS = (("reviews", "movies"), ("movies", "reviews"))
SIZES = (5, 10, 20, 100)
TEST_ROWS = 1000
SOURCE_ROWS = (800, 500)
STRATEGY = "full"


@dataclass(frozen=True)
class Target:
    """One target with its fixed test rows, and what the source model knows of the other domain.

    Args:
        read: all its rows.
        pool: numbers of the rows that train and validation are drawn from.
        test: the test rows.
        test_features: the source model's features of the test rows [n, d].
        knowledge: the source domain's task.
    """

    read: LabelledData
    pool: IntArray
    test: IntArray
    test_features: FloatArray
    knowledge: SourceKnowledge

    @classmethod
    def of(cls, target: Path, source: Path, test_rows: int, encoder: Encoder) -> Target:
        """Read both domains and embed what is needed of them."""
        read = read_rows(target)
        test, pool = parts(len(read), [test_rows, len(read) - test_rows], 0)
        features = encoder.embed(read.some(test).inputs)
        return cls(read, pool, test, features, source_knowledge(read_rows(source), encoder))


def source_knowledge(read: LabelledData, encoder: Encoder) -> SourceKnowledge:
    """What the source model knows of the source domain, on fixed rows."""
    train, held_out = (read.some(rows) for rows in parts(len(read), SOURCE_ROWS, 0))
    _, c = chosen_probe(encoder.embed(train.inputs), train.labels, len(read.labels), 0)
    task = SourceTask(as_examples(train), as_examples(held_out), list(read.labels), c)
    judge = Judge(METRIC, held_out.labels, len(read.labels), 0, 0, None)
    return SourceKnowledge(task, judge, task.predictions(encoder))


def as_examples(rows: LabelledRows) -> Examples:
    """Rows as a run's tables hold them."""
    return Examples([str(i) for i in range(len(rows))], rows.inputs, rows.labels, None, {})


def trained(
    target: Target, size: int, seed: int, options: argparse.Namespace, folder: Path, encoder: Encoder
) -> dict[str, dict[str, float]]:
    """Test score, retention and epochs of each penalty, and of the probe they start from."""
    drawn = of_each_class(target.read.classes, target.pool, [size, size], seed)
    train, validation = (target.read.some(rows) for rows in drawn)
    probe, _ = chosen_probe(encoder.embed(train.inputs), train.labels, len(target.read.labels), seed)
    found = {"frozen": {"macro_f1": frozen_score(target, probe), "source_change": 0.0}}
    for name, penalties in PENALTIES.items():
        result, model = fine_tuned(
            STRATEGY,
            folder,
            encoder,
            probe,
            train,
            validation,
            epochs=options.epochs,
            patience=options.patience,
            seed=seed,
            settings=penalties,
        )
        known = target.knowledge
        found[name] = {
            "macro_f1": score_of(model, target.read.some(target.test)),
            "source_change": known.score(known.answers(model.encoder)) - known.score(),
            "epochs": len(result.history),
            "best_epoch": result.best_epoch,
        }
        say(rows_a_class=size, seed=seed, penalty=name, seconds=round(result.seconds, 1), **found[name])
    return found


def frozen_score(target: Target, probe: Probe) -> float:
    """The probe's macro-F1 on the test rows."""
    answers = probe.predict(target.test_features)
    return Judge(METRIC, target.read.classes[target.test], len(target.read.labels), 0, 0, None).point(answers)


def summary(of_seeds: Sequence[dict[str, dict[str, float]]]) -> dict[str, Any]:
    """Means over seeds, and differences from no penalty, paired by seed, with their standard errors."""
    found: dict[str, Any] = {}
    for name in of_seeds[0]:
        values = {key: [seed[name][key] for seed in of_seeds] for key in of_seeds[0][name]}
        found[name] = {key: round(float(np.mean(of_key)), 4) for key, of_key in values.items()}
        if name == "none":
            continue
        for key in ("macro_f1", "source_change"):
            differences = [seed[name][key] - seed["none"][key] for seed in of_seeds]
            mean, error = mean_and_error(differences)
            found[name][f"{key}_against_none"] = round(mean, 4)
            found[name][f"{key}_standard_error"] = None if error is None else round(error, 4)
    return found


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of reviews.csv and movies.csv")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="training rows a class")
    parser.add_argument("--test-rows", type=int, default=TEST_ROWS)
    parser.add_argument("--epochs", type=int, default=DEFAULTS.max_epochs["full"], help="longest training")
    parser.add_argument("--patience", type=int, default=DEFAULTS.patience, help="epochs without a better score")
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    encoder = Encoder.load(folder, precision=auto_precision(folder))
    result: dict[str, Any] = {
        "claim": "full fine-tuning with few labels: penalties against none, paired by seed",
        "expected": "a gain in macro-F1 with few labels, none at 100 rows a class; L2-SP and DELTA forget no more",
        "source": f"{card.name} {card.revision}",
        "weights": {name: weight for penalties in PENALTIES.values() for name, weight in penalties.items()},
        "seeds": options.seeds,
        "test_rows": options.test_rows,
        "epochs": options.epochs,
        "patience": options.patience,
        "precision": encoder.precision,
        **machine("torch", "transformers"),
    }
    for name, other in PAIRS:
        target = Target.of(options.data / f"{name}.csv", options.data / f"{other}.csv", options.test_rows, encoder)
        say(target=name, source_domain=other, source_score=target.knowledge.score())
        found: dict[str, Any] = {"source_domain": other, "source_score": round(target.knowledge.score(), 4)}
        for size in options.sizes:
            of_seeds = [trained(target, size, seed, options, folder, encoder) for seed in range(options.seeds)]
            found[f"{size}_rows_a_class"] = summary(of_seeds)
        result[name] = found
    store("few_labels", result)


if __name__ == "__main__":
    main()
