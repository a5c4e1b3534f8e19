"""Drift: level and power on made-up samples, what counts as a copy, and what is said about size and shape."""

import numpy as np
import pytest
from scipy.stats import binom, kstest

from acclimate.core.domain_gap import pool_rows
from acclimate.core.drift import (
    Compared,
    drift_test,
    drift_verdict,
    measure_drift,
    rows_needed,
    share_outside,
    without_copies,
)
from acclimate.core.grouping import Groups


def sample(rng: np.random.Generator, n: int, dim: int = 8) -> np.ndarray:
    """Two clusters, as text embeddings have them."""
    centres = np.array([[2.0] + [0.0] * (dim - 1), [-2.0] + [0.0] * (dim - 1)])
    return rng.normal(size=(n, dim)) + centres[rng.integers(0, 2, n)]


def p_values(foreign: float, tries: int, *, fresh: int = 120, held: int = 200) -> np.ndarray:
    found = []
    for seed in range(tries):
        rng = np.random.default_rng(seed)
        rows, others = sample(rng, fresh), sample(rng, held)
        planted = round(foreign * fresh)
        rows[:planted] = rng.normal(size=(planted, rows.shape[1])) + np.array([0.0, 2.5] + [0.0] * 6)
        found.append(drift_test(pool_rows(rows, others, None, fresh), permutations=199, seed=seed).p_value)
    return np.array(found)


def test_false_alarms_stay_at_the_level_and_p_is_uniform() -> None:
    found = p_values(0.0, 300)
    assert (found <= 0.01).sum() <= binom.ppf(0.9995, 300, 0.01)
    assert kstest(found, "uniform").pvalue > 1e-3


def test_a_quarter_of_foreign_rows_is_found() -> None:
    assert (p_values(0.25, 40, fresh=300, held=400) <= 0.01).mean() >= 0.8
    assert (p_values(1.0, 20) <= 0.01).all()


def test_whole_groups_are_permuted() -> None:
    rng = np.random.default_rng(0)
    told = 0
    for _ in range(40):
        # 12 authors a side, each with a style of their own: rows alone would always look different
        styles = rng.normal(size=(24, 6)) * 2
        rows = np.repeat(styles, 20, axis=0) + rng.normal(size=(480, 6))
        groups = Groups(np.repeat(np.arange(12), 20), np.repeat(np.arange(12, 24), 20), given=True)
        pooled = pool_rows(rows[:240], rows[240:], groups.pooled, 240)
        told += drift_test(pooled, permutations=99, seed=0).p_value <= 0.01
    assert told <= binom.ppf(0.9995, 40, 0.01)


def test_the_measured_drift_says_how_far_and_where() -> None:
    rng = np.random.default_rng(3)
    here, there = np.eye(8)[0] * 6, np.eye(8)[1] * 6
    held, fresh = rng.normal(size=(300, 8)) + here, rng.normal(size=(150, 8))
    near, far = measure_drift(fresh + here, held), measure_drift(fresh + there, held)
    assert near is not None
    assert far is not None
    assert near.test.p_value > 0.01 >= far.test.p_value
    assert near.units is not None
    assert far.units is not None
    assert near.units.point < 1.5
    assert far.units.low > 5
    assert near.rows_compared == far.rows_compared == 150
    assert near.share_outside < 0.15
    assert far.share_outside > 0.9
    assert near.spread_ratio == pytest.approx(1, abs=0.25)
    assert far.rows_needed is None
    assert drift_verdict(near, fresh=150, held=300) == "NONE"
    assert drift_verdict(far, fresh=150, held=300) == "DRIFTED"


def test_narrower_rows_have_a_smaller_spread() -> None:
    rng = np.random.default_rng(4)
    found = measure_drift(sample(rng, 150) * 0.5, sample(rng, 300))
    assert found is not None
    assert found.spread_ratio == pytest.approx(0.25, abs=0.1)
    assert found.share_outside < 0.1


def test_few_rows_never_prove_that_nothing_has_changed() -> None:
    rng = np.random.default_rng(5)
    few = measure_drift(sample(rng, 40), sample(rng, 300))
    assert few is not None
    assert drift_verdict(few, fresh=40, held=300) == "UNDERPOWERED"
    assert measure_drift(sample(rng, 19), sample(rng, 300)) is None
    assert drift_verdict(None, fresh=19, held=300) == "UNDERPOWERED"
    # but what few rows do show is told
    shown = measure_drift(sample(rng, 40) + 5, sample(rng, 300))
    assert drift_verdict(shown, fresh=40, held=300) == "DRIFTED"


def test_one_group_alone_is_not_measured() -> None:
    rng = np.random.default_rng(6)
    groups = Groups(np.zeros(50, dtype=int), np.arange(1, 101), given=True)
    assert measure_drift(sample(rng, 50), sample(rng, 100), groups) is None


def test_rows_that_are_all_alike_are_no_drift() -> None:
    found = measure_drift(np.ones((120, 3)), np.ones((200, 3)))
    assert found is not None
    assert found.test.p_value == 1
    assert (found.units, found.spread_ratio) == (None, None)


def test_rows_needed_shrink_with_the_distance_and_know_their_limits() -> None:
    needed = [rows_needed(statistic, 2.3, 100, 1000) for statistic in (1.0, 1.5, 2.5)]
    assert needed[0] is not None
    assert needed == sorted((n for n in needed if n is not None), reverse=True)
    assert rows_needed(-0.1, 2.3, 100, 1000) is None
    # no number of fresh rows makes up for 50 held-out ones
    assert rows_needed(0.5, 2.3, 500, 50) is None
    assert rows_needed(10.0, 2.3, 100, 1000) == 100


def test_the_number_of_rows_needed_is_about_right() -> None:
    shift = np.array([0.45] + [0.0] * 4)

    def told(n: int, tries: int = 60) -> tuple[float, float]:
        p, statistics = [], []
        for seed in range(tries):
            rng = np.random.default_rng(seed)
            pooled = pool_rows(rng.normal(size=(n, 5)) + shift, rng.normal(size=(300, 5)), None, n)
            test = drift_test(pooled, permutations=199, seed=seed)
            p.append(test.p_value)
            statistics.append(test.statistic)
        return float((np.array(p) <= 0.01).mean()), float(np.mean(statistics))

    share, statistic = told(40)
    assert share < 0.6
    needed = rows_needed(statistic, 3.0, 40, 300)
    assert needed is not None
    assert told(needed)[0] >= 0.7


def compared(fresh: list[int], held: list[int], known: list[int]) -> tuple[list[int], list[int]]:
    found: Compared = without_copies(np.array(fresh), np.array(held), np.array(known))
    return found.fresh.tolist(), found.held.tolist()


def test_texts_on_both_sides_are_left_out_of_both() -> None:
    # 7 is written again and again: it is in the fresh rows and among the held-out ones
    assert compared([7, 20, 21, 20], [7, 8, 9, 10], [1, 2, 3, 7, 8, 9, 10]) == ([1, 2], [1, 2, 3])


def test_fresh_rows_the_champion_was_trained_on_are_left_out() -> None:
    assert compared([1, 20, 2], [7, 8], [1, 2, 7, 8]) == ([1], [0, 1])


def test_a_later_copy_of_the_same_table_is_compared_by_its_new_rows() -> None:
    assert compared([1, 7, 8, 9, 20, 21], [7, 8, 9], [1, 7, 8, 9]) == ([4, 5], [0, 1, 2])


def test_the_same_table_has_nothing_to_compare() -> None:
    assert compared([1, 7, 8], [7, 8], [1, 7, 8]) == ([], [0, 1])


def test_texts_that_people_keep_writing_raise_no_alarm() -> None:
    """A tenth of all rows are one of five phrases, stored once each; held-out rows have their share of them."""
    told = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        phrases = rng.normal(size=(30, 6)) + 4
        common = rng.random((2, 400)) < 0.1
        ids = np.where(common, rng.integers(0, 30, (2, 400)), 1000 + np.arange(800).reshape(2, 400))
        rows = np.where(common[..., None], phrases[np.minimum(ids, 29)], rng.normal(size=(2, 400, 6)))
        first = np.unique(ids[0], return_index=True)[1]
        held = without_copies(ids[1], ids[0][first], ids[0][first])
        fresh_rows, held_rows = rows[1][held.fresh], rows[0][first][held.held]
        pooled = pool_rows(fresh_rows, held_rows, None, min(len(fresh_rows), len(held_rows)))
        told += drift_test(pooled, permutations=99, seed=seed).p_value <= 0.01
    assert told <= binom.ppf(0.9995, 60, 0.01)


def test_share_outside_is_a_twentieth_by_chance() -> None:
    rng = np.random.default_rng(8)
    shares = [share_outside(sample(rng, 200), sample(rng, 400)) for _ in range(20)]
    assert np.mean(shares) == pytest.approx(0.05, abs=0.025)
