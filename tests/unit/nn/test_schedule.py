from __future__ import annotations

import pytest
import torch

from acclimate.nn.schedule import rate_factor


def rates(steps: int, warmup: float, schedule: str) -> list[float]:
    return [rate_factor(i, steps=steps, warmup=warmup, schedule=schedule) for i in range(steps)]  # type: ignore[arg-type]


def test_linear_rises_then_falls_towards_zero() -> None:
    assert rates(10, 0.2, "linear") == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_constant_stays_at_the_peak() -> None:
    assert rates(5, 0.4, "constant") == pytest.approx([0.5, 1.0, 1.0, 1.0, 1.0])


def test_cosine_rises_then_falls_along_half_a_period() -> None:
    half = 0.5**0.5
    expected = [0.5, 1.0, 1.0, (1 + half) / 2, 0.5, (1 - half) / 2]
    assert rates(6, 1 / 3, "cosine") == pytest.approx(expected)


def test_cosine_is_torchs() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40)
    expected = []
    for _ in range(40):
        expected.append(theirs.get_last_lr()[0])
        optimizer.step()
        theirs.step()
    assert rates(40, 0.0, "cosine") == pytest.approx(expected, abs=1e-12)
    assert rates(50, 0.2, "cosine")[10:] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_every_step_has_a_rate(schedule: str, warmup: float, steps: int) -> None:
    assert all(0 < rate <= 1 for rate in rates(steps, warmup, schedule))
