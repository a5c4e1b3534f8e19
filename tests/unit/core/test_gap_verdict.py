from typing import Any

import pytest

from acclimate.core.gap_verdict import gap_notes, gap_verdict

CLEAR: dict[str, Any] = {
    "has_reference": True,
    "same_feature_space": True,
    "rows_compared": 500,
    "detectable_shift": 0.2,
    "units": 0.4,
    "p_value": 0.6,
}


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, "NONE"),
        ({"units": 1.0, "p_value": 0.051}, "NONE"),
        ({"units": -2.0, "p_value": 0.9}, "NONE"),
        ({"units": 1.01}, "SMALL"),
        ({"p_value": 0.05}, "SMALL"),
        ({"units": 3.0, "p_value": 0.01}, "SMALL"),
        ({"units": 3.01, "p_value": 0.01}, "LARGE"),
        ({"rows_compared": 100}, "NONE"),
        ({"rows_compared": 99}, "UNDERPOWERED"),
        ({"rows_compared": 99, "units": 50.0, "p_value": 0.001}, "UNDERPOWERED"),
        ({"detectable_shift": 0.25}, "NONE"),
        ({"detectable_shift": 0.26}, "UNDERPOWERED"),
        ({"detectable_shift": None}, "UNDERPOWERED"),
        ({"units": None, "p_value": None}, "UNDERPOWERED"),
        ({"same_feature_space": False}, "INCOMPARABLE"),
        ({"same_feature_space": False, "rows_compared": 3}, "INCOMPARABLE"),
        ({"has_reference": False}, "NO_REFERENCE"),
        ({"has_reference": False, "same_feature_space": False, "rows_compared": 0}, "NO_REFERENCE"),
    ],
)
def test_the_policy_by_cases(changed: dict[str, Any], verdict: str) -> None:
    assert gap_verdict(**{**CLEAR, **changed}) == verdict


def notes(**changed: Any) -> str:
    plain = {"rows_compared": 500, "detectable_shift": 0.2, "p_value": 0.3, "largest_group": None}
    return " ".join(gap_notes(**{**plain, **changed}))


def test_notes_say_what_limits_the_verdict() -> None:
    assert "nderpowered" not in notes()
    assert "200 reference rows" in notes(rows_compared=60)
    assert "0.25 sd would be missed" in notes(detectable_shift=0.4)
    assert "one group alone has 80 rows" in notes(rows_compared=60, p_value=None, largest_group=80)
    assert "too few rows" in notes(rows_compared=10, p_value=None)
    assert "Whole groups" in notes(largest_group=3)


def test_notes_admit_a_gap_found_in_spite_of_low_power() -> None:
    assert "There is a gap all the same" in notes(rows_compared=60, p_value=0.01)
    assert "all the same" not in notes(rows_compared=60, p_value=0.2)
    assert "all the same" not in notes(p_value=0.01, largest_group=4)
