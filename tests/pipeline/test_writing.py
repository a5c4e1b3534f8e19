"""Text generation from a table to a registered model, by the command line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

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


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Which half of the alphabet invented words are made of: no two prompts share a word."""
    made = Project(tmp_path / "project", write_tiny_lm(tmp_path / "tiny-llama"))
    (made.folder / "adaptation.yaml").write_text(CONFIG)
    rng = np.random.default_rng(7)
    kinds = [("negative", "positive")[i % 2] for i in range(400)]
    with (made.folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "answer"])
        writer.writerows((" ".join(invented_word(kind, rng, 0.95) for _ in range(3)), ANSWERS[kind]) for kind in kinds)
    return made


def test_a_language_model_is_adapted_judged_registered_and_answers(project: Project) -> None:
    found = project.run().json
    assert found["decision"]["strategy"] == "full"
    assert found["result"]["score"] > 0.8, "the kind of letters is easy to learn"
    assert found["baseline"]["score"] < 0.1, "random weights know nothing"
    assert {arm["strategy"] for arm in found["arms"]} == {"frozen", "full", "scratch"}
    assert found["verdict"] == "PROMOTE"
    assert Path(found["report_path"]).is_file()
    (project.folder / "asked.csv").write_text("text\nabcde fghij cafed\nqrstu vwxyz zyxwv\n")
    answered = project.call("predict", "models:/toy-write@champion", "asked.csv", "--json", "--workspace", ".acclimate")
    assert [row["answer"] for row in answered.json["rows"]] == ["low", "high"]
    # digits instead of letters
    strange = "".join(f"{i} {7 * i} {i * i},low\n" for i in range(150))
    (project.folder / "fresh.csv").write_text(f"text,answer\n{strange}")
    assert project.call("drift", "adaptation.yaml", "--fresh", "fresh.csv", "--json").json["drifted"]
