"""Text generation from a table to a registered model, by the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from acclimate.records import Evaluation, GapReport
from tests.pipeline.project import Project, invented_word
from tests.tiny_lm import write_tiny_lm

CONFIG = """\
name: toy-write
task: text-generation
source: {model: source, licence: Apache-2.0}
target: {data: rows.csv, text: text, answer: answer}
goal: {metric: exact_match}
gap: {null_pairs: 50, draws: 5, permutations: 99}
baseline: {bootstraps: 200}
finetune: {arms: [full], batch_size: 16, max_epochs: {full: 8, scratch: 1}, full: {learning_rate: 0.01}}
evaluate: {bootstraps: 200}
generation: {max_new_tokens: 8, max_length: 128, shots: 2, baseline_rows: 50}
gate: {auto_promote: true}
compute: {precision: fp32}
"""


ANSWERS = {"negative": "low", "positive": "high"}


def letters(rows: int) -> list[tuple[str, str]]:
    """Which half of the alphabet invented words are made of: no two prompts share a word."""
    rng = np.random.default_rng(7)
    kinds = [("negative", "positive")[i % 2] for i in range(rows)]
    return [(" ".join(invented_word(kind, rng, 0.95) for _ in range(3)), ANSWERS[kind]) for kind in kinds]


def write_table(path: Path, rows: list[tuple[str, str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "answer"), *rows])


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A language model, a table of pairs, and texts of the source's domain: numbers."""
    made = Project(tmp_path / "project", write_tiny_lm(tmp_path / "tiny-llama"))
    (made.folder / "adaptation.yaml").write_text(CONFIG)
    write_table(made.folder / "rows.csv", letters(400))
    write_table(made.folder / "others.csv", [(f"{i} {7 * i} {i * i}", "low") for i in range(150)])
    return made


@pytest.mark.slow
def test_a_language_model_is_adapted_judged_registered_and_answers(project: Project) -> None:
    found = project.run("-s", "source.reference.data=others.csv", "-s", "source.reference.text=text").json
    assert found["decision"]["strategy"] == "full"
    assert_known_of_the_source(project)
    assert found["result"]["score"] > 0.8, "the kind of letters is easy to learn"
    assert found["baseline"]["score"] < 0.1, "random weights know nothing"
    assert {arm["strategy"] for arm in found["arms"]} == {"frozen", "full", "scratch"}
    assert found["verdict"] == "PROMOTE"
    assert Path(found["report_path"]).is_file()
    (project.folder / "asked.csv").write_text("text\nabcde fghij cafed\nqrstu vwxyz zyxwv\n")
    answered = project.call("predict", "models:/toy-write@champion", "asked.csv", "--json", "--workspace", ".acclimate")
    assert [row["answer"] for row in answered.json["rows"]] == ["low", "high"]
    # digits instead of letters; that one answer is longer than a row may be is no matter of drift
    strange = [(f"{i} {7 * i} {i * i}", "low" * (1 + 99 * (i == 3))) for i in range(150)]
    write_table(project.folder / "fresh.csv", strange)
    assert project.call("drift", "adaptation.yaml", "--fresh", "fresh.csv", "--json").json["drifted"]


def assert_known_of_the_source(project: Project) -> None:
    """The gap has a ratio of perplexities, and the evaluation says what is kept of the reference."""
    perplexity = GapReport.read(project.stage_folder("gap")).perplexity
    assert perplexity is not None
    assert perplexity.ratio is not None
    assert perplexity.reference is not None
    assert perplexity.ratio.point == pytest.approx(perplexity.target / perplexity.reference)
    kept = Evaluation.read(project.stage_folder("evaluate")).retention
    assert kept is not None
    assert kept.score - kept.source_score == pytest.approx(kept.change.point)


@pytest.mark.slow
def test_answers_worded_in_several_ways_are_judged_by_rouge_and_long_ones_are_told_of(project: Project) -> None:
    rows = [(text, f"it is {answer}" + " indeed" * (i % 50 == 0)) for i, (text, answer) in enumerate(letters(400))]
    write_table(project.folder / "rows.csv", rows)
    config = (project.folder / "adaptation.yaml").read_text()
    config = config.replace("exact_match", "rouge_l").replace("max_new_tokens: 8", "max_new_tokens: 12")
    config = config.replace("source: {", "source: {reference: {data: others.csv, text: text, answer: answer}, ")
    (project.folder / "adaptation.yaml").write_text(config)
    found = project.run().json
    judged = Evaluation.read(project.stage_folder("evaluate"))
    assert judged.metric == "rouge_l"
    assert found["result"]["score"] == pytest.approx(judged.score.point)
    assert 0.8 < judged.score.point < 1.0
    assert_known_of_the_source(project)
    page = Path(found["report_path"]).read_text(encoding="utf-8")
    assert "8 of 400 answers (2.0%) have more tokens than generation.max_new_tokens (12)" in page


@pytest.mark.slow
def test_a_language_model_is_adapted_to_plain_texts(project: Project) -> None:
    write_table(
        project.folder / "rows.csv",
        [(f"{text} {answer} {text * (i % 9)}", "") for i, (text, answer) in enumerate(letters(300))],
    )
    config = (project.folder / "adaptation.yaml").read_text()
    config = config.replace("answer: answer", "split: null").replace("goal: {metric: exact_match}\n", "")
    (project.folder / "adaptation.yaml").write_text(config)
    found = project.run("-s", "source.reference.data=others.csv", "-s", "source.reference.text=text").json
    judged = Evaluation.read(project.stage_folder("evaluate"))
    assert judged.metric == "token_accuracy"
    assert found["decision"]["strategy"] == "full"
    assert found["result"]["score"] > found["baseline"]["score"] + 0.05
    assert_known_of_the_source(project)
    assert "are cut there" in Path(found["report_path"]).read_text(encoding="utf-8")
    (project.folder / "asked.csv").write_text("text\nabcde fgh\n")
    answered = project.call("predict", "models:/toy-write@champion", "asked.csv", "--json", "--workspace", ".acclimate")
    assert answered.code == 0, answered.err
    assert len(answered.json["rows"]) == 1


@pytest.mark.slow
def test_a_test_row_that_is_too_long_ends_the_run_before_anything_is_measured(project: Project) -> None:
    rows = [
        (text, answer, ("train", "train", "validation", "test")[i % 4]) for i, (text, answer) in enumerate(letters(100))
    ]
    rows[7] = ("z" * 126, "low", "test")
    with (project.folder / "rows.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("text", "answer", "part"), *rows])
    failed = project.run("-s", "target.split=part")
    assert failed.code == 3
    assert failed.json["error"]["code"] == "E-DATA-070"
    assert failed.json["error"]["where"].endswith("rows.csv:9")
    assert "1 of 25 test rows of target" in failed.json["error"]["message"]
    assert not (project.workspace / "stages" / "gap").exists()
