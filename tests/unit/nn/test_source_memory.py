"""Which training rows are new to an adapted source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from acclimate.examples import Examples
from acclimate.nn.description import FILE as DESCRIPTION
from acclimate.nn.source_memory import new_to_source
from acclimate.records import SourceMemory
from tests.remembering import remember


def examples(groups: int) -> Examples:
    """100 rows, of which the last 40 are of so many groups."""
    return Examples(
        row_ids=[str(i) for i in range(100)],
        inputs=[f"text {i}" for i in range(100)],
        labels=np.arange(100) % 2,
        groups=[f"known {i}" if i < 60 else f"new {i % groups}" for i in range(100)],
        slices={},
        answers=None,
    )


@pytest.mark.parametrize(("groups", "scored"), [(10, 40), (1, 0)])
def test_new_rows_of_few_groups_do_not_stand_for_all(tmp_path: Path, groups: int, scored: int) -> None:
    rows = examples(groups)
    assert new_to_source(tmp_path, rows) == (None, None), "acclimate did not adapt it"
    (tmp_path / DESCRIPTION).touch()
    remember(tmp_path, rows.texts[:60])
    memory, new = new_to_source(tmp_path, rows)
    assert memory == SourceMemory(known_rows=60, scored_rows=scored)
    assert (new is None) == (scored == 0)
    if new is not None:
        np.testing.assert_array_equal(new, np.arange(100) >= 60)
