"""Stored predictions: read as they were written, and enough to compute an evaluation again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from acclimate.config import EvaluateSpec
from acclimate.examples import Examples
from acclimate.predictions import AnswerScores, ClassPredictions, JudgedRows
from acclimate.scoring import scored_answers, scored_classes

HOW = EvaluateSpec(bootstraps=200, min_slice=5)
# label names, slice values and names of models are the user's: anything that is text
NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=12)


def rows_of(n: int, *, grouped: bool, column: str = "channel") -> JudgedRows:
    examples = Examples(
        [f"{i:05d}" for i in range(n)],
        ["x" * (i % 40) for i in range(n)],
        None,
        [f"g{i // 4}" for i in range(n)] if grouped else None,
        {column: ["mail" if i % 3 else "chat" for i in range(n)]},
    )
    return JudgedRows.of(examples)


def test_texts_have_thirds_by_length_unless_a_column_is_called_so() -> None:
    assert set(rows_of(60, grouped=False).columns) == {"length", "channel"}
    assert set(rows_of(60, grouped=False, column="length").columns["length"]) == {"mail", "chat"}
    images = Examples(["a", "b"], [b"1", b"2"], None, None, {})
    assert JudgedRows.of(images).columns == {}


@given(
    labels=st.lists(NAMES, min_size=2, max_size=4, unique=True),
    other=NAMES.filter(lambda name: name != "candidate"),
    grouped=st.booleans(),
    seed=st.integers(0, 2**31),
)
@settings(max_examples=30, deadline=None)
def test_classes_are_read_as_written_and_score_the_same(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str], other: str, grouped: bool, seed: int
) -> None:
    path = tmp_path_factory.mktemp("predictions") / "predictions.parquet"
    rng, n, c = np.random.default_rng(seed), 40, len(labels)
    truth = rng.integers(c, size=n)
    written = ClassPredictions(
        rows_of(n, grouped=grouped),
        labels,
        truth,
        rng.normal(size=(n, c)).astype(np.float32),
        {other: rng.integers(c, size=n), "baseline": rng.integers(c, size=n)},
    )
    written.write(path, 1.7)
    read = ClassPredictions.read(path)
    assert (read.rows, read.labels) == (written.rows, labels)
    np.testing.assert_array_equal(read.logits, written.logits)
    assert read.logits.dtype == np.float32
    scored = [scored_classes(one, 1.7, metric="macro_f1", comparator=other, how=HOW) for one in (written, read)]
    assert scored[0] == scored[1], "bit for bit"
    table = pq.read_table(path)
    prob = np.stack([table[f"probability:{name}"].to_numpy() for name in labels], axis=1)
    assert [labels[i] for i in prob.argmax(axis=1)] == table["predicted:candidate"].to_pylist()


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("has_prompts", [True, False])
def test_answers_are_read_as_written_and_score_the_same(tmp_path: Path, *, grouped: bool, has_prompts: bool) -> None:
    rng, n = np.random.default_rng(0), 50
    written = AnswerScores(
        rows_of(n, grouped=grouped), rng.random(n), {"baseline": rng.random(n), "nearest": np.ones(n)}
    )
    answers = [f"answer {i}" for i in range(n)]
    path = tmp_path / "predictions.parquet"
    written.write(path, answers=answers, written=answers if has_prompts else None, nll=rng.random(n))
    read = AnswerScores.read(path)
    assert read.rows == written.rows
    scored = [scored_answers(one, metric="rouge_l", comparator="baseline", how=HOW) for one in (written, read)]
    assert scored[0] == scored[1]
    assert [row.role for row in scored[1]["comparisons"]] == ["comparator", "trivial"]
    assert ("written:candidate" in pq.read_table(path).column_names) == has_prompts
