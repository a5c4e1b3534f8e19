"""The learning rate at each step."""

from __future__ import annotations

from acclimate.nn.job import Schedule


def rate_factor(step: int, *, steps: int, warmup: float, schedule: Schedule) -> float:
    """Share of the peak learning rate at a step.

    Args:
        step: steps done so far, ``0 <= step < steps``.
        steps: steps of the whole training.
        warmup: share of the steps over which the rate rises linearly, 0..1.
        schedule: ``full``: then it falls linearly and would reach 0 at ``steps``; ``rung``: then it stays.

    Returns:
        A factor in (0, 1].

    Source:
        Mosbach et al. 2021 (warm-up over 10 % of the steps, linear decay, for small sets).
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    if schedule == "rung":
        return 1.0
    return (steps - step) / (steps - rising)
