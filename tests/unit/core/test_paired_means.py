import numpy as np
import pytest
from scipy import stats

from acclimate.core.paired import bootstrap_score, mcnemar_exact, paired_difference
from acclimate.core.paired_means import bootstrap_mean, paired_mean_difference, sign_test
from acclimate.core.resampling import expanded


def two_models(rng: np.random.Generator, rows: int, *, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two models that share what makes a row hard."""
    easy = rng.random((1, rows))
    own = rng.random((2, rows))
    scores = 0.7 * easy + 0.2 * own + 0.05
    return scores[0] + gain, scores[1]


@pytest.mark.parametrize("groups", [None, np.arange(300) // 5], ids=["rows", "groups"])
def test_zeros_and_ones_give_the_numbers_of_accuracy(groups: np.ndarray | None) -> None:
    a, b = (np.random.default_rng(0).random((2, 300)) < [[0.7], [0.6]]).astype(int)
    truth, options = np.ones(300, dtype=int), {"bootstraps": 500, "seed": 3, "groups": groups}
    expected = bootstrap_score("accuracy", truth, a, 2, **options)
    found = bootstrap_mean(a, **options)
    assert vars(found) == pytest.approx(vars(expected))
    difference = paired_difference("accuracy", truth, a, b, 2, **options)
    assert vars(paired_mean_difference(a, b, **options)) == pytest.approx(vars(difference))


def test_sign_test_of_zeros_and_ones_is_mcnemar() -> None:
    a, b = (np.random.default_rng(1).random((2, 200)) < 0.6).astype(int)
    found, expected = sign_test(a, b), mcnemar_exact(np.ones(200, dtype=int), a, b)
    assert (found.p_value, found.a_higher, found.b_higher) == (expected.p_value, expected.only_a, expected.only_b)
    assert 0 < found.a_higher != found.b_higher > 0


@pytest.mark.parametrize(("higher", "lower", "ties"), [(9, 2, 5), (0, 6, 1), (4, 4, 0), (1, 0, 3)])
def test_sign_test_is_the_binomial_one(higher: int, lower: int, ties: int) -> None:
    a = np.r_[np.full(higher, 0.8), np.full(lower, 0.1), np.full(ties, 0.3)]
    found = sign_test(a, np.r_[np.full(higher, 0.7), np.full(lower, 0.9), np.full(ties, 0.3)])
    assert (found.a_higher, found.b_higher) == (higher, lower)
    assert found.p_value == pytest.approx(stats.binomtest(higher, higher + lower).pvalue)


def test_sign_test_of_ties_only_shows_nothing() -> None:
    assert sign_test([0.5, 0.2], [0.5, 0.2]).p_value == 1.0


def test_interval_of_a_mean_is_about_the_normal_one() -> None:
    scores = np.random.default_rng(0).beta(2, 5, size=1500)
    found = bootstrap_mean(scores, bootstraps=4000, seed=0)
    half = stats.norm.ppf(0.975) * stats.sem(scores)
    assert found.point == pytest.approx(scores.mean())
    assert (found.low, found.high) == pytest.approx((scores.mean() - half, scores.mean() + half), abs=0.001)


def test_interval_of_a_difference_is_about_that_of_the_paired_t_test() -> None:
    a, b = two_models(np.random.default_rng(0), 800, gain=0.03)
    found = paired_mean_difference(a, b, bootstraps=4000, seed=0)
    expected = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.001)
    one_sided = stats.ttest_rel(a, b, alternative="greater").confidence_interval(0.95)
    assert found.low_one_sided == pytest.approx(one_sided.low, abs=0.001)


def test_bounds_equal_those_of_drawing_whole_groups_of_unequal_size() -> None:
    rng = np.random.default_rng(5)
    groups = np.sort(rng.integers(20, size=200))
    scores = np.clip(rng.normal(0.5, 0.1, 200) + rng.normal(0, 0.15, 20)[groups], 0, 1)
    found = bootstrap_mean(scores, bootstraps=10_000, seed=0, groups=[str(g) for g in groups])
    members = [scores[groups == g] for g in np.unique(groups)]
    drawn = rng.integers(len(members), size=(4000, len(members)))
    means = [np.concatenate([members[i] for i in sample]).mean() for sample in drawn]
    tail = expanded(0.025, len(members))
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [tail, 1 - tail]), abs=0.006)


@pytest.mark.parametrize("groups", [10, 20, 40])
def test_an_interval_over_groups_is_about_that_of_a_t_test_of_their_means(groups: int) -> None:
    rng = np.random.default_rng(groups)
    means = np.repeat(np.clip(rng.normal(0.5, 0.1, groups), 0.1, 0.9), 30)
    scores = means + rng.uniform(-0.05, 0.05, len(means))
    a, group = np.stack([scores, 0.3 + 0 * scores]), np.repeat(np.arange(groups), 30)
    found = paired_mean_difference(*a, bootstraps=40_000, seed=0, groups=group)
    of_groups = (a[0] - a[1]).reshape(groups, 30).mean(axis=1)
    test = stats.ttest_1samp(of_groups, 0)
    both, one_sided = test.confidence_interval(0.95), test.confidence_interval(0.9)
    half = both.high - found.point
    assert (found.low, found.high) == pytest.approx((both.low, both.high), abs=0.08 * half)
    assert (found.low_one_sided, found.high_one_sided) == pytest.approx(
        (one_sided.low, one_sided.high), abs=0.08 * half
    )


def test_of_one_group_nothing_is_known() -> None:
    found = bootstrap_mean([0.2, 0.4], bootstraps=100, seed=0, groups=["a", "a"])
    assert (found.low, found.point, found.high) == pytest.approx((0.3, 0.3, 0.3))
    assert expanded(0.05, 1) == 0


def test_interval_covers_the_true_mean_in_about_95_of_100() -> None:
    rng, covered = np.random.default_rng(2), 0
    for trial in range(400):
        bounds = bootstrap_mean(rng.beta(1, 3, size=200), bootstraps=400, seed=trial)
        covered += bounds.low <= 0.25 <= bounds.high
    assert 0.92 <= covered / 400 <= 0.98  # sd .011


def test_equal_models_are_promoted_in_about_five_percent() -> None:
    rng, found = np.random.default_rng(7), 0
    for trial in range(400):
        found += paired_mean_difference(*two_models(rng, 300), bootstraps=400, seed=trial).low_one_sided > 0
    assert 0.02 <= found / 400 <= 0.075


def test_same_seed_same_bounds_and_a_model_does_not_beat_itself() -> None:
    a, b = two_models(np.random.default_rng(0), 200)
    options = {"bootstraps": 300, "seed": 1}
    first = paired_mean_difference(a, b, **options)
    assert first == paired_mean_difference(a, b, **options)
    assert first != paired_mean_difference(a, b, bootstraps=300, seed=2)
    assert set(vars(paired_mean_difference(a, a, **options)).values()) == {0.0}


@pytest.mark.parametrize(
    ("scores", "options", "says"),
    [
        ([], {}, "vectors with rows"),
        ([[0.5]], {}, "vectors with rows"),
        ([1.5], {}, "0..1"),
        ([float("nan")], {}, "0..1"),
        ([0.5], {"bootstraps": 0}, "at least 1"),
        ([0.5], {"groups": ["a", "b"]}, "2 groups"),
    ],
)
def test_unusable_scores_are_refused(scores: list[float], options: dict[str, int], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        bootstrap_mean(scores, **{"bootstraps": 10, "seed": 0, **options})


def test_unequal_numbers_of_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="unequal numbers"):
        paired_mean_difference([0.5], [0.5, 0.5], bootstraps=10, seed=0)
    with pytest.raises(ValueError, match="unequal numbers"):
        sign_test([0.5], [0.5, 0.5])
