"""Rows that a language model can't read, or answers that it can't write whole, are told of when data are ingested."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from acclimate.adapters.local_store import LocalStore
from acclimate.checks import validate
from acclimate.cli import app
from acclimate.config import Adaptation
from acclimate.errors import DataError, ModelError
from acclimate.execution import Context, Request, execute
from acclimate.records import DataCard
from acclimate.stage_work.ingesting import ingest_work
from tests.tiny_lm import write_tiny_lm
from tests.written_data import SPEC, Row, ingested, letter_pairs, limits_of, number_texts

SPLITS = ("train", "train", "train", "validation", "test")
# <user>, <assistant> and <end>; the tokenizer reads bytes
AROUND = 3


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_lm(tmp_path_factory.mktemp("lm") / "source")


def split_rows() -> list[Row]:
    return [{**row, "part": SPLITS[i % 5]} for i, row in enumerate(letter_pairs())]


def lengthen(rows: list[Row], number: int, tokens: int) -> None:
    """Make the row in line ``number`` one of so many tokens."""
    row = rows[number - 1]
    row["text"] += "z" * (tokens - AROUND - len(row["text"]) - len(row["answer"]))


def test_a_long_test_row_is_refused_at_its_line_before_anything_is_written(source: Path, tmp_path: Path) -> None:
    rows = split_rows()
    lengthen(rows, 15, 97)
    lengthen(rows, 40, 120)
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, rows, limits=limits_of(source), split="part")
    (problem,) = caught.value.problems
    assert problem.code == "E-DATA-070"
    assert problem.message == "2 of 24 test rows of target have over 96 tokens, the longest 120"
    assert problem.where == "target.jsonl:15"
    assert problem.hint.startswith("raise generation.max_length to 120, or take these rows out")
    assert not (tmp_path / "data" / DataCard.file_name).exists()


def test_all_splits_and_the_reference_are_told_at_once(source: Path, tmp_path: Path) -> None:
    rows, others = split_rows(), letter_pairs(40, seed=1)
    lengthen(rows, 10, 100)
    lengthen(rows, 4, 101)
    lengthen(rows, 1, 102)
    lengthen(others, 7, 110)
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, rows, others, limits=limits_of(source), split="part")
    told = [(problem.where, problem.message.split(" have")[0]) for problem in caught.value.problems]
    assert told[:3] == [
        ("target.jsonl:1", "1 of 72 train rows of target"),
        ("target.jsonl:4", "1 of 24 validation rows of target"),
        ("target.jsonl:10", "1 of 24 test rows of target"),
    ]
    assert told[3][0] == "reference.jsonl:7"
    assert "rows of source.reference" in told[3][1]
    assert all("max_length to 110" in problem.hint for problem in caught.value.problems), "one value cures all"


def test_what_no_limit_would_let_in_is_to_be_shortened(source: Path, tmp_path: Path) -> None:
    rows = split_rows()
    lengthen(rows, 5, 257)
    with pytest.raises(DataError) as caught:
        ingested(tmp_path, rows, limits=limits_of(source), split="part")
    assert "the model has positions for 256 tokens" in caught.value.hint
    assert "raise" not in caught.value.hint


def test_a_row_of_exactly_the_limit_fits(source: Path, tmp_path: Path) -> None:
    rows = split_rows()
    lengthen(rows, 5, 96)
    card = ingested(tmp_path, rows, limits=limits_of(source), split="part")[1]
    assert card.target.longest_tokens == 96
    assert card.target.warnings == []


def test_answers_that_can_t_be_written_whole_are_warned_of(source: Path, tmp_path: Path) -> None:
    rows = split_rows()
    for number, length in ((5, 9), (10, 8), (1, 13)):
        rows[number - 1]["answer"] = "y" * length
    card = ingested(tmp_path, rows, letter_pairs(20, seed=1, low="a" * 20), limits=limits_of(source), split="part")[1]
    (warning,) = card.target.warnings
    assert warning.startswith("2 of 120 answers (1.7%) have more tokens than generation.max_new_tokens (8), ")
    assert warning.endswith("; 13 would do for all")
    assert card.reference is not None
    assert card.reference.warnings == [], "to the reference nothing is written"
    enough = limits_of(source, SPEC.model_copy(update={"max_new_tokens": 13}))
    assert ingested(tmp_path / "again", rows, limits=enough, split="part")[1].target.warnings == []


def test_plain_texts_are_cut_and_that_is_said(source: Path, tmp_path: Path) -> None:
    rows = [{"text": row["text"]} for row in letter_pairs()]
    rows[3]["text"] += "z" * 200
    card = ingested(tmp_path, rows, number_texts(), limits=limits_of(source))[1]
    longest = len(rows[3]["text"]) + 2
    assert card.target.warnings == [
        f"1 of 120 texts have more tokens than generation.max_length (96) and are cut there; the longest has {longest}"
    ]
    assert card.target.longest_tokens == longest


def test_the_limit_itself_is_held_to_the_model_s_positions(source: Path) -> None:
    with pytest.raises(ModelError) as caught:
        limits_of(source, SPEC.model_copy(update={"max_length": 300}))
    assert caught.value.code == "E-MODEL-013"


# --- where it is asked for ----------------------------------------------------------------------


@pytest.fixture
def config(source: Path, tmp_path: Path) -> Path:
    rows = letter_pairs()
    lengthen(rows, 15, 100)
    table = "".join(f"{row['text']},{row['answer']}\n" for row in rows)
    (tmp_path / "rows.csv").write_text(f"text,answer\n{table}")
    path = tmp_path / "adaptation.yaml"
    path.write_text(
        f"name: n\ntask: text-generation\nsource: {{model: '{source}', licence: MIT}}\n"
        "target: {data: rows.csv, answer: answer}\ngeneration: {max_length: 96, max_new_tokens: 3}\n"
    )
    return path


def test_validate_finds_long_rows_and_tells_of_long_answers(config: Path) -> None:
    with pytest.raises(DataError) as caught:
        validate(config, allow_outside=True)
    assert (caught.value.code, caught.value.where) == ("E-DATA-070", "rows.csv:16")
    warnings = validate(config, ["generation.max_length=100"], allow_outside=True)["warnings"]
    assert [one.split(" have")[0] for one in warnings] == ["60 of 120 answers (50.0%)"]
    told = CliRunner().invoke(app, ["validate", str(config), "--allow-outside", "-s", "generation.max_length=100"])
    assert told.output == f"{config} is valid: 120 rows\nnote       {warnings[0]}\n"


def test_ingest_is_done_again_where_the_limits_change_and_drift_takes_any_length(
    config: Path, source: Path, tmp_path: Path
) -> None:
    def context(**generation: Any) -> Context:
        adaptation = Adaptation.model_validate(
            {
                "name": "n",
                "task": "text-generation",
                "source": {"model": str(source), "licence": "MIT"},
                "target": {"data": str(config.with_name("rows.csv")), "label": None, "answer": "answer"},
                "goal": {"metric": "exact_match"},
                "generation": generation,
            }
        )
        workspace = tmp_path / "workspace"
        return Context(Request(adaptation, tmp_path, str(workspace), allow_outside=True), "run", LocalStore(workspace))

    with pytest.raises(DataError, match="over 96 tokens"):
        execute(context(max_length=96), ingest_work(context(max_length=96)))
    fitting = context(max_length=100)
    assert DataCard.read(execute(fitting, ingest_work(fitting))).target.longest_tokens == 100
    keys = {ingest_work(context(max_length=n, max_new_tokens=m)).key for n, m in ((100, 64), (101, 64), (100, 65))}
    assert len(keys) == 3
    assert ingest_work(context(max_length=100, shots=1)).key in keys, "examples are no matter of ingest"
    short = context(max_length=96)
    assert DataCard.read(execute(short, ingest_work(short, any_length=True))).target.longest_tokens is None
