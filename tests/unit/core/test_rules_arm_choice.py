"""Rule R8: the arm that is handed on."""

from __future__ import annotations

import math

import numpy as np
import pytest

from acclimate.core.rules import ArmResult, choose_arm
from acclimate.errors import DataError


def arms(frozen_low: float, lora_low: float) -> list[ArmResult]:
    return [
        ArmResult("full", 300.0, 0.88, 0.0),
        ArmResult("frozen", 0.0, 0.80, frozen_low),
        ArmResult("lora", 200.0, 0.875, lora_low),
    ]


@pytest.mark.parametrize(
    ("frozen_low", "lora_low", "chosen"),
    [
        (-0.10, -0.02, "full"),
        (-0.10, -0.01, "lora"),  # equal to the tolerance is close enough
        (-0.10, math.nextafter(-0.01, -1), "full"),
        (-0.01, -0.01, "frozen"),
        (-0.005, -0.5, "frozen"),
    ],
)
def test_the_cheapest_arm_within_tolerance_is_chosen(frozen_low: float, lora_low: float, chosen: str) -> None:
    assert choose_arm(arms(frozen_low, lora_low), 0.01).strategy == chosen


def test_the_best_is_chosen_if_no_arm_qualifies() -> None:
    shaky = [ArmResult("lora", 1.0, 0.7, -0.2), ArmResult("full", 2.0, 0.8, -0.2)]
    assert choose_arm(shaky, 0.01).strategy == "full"


def test_equal_costs_are_settled_by_score_then_name() -> None:
    tied = [ArmResult("b", 5.0, 0.8, 0.0), ArmResult("a", 5.0, 0.8, 0.0), ArmResult("c", 5.0, 0.81, 0.0)]
    assert choose_arm(tied, 0.01).strategy == "c"
    assert choose_arm(tied[:2], 0.01).strategy == "a"
    assert choose_arm(tied[1::-1], 0.01).strategy == "a"


def test_the_record_names_what_was_rejected_and_why() -> None:
    finding = choose_arm(arms(-0.10, -0.005), 0.01).finding
    assert finding.rule == "R8"
    assert finding.fired
    assert finding.inputs["lora.expected_seconds"] == 200.0
    assert "cheapest" in finding.says
    assert "scores best" in choose_arm(arms(-0.10, -0.02), 0.01).finding.says
    assert {text.split(":")[0]: "worse" in text for text in finding.rejected} == {"full": False, "frozen": True}


@pytest.mark.parametrize(
    "broken",
    [
        [],
        [ArmResult("lora", math.nan, 0.8, 0.0)],
        [ArmResult("lora", 1.0, math.nan, 0.0)],
        [ArmResult("lora", 1.0, 0.8, math.inf)],
    ],
)
def test_arms_that_cannot_be_compared_are_refused(broken: list[ArmResult]) -> None:
    with pytest.raises(DataError) as caught:
        choose_arm(broken, 0.01)
    assert caught.value.code == "E-DECIDE-007"


def test_an_arm_two_points_worse_is_rarely_handed_on() -> None:
    """The rule against 'the interval reaches the best': normal differences, sd of a 600-row validation split."""
    rng = np.random.default_rng(0)
    sd = math.sqrt(0.1 / 600)
    through, reaching = 0, 0
    for difference in rng.normal(-0.02, sd, 2000):
        cheap = ArmResult("cheap", 1.0, 0.8 + difference, min(0.0, difference - 1.96 * sd))
        through += choose_arm([ArmResult("best", 9.0, 0.8, 0.0), cheap], 0.01).strategy == "cheap"
        reaching += difference + 1.96 * sd >= 0
    assert through / 2000 < 0.03
    assert reaching / 2000 > 0.5
