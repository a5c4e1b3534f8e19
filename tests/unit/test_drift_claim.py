"""The published figures of drift on real data keep what is promised of them."""

import json
from pathlib import Path

import pytest

RESULTS = json.loads((Path(__file__).parents[2] / "benchmarks" / "results" / "drift.json").read_text())
PAIRS = [name for name in RESULTS if " <- " in name]


def test_they_are_of_the_settings_that_are_shipped() -> None:
    from acclimate.core.drift import ALPHA, PERMUTATIONS

    assert (RESULTS["level"], RESULTS["permutations"]) == (ALPHA, PERMUTATIONS)
    assert (RESULTS["fresh_rows"], RESULTS["tries"], len(PAIRS)) == (500, 200, 3)


@pytest.mark.parametrize("pair", PAIRS)
def test_few_false_alarms_and_a_quarter_of_foreign_rows_is_found(pair: str) -> None:
    assert RESULTS[pair]["told_at_0%_foreign_rows"]["share"] <= 0.04
    assert RESULTS[pair]["told_at_25%_foreign_rows"]["share"] >= 0.8
    assert RESULTS[pair]["told_at_100%_foreign_rows"]["share"] == 1
