"""Out-of-fold predictions of which only some rows are scored."""

from __future__ import annotations

import numpy as np
import pytest

from acclimate.core.folds import assign_folds
from acclimate.core.metrics import score
from acclimate.core.new_rows import enough_to_score
from acclimate.core.out_of_fold import OutOfFold
from acclimate.core.paired import bootstrap_score, paired_difference
from acclimate.core.probe import fit_probe

C_GRID = [0.001, 0.1, 10.0]
ROWS = 240


@pytest.fixture(params=[False, True], ids=["rows", "groups"])
def judge(request: pytest.FixtureRequest) -> OutOfFold:
    rng = np.random.default_rng(5)
    labels = rng.integers(0, 3, ROWS)
    groups = [f"g{i // 4}" for i in range(ROWS)] if request.param else None
    folds = assign_folds(labels, groups, folds=5, seed=0)
    return OutOfFold(labels, groups, folds, 3, "macro_f1", bootstraps=200, seed=1, scored=np.arange(ROWS) % 4 == 0)


@pytest.fixture
def features(judge: OutOfFold) -> np.ndarray:
    """Those of rows that are not scored give the label away, those of the others say little."""
    rng = np.random.default_rng(6)
    assert judge.scored is not None
    told = np.where(judge.scored, 0.7, 30.0)[:, None] * np.eye(3)[judge.labels]
    return np.hstack([told + rng.normal(0, 1, (ROWS, 3)), rng.normal(0, 1, (ROWS, 20))])


def test_all_rows_are_fitted_on_and_predicted_and_some_are_scored(judge: OutOfFold, features: np.ndarray) -> None:
    assert judge.scored is not None
    kept = judge.scored
    choice = judge.probe(features, C_GRID)
    by_hand = {}
    for c in C_GRID:
        predicted = np.empty(ROWS, np.int64)
        for fold in np.unique(judge.folds):
            out = judge.folds == fold
            predicted[out] = fit_probe(features[~out], judge.labels[~out], 3, c=c).predict(features[out])
        by_hand[c] = score("macro_f1", judge.labels[kept], predicted[kept], 3)
    assert choice.scores == pytest.approx(by_hand, abs=0.02)
    assert choice.c == max(choice.scores, key=lambda c: choice.scores[c])
    assert len(choice.predicted) == ROWS
    own = [group for group, inside in zip(judge.groups, kept, strict=True) if inside] if judge.groups else None
    expected = bootstrap_score(
        "macro_f1", judge.labels[kept], choice.predicted[kept], 3, bootstraps=200, seed=1, groups=own
    )
    assert judge.bounds(choice.predicted) == expected
    nearest = judge.neighbours(features, [1, 5])
    assert nearest.scores[5] != score("macro_f1", judge.labels, nearest.predicted, 3)
    difference = paired_difference(
        "macro_f1",
        judge.labels[kept],
        choice.predicted[kept],
        nearest.predicted[kept],
        3,
        bootstraps=200,
        seed=1,
        groups=own,
    )
    assert judge.difference(choice.predicted, nearest.predicted) == difference


def test_rows_that_are_not_scored_may_be_right_or_wrong(judge: OutOfFold, features: np.ndarray) -> None:
    assert judge.scored is not None
    predicted = judge.probe(features, C_GRID).predicted
    other = np.where(judge.scored, predicted, (predicted + 1) % 3)
    assert judge.bounds(predicted) == judge.bounds(other)
    assert judge.difference(predicted, other).point == 0.0


@pytest.mark.parametrize(
    ("new", "enough"),
    [([15, 15], True), ([15, 14], False), ([25, 5], True), ([26, 4], False), ([30, 0], False)],
)
def test_thirty_rows_and_five_of_each_class_can_stand_for_all(new: list[int], enough: bool) -> None:
    labels = np.repeat([0, 1, 3], [100, 100, 100])
    # a class that does not occur, 2, is not asked for; all of the last class are new
    rows = np.concatenate([np.arange(100) < new[0], np.arange(100) < new[1], np.arange(100) < 0])
    assert enough_to_score(rows[:200], labels[:200], None) == enough
    assert not enough_to_score(rows, labels, None), "none of the last class"
    assert enough_to_score(rows, None, None) == (sum(new) >= 30)


@pytest.mark.parametrize(("groups", "enough"), [(10, True), (9, False), (1, False)])
def test_new_rows_of_few_groups_can_not(groups: int, enough: bool) -> None:
    """Drawn by groups, their interval has little width, or none at all."""
    labels = np.arange(100) % 2
    new = np.arange(100) < 40
    # the known rows are of other groups, which do not count
    names = [f"new {i % groups}" if is_new else f"known {i}" for i, is_new in enumerate(new)]
    assert enough_to_score(new, labels, names) == enough
