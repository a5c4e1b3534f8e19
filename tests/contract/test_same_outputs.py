"""What evaluation saw, what MLflow stores and serves, and what ``predict`` loads say the same, for every strategy."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from acclimate.adapters.images import read_images
from acclimate.adapters.mlflow_client import connect, local_uri
from acclimate.adapters.mlflow_registry import MlflowRegistry, open_registry
from acclimate.adapters.tables import read_table
from acclimate.arms.arm_task import ArmTask
from acclimate.arms.classifying import Classifying
from acclimate.arms.writing import Writing
from acclimate.config import BaselineSpec, DataSpec
from acclimate.config_finetune import FinetuneSpec
from acclimate.config_generation import GenerationSpec
from acclimate.core.reliability import softmax
from acclimate.examples import Examples, read_examples
from acclimate.nn.adapted import load_adapted
from acclimate.nn.causal.judged import judged, pairs_of
from acclimate.nn.causal.model import load_lm
from acclimate.nn.causal.reader import AnswerReader
from acclimate.nn.causal.writer import Prompting, Writer
from acclimate.nn.compared import logits_in_order
from acclimate.nn.frozen import frozen_on_train
from acclimate.nn.model import AdaptedModel
from acclimate.nn.source_card import source_card
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.strategies.strategy import Form
from acclimate.nn.train import InProcessTrainer
from acclimate.ports import silent
from acclimate.prediction import predict_file
from acclimate.records import GENERATION_TASK, IMAGE_TASK
from acclimate.registry import RunRecords
from acclimate.stages.baseline import baseline
from acclimate.stages.ingest import ingest
from tests.conftest import toy_text, write_tiny_source
from tests.run_records import LABELS, run_records
from tests.small_jobs import WRITING_SETTINGS, small_settings
from tests.tiny_lm import toy_pairs, write_tiny_lm
from tests.toy_images import toy_images, write_image_source
from tests.writing_records import writing_records

Precision = Literal["fp32", "bf16"]
FORMS: dict[str, Form] = {
    "bert": "text",
    "vit": "patches",
    "resnet": "map",
    "efficientnet-lite": "map",
    "llama": "causal",
}
ROUNDED = {("bert", "full"), ("bert", "adapter"), ("vit", "lora"), ("llama", "lora")}
ROWS = 100
ASKED = Prompting(has_prompts=True, shots=(), max_length=128, max_new_tokens=6)


@dataclass(frozen=True)
class World:
    """A source model, ingested data, and the frozen baseline.

    Args:
        root: holds all of it.
        kind: of the source model.
        registry: where models are stored.
        workspace: the registry's.
    """

    root: Path
    kind: str
    precision: Precision
    registry: MlflowRegistry
    workspace: Path

    @property
    def data(self) -> Path:
        """Ingest's folder."""
        return self.root / "data"

    @property
    def source(self) -> Path:
        """Folder of the source model."""
        return self.root / "source"

    @cached_property
    def test(self) -> Examples:
        """The rows evaluation reads."""
        return read_examples(self.data, "target", ("test",), None if self.kind == "llama" else LABELS)

    @cached_property
    def records(self) -> RunRecords:
        """Of a run of the task."""
        if self.kind == "llama":
            return writing_records()
        records = run_records(f"{self.kind} {self.precision}")
        task = IMAGE_TASK if self.test.has_images else records.data.task
        return replace(records, data=records.data.model_copy(update={"task": task}))

    @cached_property
    def run_id(self) -> str:
        """Of that run in MLflow."""
        return self.registry.record_run(self.records)

    def task(self) -> ArmTask:
        """As stage ``finetune`` makes it."""
        card = source_card(self.source, name="tiny", revision="1", licence="MIT")
        config = FinetuneSpec(batch_size=32, interpolate=False)
        places = (self.data, self.source, card, self.root / "baseline")
        shared: dict[str, Any] = {
            "config": config,
            "precision": dict.fromkeys(STRATEGIES, self.precision),
            "progress": silent,
        }
        if self.kind == "llama":
            spec = GenerationSpec(max_new_tokens=ASKED.max_new_tokens, max_length=ASKED.max_length)
            return Writing(*places, generation=spec, metric="exact_match", **shared)
        return Classifying(*places, metric="macro_f1", max_length=None, trainer=InProcessTrainer(), **shared)

    def adapted(self, strategy: str, folder: Path) -> Path:
        """Folder of a model that was trained for a few steps and stored as stage ``finetune`` does."""
        task = self.task()
        known = {"known": WRITING_SETTINGS} if self.kind == "llama" else {}
        settings = {**FinetuneSpec().settings_of(strategy), **small_settings(strategy, **known)}
        if STRATEGIES[strategy].pretrains:
            settings["pretraining_epochs"] = 1
        if self.kind == "efficientnet-lite":
            settings["learning_rate"] *= 0.02
        job = task.job(strategy, settings, "full", 1, folder / "job")
        result = InProcessTrainer().train(job, progress=silent)
        stored = task.finished(job, result, STRATEGIES[strategy].role, folder / "model")
        assert load_adapted(folder / "model").digest == stored.digest
        return folder / "model"


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
    return path


def ingested(world: World) -> None:
    """Rows that the source model can read, as the target."""
    world.data.mkdir()
    target, options = world.root / "target", {"root": world.root, "allow_outside": False, "out": world.data}
    if world.kind == "llama":
        pairs = toy_pairs(ROWS, 1)
        rows = [[f"{prompt} {i}", answer] for i, (prompt, answer) in enumerate(zip(*vars(pairs).values(), strict=True))]
        write_table(target.with_suffix(".csv"), ("text", "answer"), rows)
        ingest(DataSpec(data="target.csv", answer="answer"), None, task=GENERATION_TASK, read=read_table, **options)
    elif world.kind == "bert":
        rng = np.random.default_rng(1)
        rows = [[f"{toy_text(LABELS[i % 2], rng)} {i}", LABELS[i % 2]] for i in range(ROWS)]
        write_table(target.with_suffix(".csv"), ("text", "label"), rows)
        ingest(DataSpec(data="target.csv"), None, task="text-classification", read=read_table, **options)
    else:
        images, labels = toy_images(ROWS, 1)
        columns = {"image": images, "label": [LABELS[label] for label in labels]}
        pq.write_table(pa.table(columns), target.with_suffix(".parquet"))
        ingest(DataSpec(data="target.parquet"), None, task=IMAGE_TASK, read=read_images, **options)


def based(world: World) -> None:
    """The source model, and what is made of it without training."""
    out = world.root / "baseline"
    out.mkdir()
    if world.kind == "llama":
        # without template and ties it writes something else to each prompt
        write_tiny_lm(world.source, template=False, tied=False)
        lm = load_lm(world.source)
        tokenizer = AnswerReader.load(world.source, lm.config, ASKED.max_length).tokenizer
        card = source_card(world.source, name="tiny", revision="1", licence="MIT")
        Writer(lm, tokenizer, ASKED, precision=world.precision, strategy="frozen", source=card).save(out / "model")
        return
    if world.kind == "bert":
        write_tiny_source(world.source)
    else:
        write_image_source(world.source, world.kind)
    baseline(
        world.data,
        world.source,
        source_card(world.source, name="tiny", revision="1", licence="MIT"),
        config=BaselineSpec(bootstraps=200, folds=2, c_grid=[1e-3], neighbours=[5]),
        metric="macro_f1",
        precision=world.precision,
        cache=world.root / "cache",
        out=out,
        progress=silent,
    )


@pytest.fixture(scope="module")
def world_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Precision], World]:
    """``world_of(kind, precision)``, made once; all share one registry."""
    root = tmp_path_factory.mktemp("worlds")
    registry, made = open_registry(local_uri(root / "workspace"), root / "workspace"), {}

    def found(kind: str, precision: Precision) -> World:
        name = f"{kind}-{precision}"
        if name not in made:
            made[name] = World(root / name, kind, precision, registry, root / "workspace")
            made[name].root.mkdir()
            ingested(made[name])
            based(made[name])
        return made[name]

    return found


def predicted_rows(world: World, uri: str, folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What ``acclimate predict`` says of the test rows."""
    if world.test.has_images:
        asked = folder / "asked.parquet"
        pq.write_table(pa.table({"image": list(world.test.inputs)}), asked)
    else:
        asked = write_table(folder / "asked.csv", ["text"], [[text] for text in world.test.texts])
    capsys.readouterr()
    predict_file(uri, asked, text=None, out=None, workspace=world.workspace, as_json=True)
    rows: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    return rows


def served_frame(world: World, uri: str) -> pd.DataFrame:
    """What MLflow's own pyfunc says of the test rows."""
    import mlflow.pyfunc

    client = connect(local_uri(world.workspace), world.workspace).client
    location = client.get_logged_model(uri.removeprefix("models:/")).artifact_location
    column = "image" if world.test.has_images else "text"
    return mlflow.pyfunc.load_model(location).predict(pd.DataFrame({column: list(world.test.inputs)}))


def cells() -> list[Any]:
    """Every source and strategy that go together."""
    found = []
    for kind, form in FORMS.items():
        for name in (name for name, one in STRATEGIES.items() if one.works_on(form)):
            marks = [pytest.mark.slow] if kind == "efficientnet-lite" else []
            precisions = ["fp32", "bf16"] if (kind, name) in ROUNDED else ["fp32"]
            found += [pytest.param(kind, name, one, marks=marks, id=f"{kind}-{name}-{one}") for one in precisions]
    return found


@pytest.mark.parametrize(("kind", "strategy", "precision"), cells())
def test_evaluation_mlflow_and_predict_have_the_same_model(
    kind: str,
    strategy: str,
    precision: Precision,
    world_of: Callable[[str, Precision], World],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    world = world_of(kind, precision)
    candidate = world.adapted(strategy, tmp_path)
    uri = world.registry.log_model(world.run_id, world.records, candidate)
    stored = load_adapted(world.registry.fetch(uri, tmp_path / "fetched"))
    assert stored.precision == precision
    said, served = predicted_rows(world, uri, tmp_path, capsys), served_frame(world, uri)
    if isinstance(stored, Writer):
        seen = judged(Writer.load(candidate), pairs_of(world.test), "exact_match")
        before = judged(load_writer(world, precision), pairs_of(world.test), "exact_match")
        assert np.abs(seen.likelihood.table - before.likelihood.table).max() > 1e-3, "training was a no-op"
        np.testing.assert_array_equal(stored.score(pairs_of(world.test)).table, seen.likelihood.table)
        assert [row["answer"] for row in said] == list(served["answer"]) == seen.written
        return
    model = AdaptedModel.load(candidate)
    seen_logits = logits_in_order(model, world.test.inputs, LABELS, where=candidate)
    frozen = frozen_on_train(world.root / "baseline").logits(world.test.inputs)
    assert np.abs(seen_logits - frozen).max() > 1e-3, "training was a no-op"
    np.testing.assert_array_equal(stored.logits(world.test.inputs), seen_logits)
    wanted = softmax(seen_logits.astype(np.float64) / model.temperature)
    of_served = served[[f"probability_{label}" for label in LABELS]].to_numpy()
    of_said = np.array([[row["probabilities"][label] for label in LABELS] for row in said])
    np.testing.assert_allclose(of_served, wanted, atol=1e-12)
    np.testing.assert_allclose(of_said, wanted, atol=1e-12)
    labels = [LABELS[i] for i in wanted.argmax(axis=1)]
    assert [row["label"] for row in said] == list(served["label"]) == labels


def load_writer(world: World, precision: Precision) -> Writer:
    """The prompted source model."""
    return Writer.load(world.root / "baseline" / "model", precision)
