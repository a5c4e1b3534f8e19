"""From ingested rows to the evaluation of a trained writer, each number recomputed from what it stored."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from acclimate.config import BaselineSpec, EvaluateSpec, Goal
from acclimate.config_finetune import FinetuneSpec
from acclimate.core.controls import commonest
from acclimate.examples import Examples, Split, read_examples
from acclimate.nn.causal.judged import pairs_of
from acclimate.nn.causal.writer import Writer
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import InProcessTrainer
from acclimate.ports import silent
from acclimate.records import ArmCost, BaselineReport, Calibration, Decision, Evaluation, FinetuneReport
from acclimate.stages.evaluate_writing import evaluate_writing
from acclimate.stages.finetune import finetune
from acclimate.stages.prompting import prompting
from tests.tiny_lm import write_tiny_lm
from tests.written_data import SPEC, Row, card_of, ingested, learned, letter_pairs, limits_of, number_texts

JUDGED = EvaluateSpec(bootstraps=300, seed=4)


@dataclass
class Chain:
    """The finished stages of one adaptation."""

    data: Path
    source: Path
    baseline: Path
    finetune: Path
    trained: FinetuneReport
    evaluation: Evaluation
    out: Path

    @property
    def candidate(self) -> Path:
        return self.finetune / "arms" / "full" / "model"

    @property
    def table(self) -> dict[str, Any]:
        """What is stored of each test row."""
        return pq.read_table(self.out / "predictions.parquet").to_pydict()

    def rows(self, split: Split, table: Any = "target") -> Examples:
        return read_examples(self.data, table, (split,), None)

    def scores(self, name: str) -> np.ndarray:
        return np.array(self.table[f"score:{name}"])

    def evaluate(self, out: Path, *, candidate: str = "full", champion: Path | None = None) -> Evaluation:
        out.mkdir()
        return evaluate_writing(
            self.data,
            self.source,
            self.baseline,
            self.candidate if candidate == "full" else self.baseline / "model",
            candidate,
            self.finetune,
            None if champion is None else ("models:/n/1", champion),
            config=JUDGED,
            goal=Goal.model_validate({"metric": self.evaluation.metric}),
            out=out,
        )


def chain(root: Path, source: Path, target: list[Row], reference: list[Row] | None, metric: str) -> Chain:
    data, card = ingested(root, target, reference, limits=limits_of(source))
    base, tuned, out = (root / name for name in ("baseline", "finetune", "evaluation"))
    for folder in (base, tuned, out, root / "decision"):
        folder.mkdir()
    given: dict[str, Any] = {"generation": SPEC, "progress": silent}
    prompting(
        data,
        source,
        card_of(source),
        config=BaselineSpec(bootstraps=200),
        metric=metric,
        precision="fp32",
        out=base,
        **given,
    )
    costs = [ArmCost(strategy=name, epochs=10, seconds=1.0, affordable=True) for name in ("frozen", "full", "scratch")]
    says: dict[str, Any] = {"rules": [], "costs": costs, "detectable_effect": None, "label_more": None, "reason": ""}
    Decision(action="finetune", strategy="full", rule="R5", arms=["full"], controls=["scratch"], **says).write(
        root / "decision"
    )
    speeds = {"features": 1.0}
    trained = finetune(
        data,
        source,
        card_of(source),
        base,
        root / "decision",
        Calibration(
            machine="",
            source_digest="",
            precision=dict.fromkeys(STRATEGIES, "fp32"),
            gemm_tflops={},
            rows_per_second=speeds,
        ),
        config=FinetuneSpec.model_validate(
            {"batch_size": 8, "interpolate": False, "full": {"learning_rate": 1e-2}, "scratch": {"learning_rate": 1e-2}}
        ),
        goal=Goal.model_validate({"metric": metric}),
        max_length=None,
        trainer=InProcessTrainer(),
        checkpoints=root / "checkpoints",
        out=tuned,
        **given,
    )
    model = tuned / "arms" / "full" / "model"
    found = evaluate_writing(
        data,
        source,
        base,
        model,
        "full",
        tuned,
        None,
        config=JUDGED,
        goal=Goal.model_validate({"metric": metric}),
        out=out,
        progress=silent,
    )
    assert Evaluation.read(out) == found
    assert card.task == "text-generation"
    return Chain(data, source, base, tuned, trained, found, out)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that knows its own domain, numbers."""
    folder = write_tiny_lm(tmp_path_factory.mktemp("lm") / "source")
    data, _ = ingested(tmp_path_factory.mktemp("numbers"), number_texts())
    pairs = pairs_of(read_examples(data, "target", ("train",), None))
    learned(folder, pairs).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Chain:
    """Pairs with a reference, judged by ROUGE-L; both answers share a word."""
    rows = letter_pairs(240, low="a low", high="b low")
    return chain(tmp_path_factory.mktemp("pairs"), source, rows, number_texts(), "rouge_l")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Chain:
    """Plain texts, some longer than a model reads."""
    rows = [{"text": " ".join([row["text"], *["again"] * (i % 23)])} for i, row in enumerate(letter_pairs())]
    return chain(tmp_path_factory.mktemp("plain"), source, rows, number_texts(), "token_accuracy")


def rouge(written: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """By the textbook's recursion, which the stage's own does not use."""

    def common(a: list[str], b: list[str]) -> int:
        if not a or not b:
            return 0
        if a[-1] == b[-1]:
            return common(a[:-1], b[:-1]) + 1
        return max(common(a[:-1], b), common(a, b[:-1]))

    found = []
    for one, other in zip(written, wanted, strict=True):
        a, b = (re.findall(r"[^\W_]+", text.lower()) for text in (one, other))
        found.append(2.0 * common(a, b) / (len(a) + len(b)) if a or b else 1.0)
    return np.array(found)


def test_the_stored_scores_are_those_of_what_was_written(pairs: Chain) -> None:
    test, table = pairs.rows("test"), pairs.table
    assert table["row_id"] == test.row_ids
    assert table["answer"] == test.answers
    assert table["written:candidate"] == Writer.load(pairs.candidate).predict(test.texts)
    found = rouge(table["written:candidate"], table["answer"])
    np.testing.assert_allclose(pairs.scores("candidate"), found)
    assert pairs.evaluation.score.point == pytest.approx(found.mean())
    assert found.mean() > 0.6, "a word of two is right whatever is answered"


def test_each_comparison_is_the_paired_difference_of_stored_scores(pairs: Chain) -> None:
    candidate, found = pairs.scores("candidate"), {one.other: one for one in pairs.evaluation.comparisons}
    assert set(found) == {"nearest", "majority", "source_as_is", "baseline", "scratch"}
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(candidate), size=(4000, len(candidate)))
    for name, one in found.items():
        others = pairs.scores(name)
        assert one.other_score.point == pytest.approx(others.mean())
        assert one.difference.point == pytest.approx((candidate - others).mean())
        low, high = np.quantile((candidate - others)[drawn].mean(axis=1), [0.025, 0.975])
        assert one.difference.low == pytest.approx(low, abs=0.03)
        assert one.difference.high == pytest.approx(high, abs=0.03)
        assert (one.role == "comparator") == (name == "baseline") == (pairs.evaluation.comparator == name)


def test_the_others_were_asked_as_they_should_be(pairs: Chain) -> None:
    test, train = pairs.rows("test"), pairs.rows("train")
    wanted = test.answers or []
    stored = Writer.load(pairs.baseline / "model")
    as_is = stored.asked(replace(stored.prompting, shots=()))
    scratch = Writer.load(pairs.finetune / "arms" / "scratch" / "model")
    for name, model in (("baseline", stored), ("source_as_is", as_is), ("scratch", scratch)):
        np.testing.assert_allclose(pairs.scores(name), rouge(model.predict(test.texts), wanted), err_msg=name)
        assert pairs.evaluation.perplexity is not None
        assert pairs.evaluation.perplexity[name] == pytest.approx(model.score(pairs_of(test)).perplexity, rel=1e-5)
    np.testing.assert_allclose(pairs.scores("majority"), rouge([commonest(train.answers or [])] * len(test), wanted))
    report = BaselineReport.read(pairs.baseline)
    assert report.model_digest == stored.digest
    assert report.prompted is not None
    assert report.prompted.shots == len(stored.prompting.shots)


def test_the_hardest_rows_are_those_with_the_lowest_scores(pairs: Chain) -> None:
    table, scores = pairs.table, pairs.scores("candidate")
    order = sorted(range(len(scores)), key=lambda i: (scores[i], -table["nll:candidate"][i]))
    wanted = [table["row_id"][i] for i in order if scores[i] < 1.0][:20]
    assert [one.row_id for one in pairs.evaluation.errors] == wanted
    by_id = dict(zip(table["row_id"], table["written:candidate"], strict=True))
    assert all(one.predicted == by_id[one.row_id] for one in pairs.evaluation.errors)


@pytest.mark.parametrize("of", ["pairs", "plain"])
def test_retention_is_what_a_trained_writer_still_foretells(of: str, request: pytest.FixtureRequest) -> None:
    done: Chain = request.getfixturevalue(of)
    stored, trained = Writer.load(done.baseline / "model"), Writer.load(done.candidate)
    found = done.evaluation.retention
    assert found is not None

    def shares(model: Writer, split: Split) -> np.ndarray:
        asked = model.asked(replace(model.prompting, has_prompts=False, shots=(), max_length=SPEC.max_length))
        return asked.score(pairs_of(done.rows(split, "reference"))).token_accuracy

    before, after = shares(stored, "test"), shares(trained, "test")
    assert found.rows == len(before)
    assert found.source_score == pytest.approx(before.mean())
    assert found.score == pytest.approx(after.mean())
    assert found.change.point == pytest.approx((after - before).mean())
    assert found.low_one_sided <= found.change.point
    assert before.mean() > 0.15, "a model that knows nothing can lose nothing"
    assert after.mean() < before.mean(), "numbers are forgotten for letters"
    # finetune measures the same on validation
    full = next(arm for arm in done.trained.arms if arm.strategy == "full")
    assert full.source_change is not None
    change = shares(trained, "validation") - shares(stored, "validation")
    assert full.source_change.point == pytest.approx(change.mean(), abs=1e-6)


def test_plain_texts_are_foretold_not_written(plain: Chain) -> None:
    test, table = plain.rows("test"), plain.table
    assert test.answers is None
    assert table["answer"] == test.texts
    assert "written:candidate" not in table
    scores = Writer.load(plain.candidate).score(pairs_of(test))
    np.testing.assert_allclose(plain.scores("candidate"), scores.token_accuracy)
    np.testing.assert_allclose(table["nll:candidate"], scores.row_loss, rtol=1e-6)
    found = {one.other: one for one in plain.evaluation.comparisons}
    assert set(found) == {"majority", "source_as_is", "baseline", "scratch"}
    assert found["baseline"].difference.low > 0.1, "training on the texts must have paid"
    # without examples the frozen baseline is the source as it is
    np.testing.assert_array_equal(plain.scores("baseline"), plain.scores("source_as_is"))


def test_texts_longer_than_a_model_reads_end_no_evaluation(plain: Chain) -> None:
    """They are cut where they are scored; the one that is timed to go on with them was once refused, after training."""
    longest = max(len(text) for text in plain.rows("test").texts[:20])
    assert longest > SPEC.max_length
    timing = json.loads((plain.out / "timing.json").read_text())
    assert timing["latency_p95_ms"] >= timing["latency_p50_ms"] > 0.0


def champion_of(done: Chain, folder: Path, max_length: int) -> Path:
    """The candidate, as if it had been made for shorter rows."""
    model = Writer.load(done.candidate)
    model.asked(replace(model.prompting, max_length=max_length)).save(folder)
    return folder


@pytest.mark.parametrize("of", ["pairs", "plain"])
def test_a_champion_made_for_shorter_rows_is_compared_on_the_same_tokens(
    of: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    done: Chain = request.getfixturevalue(of)
    done = replace(done, out=tmp_path / "out")
    found = done.evaluate(done.out, champion=champion_of(done, tmp_path / "champion", 16))
    assert found.comparator == "champion n/1"
    assert found.earlier_overlap_rows == {"champion": None}, "it was stored without a memory of its rows"
    np.testing.assert_array_equal(done.scores("champion"), done.scores("candidate"))


def test_the_frozen_model_as_the_candidate_must_beat_the_best_control(pairs: Chain, tmp_path: Path) -> None:
    found = pairs.evaluate(tmp_path / "out", candidate="frozen")
    assert found.comparator == BaselineReport.read(pairs.baseline).best_control
    assert "baseline" not in {one.other for one in found.comparisons}
    assert found.retention is not None
    assert (found.retention.change.low, found.retention.change.high) == (0.0, 0.0)
