"""How often the gate promotes a model that is not better, and one that is."""

from __future__ import annotations

import numpy as np
import pytest

from acclimate.core.gate import Difference, GateInputs, Integrity, judge
from acclimate.core.paired import paired_difference
from tests.policies import STANDARD

ROWS, TRIALS = 500, 400


def simulate(gain: float, seed: int) -> tuple[float, float]:
    """Share of trials in which the gate promotes, and in which a point comparison would.

    Both models err on a tenth of the rows and disagree on a tenth; ``gain`` is the true difference in accuracy.
    """
    rng = np.random.default_rng(seed)
    promoted = better = 0
    for trial in range(TRIALS):
        truth = rng.integers(2, size=ROWS)
        draw = rng.random(ROWS)
        only_candidate, only_other = draw < 0.05 + gain / 2, draw > 0.95 + gain / 2
        both_wrong = (draw > 0.45) & (draw < 0.50)
        candidate = np.where(only_other | both_wrong, 1 - truth, truth)
        other = np.where(only_candidate | both_wrong, 1 - truth, truth)
        found = paired_difference("macro_f1", truth, candidate, other, 2, bootstraps=500, seed=trial)
        primary = Difference("champion", 0.9, found.point, found.low_one_sided, found.high_one_sided)
        promoted += judge(inputs(primary), STANDARD).verdict == "PROMOTE"
        better += found.point > 0
    return promoted / TRIALS, better / TRIALS


def inputs(primary: Difference) -> GateInputs:
    beaten = [Difference(name, 0.5, 0.4, 0.35, 0.45) for name in ("tfidf", "majority", "random_features")]
    return GateInputs(
        strategy="lora",
        test_rows=ROWS,
        overlap_rows=0,
        near_duplicates=0,
        integrity=Integrity(0.0, changes_outputs=True, same_model=True),
        score=0.9,
        score_low=0.87,
        at_least=None,
        at_least_by="point",
        comparator="champion",
        primary=primary,
        comparisons=(primary, *beaten),
        licences={"source model": "MIT", "target data": "own data"},
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_an_equal_model_is_rarely_promoted(seed: int) -> None:
    gate, point = simulate(0.0, seed)
    assert gate <= 0.07
    assert 0.4 < point < 0.6


def test_a_clearly_better_model_is_promoted() -> None:
    gate, _ = simulate(0.05, 0)
    assert gate > 0.9


def test_a_worse_model_is_hardly_ever_promoted() -> None:
    gate, point = simulate(-0.02, 0)
    assert gate <= 0.01
    assert point > gate
