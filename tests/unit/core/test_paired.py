import time

import numpy as np
import pytest
from scipy import stats

from acclimate.core.metrics import score
from acclimate.core.paired import (
    PairedDifference,
    bootstrap_score,
    detectable_by,
    detectable_effect,
    mcnemar_exact,
    paired_difference,
    rows_needed,
)
from acclimate.core.resampling import expanded

METRICS = ["macro_f1", "accuracy", "balanced_accuracy"]


def two_models(
    rng: np.random.Generator, rows: int, *, classes: int = 2, disagreement: float = 0.1, gain: float = 0.0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth and predictions of two models right on about 80 %, exactly one of them on a ``disagreement`` of rows."""
    truth = rng.integers(classes, size=rows)
    wrong_a, wrong_b = (truth + rng.integers(1, classes, size=(2, rows))) % classes
    only_a, only_b = (disagreement + gain) / 2, (disagreement - gain) / 2
    at = rng.random(rows)
    right_a = at < 0.8
    right_b = (at < 0.8 - only_a) | ((at >= 0.8) & (at < 0.8 + only_b))
    return truth, np.where(right_a, truth, wrong_a), np.where(right_b, truth, wrong_b)


def promoted(trials: int, rows: int, *, metric: str, seed: int, **model: float) -> float:
    rng, found = np.random.default_rng(seed), 0
    for trial in range(trials):
        truth, a, b = two_models(rng, rows, **model)
        found += paired_difference(metric, truth, a, b, 2, bootstraps=400, seed=trial).low_one_sided > 0
    return found / trials


@pytest.mark.parametrize("metric", METRICS)
def test_equal_models_are_promoted_in_about_five_percent(metric: str) -> None:
    # 400 trials at a true rate of .05: sd .011, so .075 is 2.3 sd above and .02 is 2.8 sd below
    assert 0.02 <= promoted(400, 600, metric=metric, seed=11) <= 0.075


def test_equal_models_with_few_disagreements_are_rarely_promoted() -> None:
    assert promoted(400, 200, metric="accuracy", seed=5, disagreement=0.02) <= 0.075


@pytest.mark.parametrize(("rows", "power"), [(200, 0.20), (500, 0.39), (1000, 0.62), (2000, 0.88)])
def test_power_for_two_points_is_as_documented(rows: int, power: float) -> None:
    # docs: +2 pp at a disagreement of .10; 400 trials have an sd of at most .025
    assert promoted(400, rows, metric="accuracy", seed=rows, gain=0.02) == pytest.approx(power, abs=0.06)


def test_equal_models_on_groups_are_promoted_in_about_five_percent() -> None:
    rng, by_group, by_row, trials = np.random.default_rng(3), 0, 0, 300
    for trial in range(trials):
        groups = np.repeat(np.arange(60), 10)
        better_on = rng.integers(2, size=60)[groups]  # in each group one of the two is better: rows are no sample
        truth, wrong = rng.integers(2, size=600), rng.random((2, 600)) < 0.3
        a = np.where(wrong[0] & (better_on == 0), 1 - truth, truth)
        b = np.where(wrong[1] & (better_on == 1), 1 - truth, truth)
        options = {"bootstraps": 400, "seed": trial}
        by_group += paired_difference("accuracy", truth, a, b, 2, groups=groups, **options).low_one_sided > 0
        by_row += paired_difference("accuracy", truth, a, b, 2, **options).low_one_sided > 0
    assert by_group / trials <= 0.09
    assert by_row > 2 * by_group


def test_bounds_equal_those_of_drawing_row_indices_within_each_class() -> None:
    truth, a, b = two_models(np.random.default_rng(0), 300, classes=3, gain=0.04)
    found = paired_difference("macro_f1", truth, a, b, 3, bootstraps=20_000, seed=0)
    rng, differences = np.random.default_rng(1), []
    strata = [np.flatnonzero(truth == label) for label in range(3)]
    for _ in range(3000):
        rows = np.concatenate([rng.choice(stratum, len(stratum)) for stratum in strata])
        differences.append(score("macro_f1", truth[rows], a[rows], 3) - score("macro_f1", truth[rows], b[rows], 3))
    expected = np.quantile(differences, [0.025, 0.975, 0.05, 0.95])
    np.testing.assert_allclose([found.low, found.high, found.low_one_sided, found.high_one_sided], expected, atol=0.004)
    assert found.point == pytest.approx(score("macro_f1", truth, a, 3) - score("macro_f1", truth, b, 3))


def test_bounds_equal_those_of_drawing_whole_groups() -> None:
    truth, a, _ = two_models(np.random.default_rng(0), 300)
    groups = np.sort(np.random.default_rng(1).integers(25, size=300))
    found = bootstrap_score(
        "balanced_accuracy", truth, a, 2, bootstraps=20_000, seed=0, groups=[str(g) for g in groups]
    )
    rng, members, values = np.random.default_rng(2), [np.flatnonzero(groups == g) for g in np.unique(groups)], []
    for _ in range(3000):
        rows = np.concatenate([members[i] for i in rng.integers(len(members), size=len(members))])
        values.append(score("balanced_accuracy", truth[rows], a[rows], 2))
    tail = expanded(0.025, len(members))
    np.testing.assert_allclose([found.low, found.high], np.quantile(values, [tail, 1 - tail]), atol=0.005)


def test_accuracy_interval_is_about_the_normal_one() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=2000)
    predicted = np.where(rng.random(2000) < 0.8, truth, 1 - truth)
    found = bootstrap_score("accuracy", truth, predicted, 2, bootstraps=4000, seed=0)
    half = 1.96 * np.sqrt(found.point * (1 - found.point) / 2000)
    assert found.low == pytest.approx(found.point - half, abs=0.003)
    assert found.high == pytest.approx(found.point + half, abs=0.003)


def test_a_wider_level_gives_a_wider_interval() -> None:
    truth, a, _ = two_models(np.random.default_rng(0), 200)
    narrow, wide = (bootstrap_score("accuracy", truth, a, 2, bootstraps=1000, seed=0, level=x) for x in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_every_row_its_own_group_is_the_plain_bootstrap() -> None:
    truth, a, b = two_models(np.random.default_rng(4), 400, gain=0.03)
    plain = paired_difference("accuracy", truth, a, b, 2, bootstraps=8000, seed=0)
    own = paired_difference("accuracy", truth, a, b, 2, bootstraps=8000, seed=0, groups=np.arange(400))
    assert own.low_one_sided == pytest.approx(plain.low_one_sided, abs=0.003)


def test_same_seed_same_bounds_other_seed_other_bounds() -> None:
    truth, a, b = two_models(np.random.default_rng(0), 500, classes=4)
    first, again, other = (
        paired_difference("macro_f1", truth, a, b, 4, bootstraps=500, seed=seed) for seed in (7, 7, 8)
    )
    assert first == again
    assert first != other


def test_swapping_the_models_turns_the_sign() -> None:
    truth, a, b = two_models(np.random.default_rng(0), 500, gain=0.05)
    there = paired_difference("accuracy", truth, a, b, 2, bootstraps=8000, seed=0)
    back = paired_difference("accuracy", truth, b, a, 2, bootstraps=8000, seed=0)
    assert mirrored(back) == there


def mirrored(found: PairedDifference) -> PairedDifference:
    bounds = -found.high, -found.low, -found.high_one_sided, -found.low_one_sided
    return PairedDifference(-found.point, *bounds, found.standard_error)


def test_a_model_does_not_beat_itself() -> None:
    truth, a, _ = two_models(np.random.default_rng(0), 100)
    found = paired_difference("macro_f1", truth, a, a, 2, bootstraps=300, seed=0)
    assert found.point == found.low == found.high == found.low_one_sided == found.high_one_sided == 0


def test_many_rows_and_blocks_are_cheap() -> None:
    truth, a, b = two_models(np.random.default_rng(0), 600, classes=5)
    start = time.process_time()
    for seed in range(5):
        paired_difference("macro_f1", truth, a, b, 5, bootstraps=2000, seed=seed)
    assert (time.process_time() - start) / 5 < 0.5


def test_blocks_cover_all_bootstraps() -> None:
    truth, a, _ = two_models(np.random.default_rng(0), 9000)
    found = bootstrap_score("accuracy", truth, a, 2, bootstraps=1000, seed=0, groups=np.arange(9000))
    half = 1.96 * np.sqrt(found.point * (1 - found.point) / 9000)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)


@pytest.mark.parametrize("seed", range(6))
def test_mcnemar_equals_the_binomial_test(seed: int) -> None:
    truth, a, b = two_models(np.random.default_rng(seed), 80, disagreement=0.3)
    found = mcnemar_exact(truth, a, b)
    assert found.only_a == np.sum((a == truth) & (b != truth))
    assert found.only_b == np.sum((b == truth) & (a != truth))
    assert found.p_value == pytest.approx(stats.binomtest(found.only_a, found.only_a + found.only_b).pvalue, abs=1e-12)


def test_mcnemar_without_disagreement() -> None:
    assert mcnemar_exact([0, 1], [0, 0], [0, 0]).p_value == 1.0


@pytest.mark.parametrize(("alpha", "power"), [(0.05, 0.8), (0.01, 0.9)])
@pytest.mark.parametrize("rows", [50, 1000, 54321])
def test_rows_needed_inverts_detectable_effect(rows: int, alpha: float, power: float) -> None:
    effect = detectable_effect(rows, 0.12, alpha=alpha, power=power)
    assert rows_needed(effect * 1.0000001, 0.12, alpha=alpha, power=power) == rows
    assert rows_needed(-effect * 1.0000001, 0.12, alpha=alpha, power=power) == rows


def test_rows_needed_is_six_disagreements_over_the_squared_effect() -> None:
    assert rows_needed(0.02, 0.1) == pytest.approx(6.2 * 0.1 / 0.02**2, rel=0.01)
    assert rows_needed(0.9, 0.001) == 1
    with pytest.raises(ValueError, match="difference of 0"):
        rows_needed(0.0, 0.1)


def test_detectable_effect_is_found_with_the_stated_power() -> None:
    effect = detectable_effect(1500, 0.1)
    assert promoted(400, 1500, metric="accuracy", seed=9, gain=effect) == pytest.approx(0.8, abs=0.06)


def test_the_standard_error_is_that_of_the_rows_differences() -> None:
    truth, a, b = two_models(np.random.default_rng(0), 1500)
    found = paired_difference("accuracy", truth, a, b, 2, bootstraps=8000, seed=0)
    expected = stats.sem((a == truth).astype(float) - (b == truth))
    assert found.standard_error == pytest.approx(expected, rel=0.05)
    # without groups both ways to the smallest detectable effect are one
    disagreement = np.mean((a == truth) != (b == truth))
    assert detectable_by(found.standard_error) == pytest.approx(detectable_effect(1500, disagreement), rel=0.05)
    assert detectable_by(0.01) == pytest.approx((1.6449 + 0.8416) * 0.01, rel=1e-3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"a": [0, 1]}, "unequal"),
        ({"groups": ["x"]}, "3 rows but 1 groups"),
        ({"bootstraps": 0}, "at least 1"),
        ({"metric": "auc"}, "unknown metric"),
    ],
)
def test_wrong_input_is_refused(change: dict, says: str) -> None:
    call = {"metric": "accuracy", "truth": [0, 1, 1], "a": [0, 1, 0], "b": [0, 1, 1], "bootstraps": 10} | change
    with pytest.raises(ValueError, match=says):
        paired_difference(**call, n_classes=2, seed=0)
