"""The ratio of perplexities against transformers' own loss, and how its interval comes about."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from acclimate.examples import read_examples, split_path
from acclimate.nn.causal import perplexity
from acclimate.nn.causal.judged import pairs_of
from acclimate.nn.causal.perplexity import perplexity_gap
from acclimate.nn.job import Pairs
from acclimate.records import SPLITS, PerplexityGap
from tests.written_data import SPEC, card_of, ingested, letter_pairs, number_texts, own_losses


def measured(data: Path, source: Path, **changes: Any) -> PerplexityGap:
    options: dict[str, Any] = {"generation": SPEC, "precision": "fp32", "seed": 0, **changes}
    return perplexity_gap(data, source, card_of(source), **options)


def both_sides(data: Path) -> tuple[Pairs, Pairs]:
    return (
        pairs_of(read_examples(data, "target", ("train",), None)),
        pairs_of(read_examples(data, "reference", SPLITS, None)),
    )


@pytest.mark.parametrize("answers", [True, False])
def test_it_is_the_ratio_of_transformers_own_perplexities(answers: bool, tiny_lm: Path, tmp_path: Path) -> None:
    target = letter_pairs() if answers else [{"text": row["text"]} for row in letter_pairs()]
    data, _ = ingested(tmp_path, target, number_texts())
    sides = both_sides(data)
    # of target's rows only train's are read
    for split in ("validation", "test"):
        split_path(data, "target", split).unlink()  # type: ignore[arg-type]
    found = measured(data, tiny_lm)
    sums = [own_losses(tiny_lm, pairs) for pairs in sides]
    wanted = [float(np.exp(nll.sum() / tokens.sum())) for nll, tokens in (one.T for one in sums)]
    assert found.target == pytest.approx(wanted[0], rel=1e-5)
    assert found.reference == pytest.approx(wanted[1], rel=1e-5)
    assert found.ratio is not None
    assert found.ratio.point == pytest.approx(wanted[0] / wanted[1], rel=1e-5)
    # delta method: the variance of a ratio of sums, on both sides
    variance = sum(
        float((((nll - tokens * nll.sum() / tokens.sum()) ** 2).sum()) / tokens.sum() ** 2)
        for nll, tokens in (one.T for one in sums)
    )
    half = (np.log(found.ratio.high) - np.log(found.ratio.low)) / 2.0
    assert half == pytest.approx(1.96 * np.sqrt(variance), rel=0.15)


def test_without_a_reference_there_is_no_ratio(tiny_lm: Path, tmp_path: Path) -> None:
    data, _ = ingested(tmp_path, letter_pairs())
    found = measured(data, tiny_lm)
    assert (found.reference, found.ratio) == (None, None)
    losses = own_losses(tiny_lm, pairs_of(read_examples(data, "target", ("train",), None)))
    assert found.target == pytest.approx(np.exp(losses[:, 0].sum() / losses[:, 1].sum()), rel=1e-5)


def test_the_same_texts_on_both_sides_give_one(tiny_lm: Path, tmp_path: Path) -> None:
    rows = letter_pairs()
    train = ingested(tmp_path / "first", rows)[0]
    same = read_examples(train, "target", ("train",), None)
    assert same.answers is not None
    others = [{"text": text, "answer": answer} for text, answer in zip(same.texts, same.answers, strict=True)]
    ratio = measured(ingested(tmp_path / "second", rows, others)[0], tiny_lm).ratio
    assert ratio is not None
    assert ratio.point == pytest.approx(1.0, abs=1e-6)
    assert ratio.low < 1.0 < ratio.high


def test_of_many_rows_a_sample_is_read_that_the_seed_draws(
    tiny_lm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(perplexity, "MOST_ROWS", 25)
    data, _ = ingested(tmp_path, letter_pairs(), number_texts())
    first, again, other = (measured(data, tiny_lm, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    target = both_sides(data)[0]
    drawn = sorted(np.random.default_rng(1).permutation(len(target))[:25].tolist())
    assert target.prompts is not None
    sample = Pairs([target.prompts[i] for i in drawn], [target.answers[i] for i in drawn])
    losses = own_losses(tiny_lm, sample)
    assert first.target == pytest.approx(np.exp(losses[:, 0].sum() / losses[:, 1].sum()), rel=1e-5)
