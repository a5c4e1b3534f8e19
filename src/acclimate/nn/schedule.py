"""The learning rate at each step."""

from __future__ import annotations

import math

from acclimate.nn.job import Schedule


def rate_factor(step: int, *, steps: int, warmup: float, schedule: Schedule) -> float:
    """Share of the peak learning rate at a step.

    Args:
        step: steps done so far, ``0 <= step < steps``.
        steps: steps of the whole training.
        warmup: share of the steps over which the rate rises linearly, 0..1.
        schedule: how it goes on: ``linear`` and ``cosine`` fall and would reach 0 at ``steps``, along a line or half
            a period of the cosine; ``constant`` stays.

    Returns:
        A factor in (0, 1].

    Source:
        Mosbach et al. 2021 (warm-up over 10 % of the steps, linear decay, for small sets); Loshchilov & Hutter 2017,
        eq. 5, without restarts (cosine).
    """
    rising = round(warmup * steps)
    if step < rising:
        return (step + 1) / rising
    if schedule == "constant":
        return 1.0
    done = (step - rising) / (steps - rising)
    return 0.5 * (1.0 + math.cos(math.pi * done)) if schedule == "cosine" else 1.0 - done
