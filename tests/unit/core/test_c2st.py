import numpy as np
import pytest
from scipy.stats import binom
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from acclimate.core import c2st
from acclimate.core.c2st import fold_of_rows, separation, separation_p_value
from acclimate.core.labellings import permuted_labellings
from acclimate.core.logistic import fit_logistic


def two_samples(shift: float, m: int = 60, d: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(seed).normal(size=(2 * m, d)) * [3.0, 1.0, 0.5, 0.1][:d] + 5
    rows[:m, 0] += 3 * shift
    return rows, np.arange(2 * m) < m


@pytest.mark.parametrize(("shift", "penalty"), [(0.0, 1.0), (1.0, 0.1), (3.0, 10.0), (30.0, 0.01)])
def test_logistic_regression_equals_sklearn(shift: float, penalty: float) -> None:
    rows, truth = two_samples(shift)
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    used = np.ones((3, len(rows)), dtype=bool)
    used[1, ::5] = False
    used[2, 10:70] = False
    fitted = fit_logistic(rows, truth, used, penalty)
    for mask, weights in zip(used, fitted, strict=True):
        other = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000, solver="newton-cholesky")
        other.fit(rows[mask], truth[mask])
        np.testing.assert_allclose(weights[:-1], other.coef_[0], atol=1e-4)
        assert weights[-1] == pytest.approx(other.intercept_[0], abs=1e-4)


def test_auc_and_pad_equal_sklearn_on_the_same_folds() -> None:
    rows, in_first = two_samples(0.7)
    found = separation(rows, in_first, None, seed=3)

    scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    rng = np.random.default_rng(3)
    aucs, wrong = [], []
    for _ in range(c2st.REPEATS):
        folds = fold_of_rows(in_first, None, rng)
        for fold in range(c2st.FOLDS):
            out = folds == fold
            model = LogisticRegression(C=1 / c2st.PENALTY, tol=1e-10, solver="newton-cholesky")
            model.fit(scaled[~out], in_first[~out])
            aucs.append(roc_auc_score(in_first[out], model.decision_function(scaled[out])))
            wrong += list(model.predict(scaled[out]) != in_first[out])
    assert found.auc == pytest.approx(np.mean(aucs), abs=1e-6)
    assert found.pad == pytest.approx(2 * (1 - 2 * np.mean(wrong)), abs=1e-9)


def test_far_samples_are_told_apart_and_equal_rows_are_not() -> None:
    rows, in_first = two_samples(50.0)
    assert separation(rows, in_first, None, 0) == c2st.Separation(auc=1.0, pad=2.0)
    assert separation(np.ones((40, 3)), np.arange(40) < 20, None, 0).auc == 0.5


def test_folds_are_stratified_and_keep_groups_whole() -> None:
    in_first = np.arange(100) < 50
    plain = fold_of_rows(in_first, None, np.random.default_rng(0))
    for side in (in_first, ~in_first):
        assert np.bincount(plain[side]).tolist() == [10] * 5
    groups = np.arange(100) // 7 + 100 * ~in_first
    grouped = fold_of_rows(in_first, groups, np.random.default_rng(0))
    assert all(len(set(grouped[groups == group])) == 1 for group in np.unique(groups))
    few = fold_of_rows(in_first, np.arange(100) // 25, np.random.default_rng(0))
    assert set(few) == {0, 1}


def test_group_effects_are_not_mistaken_for_a_shift() -> None:
    # 12 authors a side, each with an own style: rows of one author are alike, sides are not different
    rng = np.random.default_rng(4)
    alarms = {"rows": 0, "groups": 0}
    groups = np.arange(96) // 4
    in_first = np.arange(96) < 48
    for trial in range(25):
        rows = np.repeat(rng.normal(size=(24, 3)), 4, axis=0) + 0.1 * rng.normal(size=(96, 3))
        for name, units in (("rows", None), ("groups", groups)):
            sides = permuted_labellings(in_first, units, 19, np.random.default_rng(trial))
            alarms[name] += separation_p_value(rows, sides, units, trial) <= 0.05
    assert alarms["groups"] <= binom.ppf(0.9995, 25, 0.05)
    assert alarms["rows"] > 12


def p_values(shift: float, trials: int, m: int = 40) -> np.ndarray:
    in_first = np.arange(2 * m) < m
    found = []
    for trial in range(trials):
        sides = permuted_labellings(in_first, None, 19, np.random.default_rng(1000 + trial))
        found.append(separation_p_value(two_samples(shift, m, seed=trial)[0], sides, None, trial))
    return np.array(found)


def test_false_alarms_stay_within_binomial_bounds() -> None:
    alarms = int((p_values(0.0, 100) <= 0.05).sum())
    assert binom.ppf(0.0005, 100, 0.05) <= alarms <= binom.ppf(0.9995, 100, 0.05)


def test_a_shift_is_found() -> None:
    assert (p_values(0.5, 30) <= 0.05).mean() > 0.25
    assert (p_values(1.2, 30) <= 0.05).mean() > 0.8
