"""Text generation from a table to a registered model, by the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.pipeline.project import Project
from tests.tiny_lm import toy_pairs, write_tiny_lm

CONFIG = """\
name: toy-write
task: text-generation
source: {model: source, licence: Apache-2.0}
target: {data: rows.csv, text: text, answer: answer}
goal: {metric: exact_match}
gap: {null_pairs: 50, draws: 5, permutations: 99}
baseline: {bootstraps: 200}
finetune: {arms: [full], max_epochs: {full: 4, scratch: 1}, full: {learning_rate: 0.005}}
evaluate: {bootstraps: 200}
generation: {max_new_tokens: 8, max_length: 128, shots: 2, baseline_rows: 50}
gate: {auto_promote: true}
compute: {precision: fp32}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path / "project", write_tiny_lm(tmp_path / "tiny-llama"))
    (made.folder / "adaptation.yaml").write_text(CONFIG)
    pairs = toy_pairs(400, 5)
    with (made.folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "answer"])
        # a number that says nothing keeps the prompts apart
        writer.writerows(
            (f"{i} {text}", kind) for i, (text, kind) in enumerate(zip(pairs.prompts or (), pairs.answers, strict=True))
        )
    return made


def test_a_language_model_is_adapted_judged_and_answers(project: Project) -> None:
    outcome = project.run()
    assert outcome.code in (0, 10), outcome.err[-3000:]
    found = outcome.json
    assert found["decision"]["strategy"] == "full"
    assert found["result"]["score"] > 0.9, "the kind of words is easy to learn"
    assert found["baseline"]["score"] < 0.1, "random weights know nothing"
    assert {arm["strategy"] for arm in found["arms"]} == {"frozen", "full", "scratch"}
    assert Path(found["report_path"]).is_file()
    model = project.stage_folder("finetune") / "arms" / "full" / "model"
    (project.folder / "asked.csv").write_text("text\n7 win cash now\n8 meet at nine\n")
    answered = project.call("predict", str(model), "asked.csv", "--json")
    assert answered.code == 0, answered.err
    assert [row["answer"] for row in answered.json["rows"]] == ["spam", "work"]
