"""What is still known of the source's domain: nothing lost by the same features, much by features of nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from acclimate.nn.encoder import Encoder
from acclimate.nn.source_task import SourceKnowledge

MakeData = Callable[..., Path]
OPTIONS = {"metric": "accuracy", "bootstraps": 200, "seed": 0}


@pytest.fixture
def encoder(tiny_source: Path) -> Encoder:
    return Encoder.load(tiny_source, precision="fp32", max_length=32)


def test_the_same_features_have_lost_nothing(make_toy_data: MakeData, encoder: Encoder) -> None:
    known = SourceKnowledge.measured(make_toy_data(train=200), encoder, "validation", (1000, 1000), **OPTIONS)
    assert known is not None
    assert known.rows == 40
    assert known.score() > 0.7
    answers = known.answers(encoder)
    assert known.score(answers) == known.score()
    change = known.change(answers)
    assert (change.point, change.low, change.high) == (0.0, 0.0, 0.0)


class Blind(Encoder):
    """An encoder that sees nothing."""

    def embed(self, texts, **_):
        return np.random.default_rng(0).normal(size=(len(texts), self.dim)).astype(np.float32)


def test_features_of_nothing_have_lost_it(make_toy_data: MakeData, tiny_source: Path, encoder: Encoder) -> None:
    known = SourceKnowledge.measured(make_toy_data(train=200), encoder, "test", (1000, 1000), **OPTIONS)
    assert known is not None
    change = known.change(known.answers(Blind.load(tiny_source, precision="fp32", max_length=32)))
    assert change.high < 0
    assert abs(known.score() + change.point - 0.5) < 0.25


def test_no_more_rows_are_asked_than_allowed(make_toy_data: MakeData, encoder: Encoder) -> None:
    known = SourceKnowledge.measured(make_toy_data(train=200), encoder, "test", (60, 25), **OPTIONS)
    assert known is not None
    assert (len(known.task.train), known.rows) == (60, 25)


def test_without_a_labelled_reference_there_is_nothing_to_ask(make_toy_data: MakeData, encoder: Encoder) -> None:
    assert SourceKnowledge.measured(make_toy_data(reference=False), encoder, "test", (1000, 1000), **OPTIONS) is None
