"""Learning rates of the strategies: chosen on some data sets, the choice reported on another.

Each strategy that starts from the probe is trained as the stage ``finetune`` does at its defaults, at rates around its
default one: a third of it, itself, three times it. On each set and seed all strategies and rates share the rows and the
probe. ``best`` is the rate with the highest mean macro-F1 on test rows over movies and topics. On reviews the default
and ``best`` are then compared, paired by seed; a default is changed only where ``best`` wins on both.

Expected: no other rate gains more than .01 on reviews; partial and gradual, which have full's rate, may.

    python -m benchmarks.rates
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from acclimate.adapters.sources import resolve_source
from acclimate.core.probe import Probe
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import LabelledRows
from acclimate.nn.strategies import STRATEGIES
from benchmarks.labelled_rows import LabelledData, parts, read_rows
from benchmarks.measured import DATA, SOURCE, auto_precision, machine, say, store
from benchmarks.trained_models import DEFAULTS, chosen_probe, fine_tuned, mean_and_error, score_of

CHOSEN_ON, REPORTED_ON = ("movies", "topics"), "reviews"
STARTED = tuple(name for name, one in STRATEGIES.items() if one.starts_from_probe and not one.pretrains)
FACTORS = (1 / 3, 1.0, 3.0)

Drawn = tuple[LabelledRows, LabelledRows, LabelledRows, Probe]


def default_rate(strategy: str) -> float:
    """The learning rate a strategy has where a user wrote none."""
    return float(DEFAULTS.settings_of(strategy)["learning_rate"])


def rates_of(strategy: str) -> list[float]:
    """The rates that are tried, rounded to two digits."""
    return [float(f"{factor * default_rate(strategy):.1e}") for factor in FACTORS]


def drawn(read: LabelledData, seed: int, options: argparse.Namespace, encoder: Encoder) -> Drawn:
    """Training, validation and test rows, and the probe that all start from."""
    sizes = [options.rows, options.validation_rows, options.test_rows]
    train, validation, test = (read.some(rows) for rows in parts(len(read), sizes, seed))
    probe, _ = chosen_probe(encoder.embed(train.inputs), train.labels, len(read.labels), seed)
    return train, validation, test, probe


def trained_score(
    strategy: str, rate: float, of: Drawn, seed: int, options: argparse.Namespace, source: Path, encoder: Encoder
) -> float:
    """Macro-F1 on test rows of a strategy trained at a rate."""
    train, validation, test, probe = of
    result, model = fine_tuned(
        strategy,
        source,
        encoder,
        probe,
        train,
        validation,
        epochs=options.epochs,
        seed=seed,
        settings={"learning_rate": rate},
    )
    found = score_of(model, test)
    say(strategy=strategy, rate=rate, seed=seed, macro_f1=round(found, 4), seconds=round(result.seconds, 1))
    return found


def compared(default: Sequence[float], best: Sequence[float]) -> dict[str, Any]:
    """Two rates on the set that had no part in the choice."""
    mean, error = mean_and_error([b - a for a, b in zip(default, best, strict=True)])
    return {
        "reported_default": round(float(np.mean(default)), 4),
        "reported_best": round(float(np.mean(best)), 4),
        "difference": round(mean, 4),
        "standard_error": None if error is None else round(error, 4),
    }


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the CSV files")
    parser.add_argument("--strategies", nargs="+", choices=STARTED, default=list(STARTED))
    parser.add_argument("--rows", type=int, default=400)
    parser.add_argument("--validation-rows", type=int, default=200)
    parser.add_argument("--test-rows", type=int, default=600)
    parser.add_argument("--epochs", type=int, default=8, help="longest training")
    parser.add_argument("--seeds", type=int, default=1, help="on each set that is chosen on")
    parser.add_argument("--reported-seeds", type=int, default=2)
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    encoder = Encoder.load(folder, precision=auto_precision(folder))

    def scores(name: str, seeds: int, tried: dict[str, list[float]]) -> dict[str, dict[float, list[float]]]:
        read = read_rows(options.data / f"{name}.csv")
        found: dict[str, dict[float, list[float]]] = {one: {rate: [] for rate in own} for one, own in tried.items()}
        for seed in range(seeds):
            of = drawn(read, seed, options, encoder)
            for strategy, rates in tried.items():
                for rate in rates:
                    score = trained_score(strategy, rate, of, seed, options, folder, encoder)
                    found[strategy][rate].append(score)
        return found

    tried = {strategy: rates_of(strategy) for strategy in options.strategies}
    chosen_on = {name: scores(name, options.seeds, tried) for name in CHOSEN_ON}
    means = {
        strategy: {rate: float(np.mean([chosen_on[name][strategy][rate] for name in CHOSEN_ON])) for rate in rates}
        for strategy, rates in tried.items()
    }
    best = {strategy: max(of_rates, key=lambda rate: of_rates[rate]) for strategy, of_rates in means.items()}
    finalists = {one: sorted({default_rate(one), best[one]}) for one in options.strategies}
    reported = scores(REPORTED_ON, options.reported_seeds, finalists)
    result: dict[str, Any] = {
        "claim": "learning rates chosen on movies and topics, reported on reviews",
        "expected": "no other rate than the default gains more than .01 on reviews",
        "source": f"{card.name} {card.revision}",
        "precision": encoder.precision,
        "rows": options.rows,
        "epochs": options.epochs,
        "seeds": options.seeds,
        "reported_seeds": options.reported_seeds,
        **machine("torch", "transformers"),
    }
    for strategy, rates in tried.items():
        names = ("third", "default", "threefold")
        result[strategy] = {
            "default_rate": default_rate(strategy),
            **{f"chosen_on_{name}": round(means[strategy][rate], 4) for name, rate in zip(names, rates, strict=True)},
            "best_rate": best[strategy],
            **compared(reported[strategy][default_rate(strategy)], reported[strategy][best[strategy]]),
        }
    store("rates", result)


if __name__ == "__main__":
    main()
