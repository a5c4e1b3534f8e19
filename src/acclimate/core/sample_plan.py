"""Which rows are compared with which: pairs of source samples, and draws of target against source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MAX_ROWS_COMPARED = 500

Pair = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class SamplePlan:
    """Equal-sized samples to compare, as row numbers of the pooled table (target first, then source).

    Args:
        rows_compared: m, rows of each sample.
        null_pairs: two disjoint source samples each; no group is in both.
        draws: a target and a source sample each.
    """

    rows_compared: int
    null_pairs: list[Pair]
    draws: list[Pair]


def plan_samples(
    target_groups: np.ndarray, source_groups: np.ndarray, *, null_pairs: int, draws: int, seed: int
) -> SamplePlan:
    """Draw whole groups in random order until a sample has m rows; only its last group may be cut.

    m is the smallest of the target's rows, the smaller half of the most uneven random split of the source by
    groups, and :data:`MAX_ROWS_COMPARED`. Without groups that is min(n_target, n_source / 2, 500).

    Args:
        target_groups: int [n_target], group of each row; all different where there are none.
        source_groups: int [n_source].
        null_pairs: how many pairs of source samples.
        draws: how many draws of target against source.
        seed: of the sampling.

    Source: method of matched null samples; Gretton et al. 2012 for permuting and splitting by blocks.
    """
    rng = np.random.default_rng(seed)
    halves = [_halves(source_groups, rng) for _ in range(null_pairs)]
    smallest = min(min(first.size, second.size) for first, second in halves)
    m = min(target_groups.size, smallest, MAX_ROWS_COMPARED)
    offset = target_groups.size
    return SamplePlan(
        rows_compared=m,
        null_pairs=[(offset + first[:m], offset + second[:m]) for first, second in halves],
        draws=[
            (shuffled_by_group(target_groups, rng)[:m], offset + shuffled_by_group(source_groups, rng)[:m])
            for _ in range(draws)
        ],
    )


def shuffled_by_group(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Row numbers with groups in random order, the rows of a group together: int [n]."""
    _, unit = np.unique(groups, return_inverse=True)
    place = rng.permutation(unit.max() + 1)[unit]
    return np.argsort(place, kind="stable")


def _halves(groups: np.ndarray, rng: np.random.Generator) -> Pair:
    """Split all rows in two by whole groups, as evenly as their random order allows."""
    order = shuffled_by_group(groups, rng)
    ordered = groups[order]
    cuts = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    if cuts.size == 0:
        return order, order[:0]
    cut = cuts[np.abs(cuts - order.size / 2).argmin()]
    return order[:cut], order[cut:]
