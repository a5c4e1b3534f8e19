"""The gate against a point comparison: how often each promotes a model that is equal, better or worse.

Two real models answer the rows of a data set that neither was fitted on: probes on frozen features, fitted on many rows
and on few. From their answers two models of a known difference are made: on each row the candidate gives the better
model's answer with a probability, the other model gives the rest. At one half the two can't be told apart, so their
true difference is 0; the probability for any other difference follows from the expected confusion matrices. A trial
draws that many test rows, with replacement, and who answers which. The gate judges by the policy ``standard`` as it
stands, its checks beside the primary comparison all passed; the point comparison promotes whoever scores higher.

Expected (written before measuring): of equal models the gate promotes at most 6 %, the point comparison 45 to 50 %; of
those that are worse by 2 points the gate promotes at most 1 %, the point comparison 5 to 35 %, the more the fewer rows;
of those that are better by 2 points the gate promotes fewer than the point comparison, with 2,000 rows at least half.
What was got stands beside it, and each case that missed it, by however little.

    python -m benchmarks.gate_against_point
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binomtest

from acclimate.adapters.sources import resolve_source
from acclimate.config_file import built_in_policy
from acclimate.core.gate import Difference, GateInputs, Integrity, judge
from acclimate.core.metrics import FloatArray, IntArray, confusion, score
from acclimate.core.paired import paired_difference
from acclimate.judging import gate_policy
from acclimate.nn.encoder import Encoder
from benchmarks.labelled_rows import of_each_class, read_rows
from benchmarks.measured import DATA, SOURCE, auto_precision, machine, say, store
from benchmarks.trained_models import METRIC, chosen_probe

SETS = ("reviews", "movies", "topics")
DIFFERENCES = (-0.02, -0.01, 0.0, 0.01, 0.02)
POLICY = gate_policy(built_in_policy("standard"))


class Expected(NamedTuple):
    """A share of trials, over all data sets and rows, or that of the gate less that of the point comparison."""

    difference: float
    figure: str
    low: float
    high: float
    rows: int | None = None

    def holds(self, share: float) -> bool:
        """Whether a share is as expected."""
        return self.low <= share <= self.high


LESS = "gate less point"
EXPECTED = {
    "equal, gate promotes": Expected(0.0, "gate_promotes", 0, 0.06),
    "equal, point promotes": Expected(0.0, "point_promotes", 0.45, 0.5),
    "2 points worse, gate promotes": Expected(-0.02, "gate_promotes", 0, 0.01),
    "2 points worse, point promotes": Expected(-0.02, "point_promotes", 0.05, 0.35),
    f"2 points better, {LESS}": Expected(0.02, LESS, -1, 0),
    "2 points better, 2000 rows, gate promotes": Expected(0.02, "gate_promotes", 0.5, 1, rows=2000),
}


class Answers(NamedTuple):
    """Class indices of n rows: the truth, a better model's answers and a worse one's."""

    truth: IntArray
    better: IntArray
    worse: IntArray
    classes: int


def answers_of(name: str, encoder: Encoder, options: argparse.Namespace) -> Answers:
    """Answers of two probes to the rows that neither was fitted on."""
    read = read_rows(options.data / f"{name}.csv")
    many = options.many // len(read.labels)
    (fitted,) = of_each_class(read.classes, np.arange(len(read)), [many], 0)
    few = np.concatenate([fitted[read.classes[fitted] == label][: options.few] for label in range(len(read.labels))])
    others = np.setdiff1d(np.arange(len(read)), fitted)
    features = encoder.embed(read.texts)
    probes = [chosen_probe(features[rows], read.classes[rows], len(read.labels), 0)[0] for rows in (fitted, few)]
    better, worse = (probe.predict(features[others]) for probe in probes)
    return Answers(read.classes[others], better, worse, len(read.labels))


def macro_f1(counts: FloatArray) -> float:
    """Macro-F1 of a confusion matrix ``[C, C]`` (truth, prediction) of expected counts."""
    hits = np.diag(counts)
    return float(np.mean(2 * hits / (counts.sum(axis=0) + counts.sum(axis=1))))


def share_for(difference: float, found: Answers) -> float:
    """How often the candidate must give the better model's answer, to be better by just that much."""
    a, b = (confusion(found.truth, one, found.classes).astype(float) for one in (found.better, found.worse))

    def gain(share: float) -> float:
        return macro_f1(share * a + (1 - share) * b) - macro_f1((1 - share) * a + share * b)

    low, high = 0.0, 1.0
    if not gain(low) <= difference <= gain(high):
        raise SystemExit(f"the two models differ by {gain(high):.3f} only: fit the worse one on fewer rows")
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if gain(middle) < difference else (low, middle)
    return low


def verdict(found: Answers, share: float, rows: int, bootstraps: int, seed: int) -> tuple[str, bool]:
    """What the gate says in one trial, and whether the point comparison promotes."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(found.truth), size=rows)
    truth, better, worse = (one[drawn] for one in (found.truth, found.better, found.worse))
    turn = rng.random(rows) < share
    candidate, other = np.where(turn, better, worse), np.where(turn, worse, better)
    seen = paired_difference(METRIC, truth, candidate, other, found.classes, bootstraps=bootstraps, seed=seed)
    primary = Difference("champion", 0.5, seen.point, seen.low_one_sided, seen.high_one_sided)
    beaten = [Difference(name, 0.1, 0.3, 0.2, 0.4) for name in ("tfidf", "majority", "random_features")]
    inputs = GateInputs(
        strategy="lora",
        test_rows=rows,
        overlap_rows=0,
        near_duplicates=0,
        integrity=Integrity(0.0, changes_outputs=True, same_model=True),
        score=0.5,
        score_low=0.4,
        at_least=None,
        at_least_by="point",
        comparator="champion",
        primary=primary,
        comparisons=(primary, *beaten),
        licences={"source model": "MIT", "target data": "own data"},
    )
    higher = score(METRIC, truth, candidate, found.classes) > score(METRIC, truth, other, found.classes)
    return judge(inputs, POLICY).verdict, higher


def measured(found: Answers, difference: float, rows: int, trials: int, bootstraps: int) -> dict[str, Any]:
    """Shares of the gate's verdicts, and of the point comparison's promotions."""
    share = share_for(difference, found)
    said = [verdict(found, share, rows, bootstraps, seed) for seed in range(trials)]
    counts = Counter(word for word, _ in said)
    interval = binomtest(counts["PROMOTE"], trials).proportion_ci(method="exact")
    return {
        "gate_promotes": round(counts["PROMOTE"] / trials, 4),
        "gate_low": round(interval.low, 4),
        "gate_high": round(interval.high, 4),
        "point_promotes": round(sum(higher for _, higher in said) / trials, 4),
        **{f"gate_{word.lower()}": round(counts[word] / trials, 4) for word in ("SHADOW", "HOLD", "REJECT")},
    }


def got(found: Mapping[str, Mapping[str, dict[str, Any]]], rows: Sequence[int]) -> dict[str, Any]:
    """What was got of each expectation, beside it, where it was measured.

    Args:
        found: figures of each case by data set and case.
        rows: of the cases, as measured.
    """
    of_each = {name: _shares(want, found, rows) for name, want in EXPECTED.items()}
    return {
        name: {
            "expected": f"{EXPECTED[name].low:g} to {EXPECTED[name].high:g}",
            "lowest": min(shares.values()),
            "highest": max(shares.values()),
            "missed": [f"{case}: {share:g}" for case, share in shares.items() if not EXPECTED[name].holds(share)],
        }
        for name, shares in of_each.items()
        if shares
    }


def _shares(want: Expected, found: Mapping[str, Mapping[str, dict[str, Any]]], rows: Sequence[int]) -> dict[str, float]:
    cases = {
        f"{data} {count} rows": figures[case_name(want.difference, count)]
        for data, figures in found.items()
        for count in rows
        if want.rows in (None, count)
    }
    if want.figure == LESS:
        return {name: round(case["gate_promotes"] - case["point_promotes"], 4) for name, case in cases.items()}
    return {name: case[want.figure] for name, case in cases.items()}


def case_name(difference: float, rows: int) -> str:
    """What a case is called."""
    return f"{difference:+.2f}, {rows} rows"


def main() -> None:
    """Measure, print, and write the results as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the CSV files")
    parser.add_argument("--sets", nargs="+", default=list(SETS))
    parser.add_argument("--rows", type=int, nargs="+", default=[200, 500, 2000], help="test rows")
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--bootstraps", type=int, default=1000)
    parser.add_argument("--many", type=int, default=600, help="rows the better model is fitted on")
    parser.add_argument("--few", type=int, default=20, help="rows a class the worse model is fitted on")
    parser.add_argument("--source", default=SOURCE)
    options = parser.parse_args()
    folder, card = resolve_source(options.source, root=Path.cwd(), licence=None, allow_outside=True)
    encoder = Encoder.load(folder, precision=auto_precision(folder))
    result: dict[str, Any] = {
        "claim": "how often the gate and a point comparison promote a model that is equal, better or worse",
        "expected": "equal: gate <= .06, point .45 to .5; 2 points worse: gate <= .01, point .05 to .35; 2 points "
        "better: gate less often than point, >= .5 with 2,000 rows",
        "source": f"{card.name} {card.revision}",
        "policy": POLICY.name,
        "metric": METRIC,
        "trials": options.trials,
        "bootstraps": options.bootstraps,
        **machine("numpy", "torch"),
    }
    of_sets: dict[str, dict[str, dict[str, Any]]] = {}
    for name in options.sets:
        found = answers_of(name, encoder, options)
        disagreement = round(float(np.mean(found.better != found.worse)), 3)
        of_sets[name] = {"models": {"rows": len(found.truth), "disagreement": disagreement}}
        for difference in DIFFERENCES:
            for rows in options.rows:
                case = measured(found, difference, rows, options.trials, options.bootstraps)
                of_sets[name][case_name(difference, rows)] = case
                say(data=name, difference=difference, rows=rows, **case)
    store("gate_against_point", {**result, "got": got(of_sets, options.rows), **of_sets})


if __name__ == "__main__":
    main()
