"""The prompted baseline: what is shown, what is asked, and that evaluate meets the very same model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from acclimate.config import BaselineSpec
from acclimate.config_generation import GenerationSpec
from acclimate.core.answers import exact_match
from acclimate.errors import DataError
from acclimate.examples import Examples, read_examples, split_path
from acclimate.nn.causal.judged import pairs_of
from acclimate.nn.causal.model import load_lm
from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.nn.job import Pairs
from acclimate.ports import silent
from acclimate.records import BaselineReport, SourceMemory
from acclimate.stages.prompting import prompting
from tests.remembering import remember
from tests.tiny_lm import write_tiny_lm
from tests.written_data import SPEC, Row, card_of, ingested, learned, letter_pairs, limits_of


@dataclass
class Asked:
    """What prompting left."""

    report: BaselineReport
    train: Examples
    validation: Examples
    out: Path
    source: Path

    @property
    def stored(self) -> Writer:
        return Writer.load(self.out / "model")

    def writer(self, shots: tuple[tuple[str, str], ...]) -> Writer:
        """The source model as it should be asked."""
        lm = load_lm(self.source)
        tokenizer = AnswerReader.load(self.source, lm.config, 256).tokenizer
        asked = Prompting(True, shots, 256, SPEC.max_new_tokens)
        return Writer(lm, tokenizer, asked, precision="fp32", strategy="frozen", source=card_of(self.source))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that answers other letters when it is shown examples."""
    folder = write_tiny_lm(tmp_path_factory.mktemp("lm") / "source", tied=False)
    rows = letter_pairs(64, seed=1, low="z" * 6, high="j" * 6)
    pairs = Pairs([row["text"] for row in rows], [row["answer"] for row in rows])
    learned(folder, pairs, shots=[("abcde fghij", "zzzzzz"), ("xyzuv uvwxy", "jjjjjj")], steps=15).save_pretrained(
        folder
    )
    return folder


def ask(
    root: Path, source: Path, rows: list[Row], metric: str = "token_accuracy", spec: GenerationSpec = SPEC
) -> Asked:
    data, _ = ingested(root, rows, limits=limits_of(source, spec))
    # the test split is none of its business
    split_path(data, "target", "test").unlink()
    out = root / "baseline"
    out.mkdir()
    config: Any = {"config": BaselineSpec(bootstraps=200, seed=3), "generation": spec, "metric": metric}
    report = prompting(data, source, card_of(source), **config, precision="fp32", out=out, progress=silent)
    train, validation = (read_examples(data, "target", (split,), None) for split in ("train", "validation"))  # type: ignore[arg-type]
    return Asked(report, train, validation, out, source)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, source: Path) -> Asked:
    return ask(tmp_path_factory.mktemp("prompting"), source, letter_pairs(low="z" * 6, high="j" * 6))


def picks(asked: Asked) -> tuple[tuple[tuple[str, str], ...], Examples]:
    """Examples and asked rows, as the seed draws them."""
    order = np.random.default_rng(3).permutation(len(asked.train))
    train = asked.train
    assert train.answers is not None
    shots = tuple((train.texts[row], train.answers[row]) for row in order[:2])
    return shots, train.some(sorted(order[2 : 2 + SPEC.baseline_rows].tolist()))


def test_no_row_that_is_asked_is_shown(asked: Asked) -> None:
    shots, sample = picks(asked)
    assert not {text for text, _ in shots} & set(sample.texts)
    assert asked.report.prompted is not None
    assert asked.report.prompted.rows == len(sample) == SPEC.baseline_rows
    assert asked.stored.prompting.shots in (shots, ())


def test_both_ways_are_scored_on_the_same_rows_and_the_better_one_is_stored(asked: Asked) -> None:
    shots, sample = picks(asked)
    ways = {n: asked.writer(shots[:n]).score(pairs_of(sample)) for n in (0, 2)}
    means = {n: float(found.token_accuracy.mean()) for n, found in ways.items()}
    prompted = asked.report.prompted
    assert prompted is not None
    assert prompted.few_shot is not None
    assert prompted.zero_shot.point == pytest.approx(means[0], abs=1e-6)
    assert prompted.few_shot.point == pytest.approx(means[2], abs=1e-6)
    assert means[0] != means[2], "else nothing shows which of them was taken"
    best = max(means, key=lambda n: means[n])
    assert prompted.shots == best == len(asked.stored.prompting.shots)
    assert asked.report.score.point == pytest.approx(means[best], abs=1e-6)
    assert prompted.perplexity == pytest.approx(ways[best].perplexity, rel=1e-5)


def test_finetune_and_evaluate_find_the_model_that_was_scored(asked: Asked) -> None:
    stored = asked.stored
    assert stored.digest == asked.report.model_digest
    assert (stored.strategy, stored.source, stored.precision) == ("frozen", card_of(asked.source), "fp32")
    scores = load_file(asked.out / "validation.safetensors")["scores"]
    again = stored.score(pairs_of(asked.validation)).token_accuracy
    np.testing.assert_array_equal(scores, again)
    assert asked.report.validation_score.point == pytest.approx(again.mean())


def test_controls_are_fitted_on_rows_that_are_not_asked(asked: Asked) -> None:
    """Both answers have six bytes and an end: the commonest answer's place by place."""
    sample = picks(asked)[1]
    names = {control.name: control.score for control in asked.report.controls}
    assert set(names) == {"nearest", "majority", "source_as_is"}
    rest = [row for row in asked.train.row_ids if row not in set(sample.row_ids)]
    assert len(rest) == len(asked.train) - len(sample)
    answers = dict(zip(asked.train.row_ids, asked.train.answers or [], strict=True))
    letters = {letter: 6 * sum(answers[row][0] == letter for row in rest) for letter in "zj"}
    most = max(letters, key=lambda letter: letters[letter])
    assert letters["z"] != letters["j"], "else the smaller token counts"
    share = sum(answer[0] == most for answer in sample.answers or []) * 6 / 7 / len(sample)
    assert names["majority"] is not None
    assert names["majority"].point == pytest.approx(share)


def test_answers_of_texts_are_compared_with_what_was_written(source: Path, tmp_path: Path) -> None:
    asked = ask(tmp_path, source, letter_pairs(), "exact_match")
    shots, sample = picks(asked)
    prompted = asked.report.prompted
    assert prompted is not None
    assert prompted.few_shot is not None
    for found, shown in ((prompted.zero_shot, ()), (prompted.few_shot, shots)):
        written = asked.writer(shown).predict(sample.texts)
        assert found.point == exact_match(written, sample.answers or []).mean()
    assert prompted.shots == 0, "without examples where both are equal"


def test_plain_texts_have_no_examples_and_no_nearest_answer(source: Path, tmp_path: Path) -> None:
    asked = ask(tmp_path, source, [{"text": row["text"]} for row in letter_pairs()])
    prompted = asked.report.prompted
    assert prompted is not None
    assert (prompted.shots, prompted.few_shot) == (0, None)
    assert not asked.stored.prompting.has_prompts
    assert {control.name for control in asked.report.controls} == {"majority", "source_as_is"}
    assert asked.report.best_control == "majority", "the source as it is can't be compared with itself"


def test_a_row_behind_which_the_examples_leave_no_room_is_told_of_at_once(source: Path, tmp_path: Path) -> None:
    """The long row is one of the test split, which is asked with examples at the very end only."""
    rows = [{**row, "part": ("train", "train", "validation", "test")[i % 4]} for i, row in enumerate(letter_pairs())]
    rows[3]["text"] = "z" * 80
    data, _ = ingested(tmp_path, rows, limits=limits_of(source), split="part")
    for name in ("ok", "refused"):
        (tmp_path / name).mkdir()

    def run(shots: int, out: Path) -> BaselineReport:
        spec = SPEC.model_copy(update={"shots": shots})
        config: Any = {"config": BaselineSpec(bootstraps=200), "generation": spec, "metric": "token_accuracy"}
        return prompting(data, source, card_of(source), **config, precision="fp32", out=out, progress=silent)

    with pytest.raises(DataError, match=r"11 examples of .* tokens and the longest row's 8\d are over 256") as caught:
        run(11, tmp_path / "refused")
    assert caught.value.code == "E-DATA-070"
    assert "generation.shots" in caught.value.hint
    run(2, tmp_path / "ok")


def test_the_answer_to_the_nearest_prompt_may_be_longer_than_a_row(source: Path, tmp_path: Path) -> None:
    """Token accuracy compares it place by place; it was once refused, as if it were a row of the data."""
    rows = [{"text": f"{'q' * 70} {i}", "answer": "no"} for i in range(60)]
    rows += [{"text": f"q{i}", "answer": f"{'q' * 70} {i}"} for i in range(60)]
    rows += [{"text": f"{'q' * 70} q{i}", "answer": "no"} for i in range(60)]
    report = ask(tmp_path, source, rows, spec=SPEC.model_copy(update={"max_length": 80})).report
    assert {control.name for control in report.controls} == {"nearest", "majority", "source_as_is"}


def test_rows_an_adapted_source_was_fitted_on_are_not_asked(source: Path, tmp_path: Path) -> None:
    rows = letter_pairs(160, low="z" * 6, high="j" * 6)
    first = ask(tmp_path / "first", source, rows)
    own = first.out / "model"
    known = first.train.texts[:30]
    remember(own, [text.upper() for text in known])
    again = ask(tmp_path / "again", own, rows)
    memory = again.report.source_memory
    assert memory is not None
    assert not again.report.from_memory
    order = np.random.default_rng(3).permutation(len(again.train))[SPEC.shots :]
    new = [row for row in order if again.train.texts[row] not in known]
    assert memory == SourceMemory(known_rows=len(order) - len(new), scored_rows=len(new))
    asked_rows = again.train.some(sorted(new[: SPEC.baseline_rows]))
    plain = again.writer(()).score(pairs_of(asked_rows)).token_accuracy
    assert again.report.prompted is not None
    assert again.report.prompted.zero_shot.point == pytest.approx(float(plain.mean()), abs=1e-6)
