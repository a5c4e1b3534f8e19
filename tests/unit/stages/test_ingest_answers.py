from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acclimate.adapters.tables import read_table
from acclimate.config import DataSpec
from acclimate.errors import DataError
from acclimate.examples import Examples, read_examples
from acclimate.records import GENERATION_TASK, SPLITS, DataCard
from acclimate.stages.ingest import ingest

Row = dict[str, str | None]


def pairs(count: int = 150) -> list[Row]:
    return [{"prompt": f"What is {i} plus one?", "reply": f"It is {i + 1}."} for i in range(count)]


class Project:
    """A folder with pairs of prompts and answers, and what ingest makes of them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.out = root / "out"
        self.out.mkdir()

    def write(self, rows: list[Row], name: str = "pairs.jsonl", **columns: str | None) -> DataSpec:
        path = self.root / name
        if path.suffix == ".csv":
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        elif path.suffix == ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
        else:
            path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        return DataSpec(data=name, **{"text": "prompt", "answer": "reply", **columns})

    def ingest(self, target: DataSpec, reference: DataSpec | None = None) -> DataCard:
        options = {"root": self.root, "allow_outside": False, "out": self.out, "read": read_table}
        return ingest(target, reference, task=GENERATION_TASK, **options)

    def rows(self, split: str, table: str = "target") -> Examples:
        return read_examples(self.out, table, [split], None)

    def error(self, target: DataSpec) -> DataError:
        with pytest.raises(DataError) as caught:
            self.ingest(target)
        assert not (self.out / DataCard.file_name).exists()
        assert all(problem.where and problem.hint for problem in caught.value.problems)
        return caught.value


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_every_pair_is_in_one_split_with_its_own_answer(project: Project) -> None:
    card = project.ingest(project.write(pairs()))
    found = [pair for split in SPLITS for pair in zip(*texts_and_answers(project.rows(split)), strict=True)]
    assert sorted(found) == sorted((row["prompt"], row["reply"]) for row in pairs())
    assert (card.target.answers, card.target.labels, card.task) == (True, None, "text-generation")
    assert all(split.rows > 10 and split.label_counts == {} for split in card.target.splits.values())


def texts_and_answers(examples: Examples) -> tuple[list[str], list[str]]:
    assert examples.labels is None
    assert examples.answers is not None
    return examples.texts, examples.answers


def test_some_rows_keep_their_answers(project: Project) -> None:
    project.ingest(project.write(pairs()))
    train = project.rows("train")
    texts, answers = texts_and_answers(train)
    assert texts_and_answers(train.some([4, 0])) == ([texts[4], texts[0]], [answers[4], answers[0]])


def test_the_same_pairs_of_any_format_have_the_same_digest(project: Project) -> None:
    names = ("pairs.jsonl", "pairs.csv", "pairs.parquet")
    hostile = [*pairs(), {"prompt": "=1+1", "reply": 'a "quoted",\nanswer\t'}, {"prompt": "x", "reply": "1.0"}]
    digests = {project.ingest(project.write(hostile, name)).target.digest for name in names}
    assert len(digests) == 1
    other = [*hostile[:-1], {"prompt": "x", "reply": "1"}]
    assert project.ingest(project.write(other)).target.digest not in digests


def test_answers_are_kept_as_they_were_written(project: Project) -> None:
    hostile = ["1.0", "True", " two  blanks ", "long " * 1000, "<|im_end|>", "a\x00b", "عربي", "=cmd()"]
    rows = [{"prompt": f"odd {i}", "reply": reply} for i, reply in enumerate(hostile)]
    project.ingest(project.write(pairs() + rows))
    found = [answer for split in SPLITS for answer in texts_and_answers(project.rows(split))[1]]
    assert Counter(hostile) - Counter(found) == Counter()


def test_all_answers_to_a_prompt_are_kept_once_in_one_split(project: Project) -> None:
    more = [{"prompt": f"What is {i} plus one?", "reply": f"{i + 1}"} for i in range(60)]
    card = project.ingest(project.write(pairs() + more + more[:7])).target
    assert (card.rows_kept, card.exact_copies_dropped, card.conflicting_rows_dropped) == (210, 7, 0)
    assert any("60 prompts have several answers" in warning for warning in card.warnings)
    splits = [set(project.rows(split).texts) for split in SPLITS]
    assert sum(map(len, splits)) == len(set.union(*splits)) == 150


def test_the_order_of_rows_does_not_matter(project: Project) -> None:
    rows = pairs() + [{"prompt": f"What is {i} plus one?", "reply": "I don't know."} for i in range(0, 150, 3)]
    first = project.ingest(project.write(rows)).target
    train = (project.out / "target_train.arrow").read_bytes()
    again = project.ingest(project.write(rows[::-1])).target
    assert (first.digest, train) == (again.digest, (project.out / "target_train.arrow").read_bytes())


def test_a_prompt_of_several_groups_is_kept_in_its_strictest_split_only(project: Project) -> None:
    rows = [{**row, "author": f"a{i}"} for i, row in enumerate(pairs())]
    rows += [{"prompt": f"shared {i}", "reply": f"r{j}", "author": f"s{j}"} for i in range(20) for j in range(12)]
    card = project.ingest(project.write(rows, group="author")).target
    texts = {split: set(project.rows(split).texts) for split in SPLITS}
    assert not texts["train"] & texts["validation"]
    assert not (texts["train"] | texts["validation"]) & texts["test"]
    assert {text for text in texts["test"] if text.startswith("shared")} == {f"shared {i}" for i in range(20)}
    assert card.conflicting_rows_dropped > 0
    assert card.rows_kept + card.conflicting_rows_dropped + card.exact_copies_dropped == card.rows_read
    assert any("another group has their prompt" in warning for warning in card.warnings)


@pytest.mark.parametrize("reply", [None, "", "  \n"])
def test_missing_answers_are_dropped_and_counted(reply: str | None, project: Project) -> None:
    card = project.ingest(project.write([*pairs(), {"prompt": "and now?", "reply": reply}])).target
    assert (card.rows_kept, card.unlabelled_rows_dropped) == (150, 1)
    assert any("1 of 151 rows have no answer" in warning for warning in card.warnings)


def test_too_many_missing_answers_are_refused(project: Project) -> None:
    error = project.error(project.write(pairs() + [{"prompt": f"{i}?", "reply": " "} for i in range(50)]))
    assert error.code == "E-DATA-042"
    assert error.where == "pairs.jsonl:151"


def test_plain_text_has_no_answers_and_copies_are_dropped(project: Project) -> None:
    card = project.ingest(project.write(pairs() + pairs(3), answer=None)).target
    assert (card.answers, card.labels, card.rows_kept, card.exact_copies_dropped) == (False, None, 150, 3)
    assert project.rows("train").answers is None


@pytest.mark.parametrize("answer", ["reply", None])
def test_too_few_rows_are_told_for_each_split(answer: str | None, project: Project) -> None:
    rows = [{**row, "part": "dev" if i < 9 else "test" if i < 20 else "train"} for i, row in enumerate(pairs(39))]
    error = project.error(project.write(rows, split="part", answer=answer))
    assert [(problem.code, problem.message.split()[0]) for problem in error.problems] == [
        ("E-DATA-050", "train"),
        ("E-DATA-050", "validation"),
    ]
    more = [{"prompt": "one more", "reply": "r", "part": part} for part in ("train", "dev")]
    more[1]["prompt"] = "another"
    card = project.ingest(project.write(rows + more, split="part", answer=answer))
    assert [card.target.splits[split].rows for split in SPLITS] == [20, 10, 11]


def test_a_prompt_in_two_given_splits_is_refused_whatever_its_answers(project: Project) -> None:
    rows = [{**row, "part": ("train", "dev", "test")[i % 3]} for i, row in enumerate(pairs())]
    rows.append({"prompt": "What is 0 plus one?", "reply": "Two.", "part": "test"})
    assert project.error(project.write(rows, split="part")).code == "E-DATA-048"


@pytest.mark.parametrize(("reply", "code"), [(7, "E-DATA-026"), (["a"], "E-DATA-026"), ("\ud800", "E-DATA-025")])
def test_an_answer_that_is_no_text_is_refused_at_its_line(reply: object, code: str, project: Project) -> None:
    spec = project.write([*pairs(), {"prompt": "odd", "reply": reply}])  # type: ignore[dict-item]
    error = project.error(spec)
    assert error.code == code
    assert error.where == "pairs.jsonl:151"


@pytest.mark.parametrize("name", ["pairs.jsonl", "pairs.csv", "pairs.parquet"])
def test_a_column_of_answers_that_is_not_there_is_named(name: str, project: Project) -> None:
    error = project.error(project.write(pairs(), name, answer="zzz"))
    assert error.code == "E-DATA-018"
    assert "target.text or .answer" in error.hint


@pytest.mark.parametrize("answer", ["reply", None])
def test_a_reference_may_have_answers_or_not_and_needs_no_minimum(answer: str | None, project: Project) -> None:
    target = project.write(pairs())
    card = project.ingest(target, project.write(pairs(3), "others.csv", answer=answer))
    assert card.reference is not None
    assert (card.reference.answers, card.reference.rows_kept) == (answer is not None, 3)
    found = [project.rows(split, "reference") for split in SPLITS]
    assert sum(map(len, found)) == 3
    assert all((rows.answers is None) == (answer is None) for rows in found)
