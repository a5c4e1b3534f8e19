from __future__ import annotations

import numpy as np
import pytest

from acclimate.core.judge import Judge
from acclimate.core.metrics import score

TRUTH = np.arange(60) % 3
GOOD = np.where(np.arange(60) % 10 == 0, (TRUTH + 1) % 3, TRUTH)
POOR = np.where(np.arange(60) % 2 == 0, (TRUTH + 1) % 3, TRUTH)


@pytest.mark.parametrize("groups", [None, [f"author {i // 4}" for i in range(60)]])
def test_scores_and_differences_agree(groups: list[str] | None) -> None:
    judge = Judge("macro_f1", TRUTH, 3, bootstraps=300, seed=0, groups=groups)
    good, poor, gain = judge.score(GOOD), judge.score(POOR), judge.difference(GOOD, POOR)
    assert good.point == score("macro_f1", TRUTH, GOOD, 3)
    assert gain.point == pytest.approx(good.point - poor.point)
    assert gain.low > 0
    assert judge.difference(POOR, GOOD).high < 0
    assert (judge.score(GOOD), judge.difference(GOOD, POOR)) == (good, gain)


def test_groups_widen_the_interval_where_errors_come_in_groups() -> None:
    authors = [f"author {i // 10}" for i in range(60)]
    predicted = np.where(np.arange(60) < 20, (TRUTH + 1) % 3, TRUTH)
    width = {}
    for groups in (None, authors):
        found = Judge("accuracy", TRUTH, 3, bootstraps=500, seed=0, groups=groups).score(predicted)
        width[groups is None] = found.high - found.low
    assert width[False] > width[True]
