"""What is still known of the source's domain: the same tokens before and after, whoever is asked and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from acclimate.examples import Split, read_examples
from acclimate.nn.causal import source_text
from acclimate.nn.causal.judged import pairs_of
from acclimate.nn.causal.model import load_lm
from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.causal.source_text import SourceText
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.nn.job import Pairs
from tests.written_data import SPEC, Row, as_batch, card_of, ingested, learned, letter_pairs, number_texts


def writer(folder: Path, lm: Any = None, **asked: Any) -> Writer:
    lm = load_lm(folder) if lm is None else lm
    prompting = Prompting(**{"has_prompts": True, "shots": (), "max_length": 96, "max_new_tokens": 8, **asked})
    tokenizer = AnswerReader.load(folder, lm.config, prompting.max_length).tokenizer
    return Writer(lm, tokenizer, prompting, precision="fp32", strategy="frozen", source=card_of(folder))


def known(data: Path, source: Writer, split: Split = "test", max_length: int = SPEC.max_length) -> SourceText | None:
    return SourceText.measured(data, source, split, max_length=max_length, bootstraps=500, seed=0)


def shares(model: Writer, pairs: Pairs, limit: int) -> np.ndarray:
    """By transformers alone: share of each row's tokens that are the first choice."""
    rows = AnswerReader(model.reader.tokenizer, limit).rows(pairs)
    found = []
    for ids, start in zip(rows.ids, rows.starts, strict=True):
        with torch.no_grad():
            first = model.lm(input_ids=as_batch(ids)).logits[0].argmax(dim=1)
        found.append(float((first[start - 1 : -1] == torch.from_numpy(ids[start:])).float().mean()))
    return np.array(found)


def numbers_asked() -> list[Row]:
    return [{"text": row["text"], "answer": str(len(row["text"]))} for row in number_texts()]


@pytest.mark.parametrize("reference", [numbers_asked(), number_texts()], ids=["pairs", "texts"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_before_and_after_are_shares_of_the_same_tokens(
    reference: list[Row], split: Split, tiny_lm: Path, tmp_path: Path
) -> None:
    data, _ = ingested(tmp_path, letter_pairs(), reference)
    # asked with examples, a model has more room; of the source's texts it is asked without
    lm = learned(tiny_lm, pairs_of(read_examples(data, "reference", ("train",), None)))
    source = writer(tiny_lm, lm, shots=(("abc", "low"),), max_length=200)
    other = writer(tiny_lm)
    found = known(data, source, split)
    assert found is not None
    pairs = pairs_of(read_examples(data, "reference", (split,), None))
    before, after = shares(source, pairs, 96), shares(other, pairs, 96)
    np.testing.assert_allclose(found.before, before, atol=1e-6)
    assert found.score() == pytest.approx(before.mean(), abs=1e-6)
    change, low = found.change(other)
    assert change.point == pytest.approx((after - before).mean(), abs=1e-6)
    assert change.low <= low < change.point < change.high <= 0.0


def test_a_model_that_is_still_the_source_has_lost_nothing_however_long_the_texts(
    tiny_lm: Path, tmp_path: Path
) -> None:
    """A prompt with examples has more room than a row: it once read more of long texts than the trained model did."""
    data, _ = ingested(tmp_path, letter_pairs(), [{"text": f"{i} " * (i // 2)} for i in range(1, 100)])
    texts = pairs_of(read_examples(data, "reference", ("test",), None))
    lm = learned(tiny_lm, texts)
    source = writer(tiny_lm, lm, shots=(("abc", "low"),), max_length=250)
    found = known(data, source)
    assert found is not None
    assert abs(shares(source, texts, 250) - shares(source, texts, 96)).max() > 1e-3, "where they are cut counts"
    change, low = found.change(writer(tiny_lm, lm, max_length=96))
    assert (change.point, change.low, change.high, low) == (0.0, 0.0, 0.0, 0.0)


def test_nothing_is_known_of_a_source_without_texts(tiny_lm: Path, tmp_path: Path) -> None:
    assert known(ingested(tmp_path / "none", letter_pairs())[0], writer(tiny_lm)) is None
    # a lone row lies in one split
    data, card = ingested(tmp_path / "lone", letter_pairs(), number_texts(1))
    assert card.reference is not None
    empty = next(split for split, part in card.reference.splits.items() if not part.rows)
    assert known(data, writer(tiny_lm), empty) is None


def test_of_many_rows_a_sample_is_asked(tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_text, "MOST_ROWS", 5)
    data, _ = ingested(tmp_path, letter_pairs(), number_texts())
    found = known(data, writer(tiny_lm))
    assert found is not None
    assert len(found.pairs) == len(found.before) == 5
