from __future__ import annotations

import pytest

from acclimate.nn.schedule import rate_factor


def rates(steps: int, warmup: float, schedule: str) -> list[float]:
    return [rate_factor(i, steps=steps, warmup=warmup, schedule=schedule) for i in range(steps)]  # type: ignore[arg-type]


def test_full_rises_then_falls_towards_zero() -> None:
    assert rates(10, 0.2, "full") == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_a_rung_stays_at_the_peak() -> None:
    assert rates(5, 0.4, "rung") == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0])


@pytest.mark.parametrize("schedule", ["full", "rung"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_step_has_a_rate(schedule: str, warmup: float, steps: int) -> None:
    assert all(0 < rate <= 1 for rate in rates(steps, warmup, schedule))
