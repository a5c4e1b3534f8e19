"""A model that writes, as users load, serve and predict with it; and which source models fit which task."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import acclimate
from acclimate.adapters.local_store import LocalStore
from acclimate.cli import app
from acclimate.config import Adaptation
from acclimate.errors import ConfigError, DataError, ModelError
from acclimate.execution import Context, Request, Work, execute
from acclimate.nn.causal.writer import Writer
from acclimate.prediction import predict_file, predict_step
from acclimate.serving import ServedWriter
from acclimate.wiring import source_at
from tests.tiny_lm import saved_writer, write_tiny_lm
from tests.toy_images import write_image_source

PROMPTS = ["free cash, now", "meet at nine", 'with "quotes"\nand a second line', ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved_writer(tmp_path_factory.mktemp("writer") / "model")


@pytest.fixture(scope="module")
def answers(folder: Path) -> list[str]:
    """What the model writes to :data:`PROMPTS`."""
    found = Writer.load(folder).predict(PROMPTS)
    assert len(set(found)) > 1, "a model that always writes the same could not show that rows keep their order"
    return found


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "new.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["id", "question"], *enumerate(PROMPTS)])
    return path


def read_rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_writer_is_loaded_by_its_folder(folder: Path, answers: list[str]) -> None:
    model = acclimate.load(str(folder))
    assert isinstance(model, Writer)
    assert model.predict(PROMPTS) == answers


def test_a_table_is_answered_row_by_row(folder: Path, answers: list[str], table: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert predict_file(str(folder), table, text="question", out=out, workspace=None) == len(PROMPTS)
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [["text", "answer"], *map(list, zip(PROMPTS, answers, strict=True))]
    assert not out.with_name("out.csv.partial").exists()


def test_lines_of_standard_input_are_answered(
    folder: Path, answers: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = PROMPTS[:2]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
    assert predict_file(str(folder), Path("-"), text=None, out=None, workspace=None) == 2
    expected = Writer.load(folder).predict(lines)
    assert [(row["text"], row["answer"]) for row in read_rows(capsys.readouterr().out)] == [
        *zip(lines, expected, strict=True)
    ]


def test_json_holds_the_answers(
    folder: Path, answers: list[str], table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    predict_file(str(folder), table, text="question", out=None, workspace=None, as_json=True)
    assert json.loads(capsys.readouterr().out) == {"rows": [{"answer": answer} for answer in answers]}


def test_an_answer_with_a_carriage_return_stays_one_field(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("one\n"))
    monkeypatch.setattr(Writer, "predict", lambda self, inputs: ["a\rb"] * len(inputs))
    predict_file(str(folder), Path("-"), text=None, out=tmp_path / "out.csv", workspace=None)
    assert read_rows((tmp_path / "out.csv").read_bytes().decode()) == [{"text": "one", "answer": "a\rb"}]


def test_a_column_of_images_is_refused(folder: Path, table: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        predict_file(str(folder), table, text=None, image="picture", out=None, workspace=None)
    assert caught.value.code == "E-PREDICT-002"


def request_of(task: str, source: Path, workspace: Path, **target: str | None) -> Request:
    adaptation = Adaptation.model_validate(
        {"name": "n", "task": task, "source": {"model": str(source)}, "target": {"data": "new.csv", **target}}
    )
    return Request(adaptation, source.parent, str(workspace), allow_outside=True)


def test_the_predict_pipelines_step_answers_a_table(
    folder: Path, answers: list[str], table: Path, tmp_path: Path
) -> None:
    def baseline(out: Path) -> dict[str, int]:
        saved_writer(out / "model")
        return {}

    workspace = tmp_path / "workspace"
    request = request_of("text-generation", folder, workspace, text="question", label=None)
    context = Context(request, "run", LocalStore(workspace))
    reference = str(execute(context, Work("baseline", "acclimate.errors", {"data": "a"}, baseline)))
    out = tmp_path / "predicted" / "out.csv"
    assert predict_step(context, reference, str(table), str(out)) == str(out)
    assert [row["answer"] for row in read_rows(out.read_bytes().decode())] == answers


def test_what_is_served_are_the_answers_in_order(folder: Path, answers: list[str]) -> None:
    frame = ServedWriter(Writer.load(folder)).predict(pd.DataFrame({"text": PROMPTS}))
    assert {name: list(column) for name, column in frame.items()} == {"answer": answers}


@pytest.mark.parametrize("missing", [None, np.nan, 3])
def test_a_row_without_a_text_is_refused_not_answered(folder: Path, missing: object) -> None:
    with pytest.raises(DataError) as caught:
        ServedWriter(Writer.load(folder)).predict(pd.DataFrame({"text": ["ok", missing]}, dtype=object))
    assert caught.value.code == "E-PREDICT-003"


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, tiny_source: Path) -> dict[str, Path]:
    """A source model by the task that it fits."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        "text-classification": tiny_source,
        "image-classification": write_image_source(folder / "vit", "vit"),
        "text-generation": write_tiny_lm(folder / "lm"),
    }


KINDS = {
    "text-classification": "(bert) is a text encoder",
    "image-classification": "(vit) is a vision encoder",
    "text-generation": "(llama) is a causal language model",
}


@pytest.mark.parametrize("fitting", KINDS)
@pytest.mark.parametrize("task", KINDS)
def test_a_source_model_of_another_kind_is_refused(
    sources: dict[str, Path], task: str, fitting: str, tmp_path: Path
) -> None:
    request = request_of(task, sources[fitting], tmp_path)
    if task == fitting:
        assert source_at(request, tmp_path)[1].model_type in KINDS[fitting]
        return
    with pytest.raises(ModelError) as caught:
        source_at(request, tmp_path)
    assert caught.value.code == "E-MODEL-025"
    assert f"the source model {KINDS[fitting]}, the task is {task}" in str(caught.value)
    assert caught.value.hint.startswith(f"set task: {fitting},")


def test_a_valid_configuration_is_told_without_labels(sources: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("text,answer\n" + "".join(f"prompt {i},answer {i}\n" for i in range(80)))
    source = sources["text-generation"]
    (tmp_path / "adaptation.yaml").write_text(
        f"name: n\ntask: text-generation\nsource: {{model: '{source}'}}\n"
        "target: {data: pairs.csv, answer: answer}\ngeneration: {max_length: 128}\n"
    )
    found = CliRunner().invoke(app, ["validate", str(tmp_path / "adaptation.yaml"), "--allow-outside"])
    assert (found.exit_code, found.output) == (0, f"{tmp_path / 'adaptation.yaml'} is valid: 80 rows\n")
