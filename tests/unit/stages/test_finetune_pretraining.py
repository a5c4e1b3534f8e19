"""Arms with in-domain pretraining: what they start from, what is recorded of it, and that a kill repeats nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from acclimate.arms.pretraining import PretrainingTexts
from acclimate.core.probe import fit_probe
from acclimate.errors import DataError
from acclimate.examples import read_examples, split_path, write_examples
from acclimate.nn.job import Job, TrainJob, TrainResult
from acclimate.nn.model import AdaptedModel, linear
from acclimate.nn.train import InProcessTrainer
from acclimate.nn.training_model import build
from acclimate.ports import Progress
from acclimate.records import DataCard
from tests.conftest import toy_text
from tests.unit.stages import test_finetune
from tests.unit.stages.test_finetune import CONFIG, Killed, Place, arms_of, fingerprint, place

__all__ = ["place"]
EPOCHS = {"tapt": 4, "full": 4}
SETTINGS = {"pretraining_epochs": 3, "pretraining_learning_rate": 3e-3, "learning_rate": 2e-3}


@pytest.fixture(autouse=True)
def _fast_pretraining(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(test_finetune.SECONDS, "tapt", 8.0)
    monkeypatch.setitem(CONFIG, "tapt", SETTINGS)


def add_pool(place: Place, rows: int = 200) -> None:
    """A pool as ingest writes it."""
    rng = np.random.default_rng(5)
    texts = [f"{toy_text(('negative', 'positive')[i % 2], rng)} pool {i}" for i in range(rows)]
    for split, of in (("train", texts), ("validation", []), ("test", [])):
        columns: dict[str, list[Any]] = {
            "row_id": [f"{i:04}" for i in range(len(of))],
            "text": of,
            "label": [None] * len(of),
            "group": [None] * len(of),
        }
        write_examples(split_path(place.data, "pool", split), columns)  # type: ignore[arg-type]
    card = DataCard.read(place.data)
    pool = card.target.model_copy(update={"labels": None, "rows_kept": rows})
    card.model_copy(update={"pool": pool}).write(place.data)


class Watched(InProcessTrainer):
    """Keeps the jobs it trained."""

    jobs: list[Job]

    def train(self, job: Job, *, progress: Progress = lambda event, /, **fields: None) -> TrainResult:
        self.jobs = [*getattr(self, "jobs", []), job]
        return super().train(job, progress=progress)


@pytest.mark.parametrize("pool", [0, 200])
def test_the_arm_says_what_was_pretrained(pool: int, place: Place) -> None:
    if pool:
        add_pool(place, pool)
    report, out = place.run(["tapt", "full"], epochs=EPOCHS)
    done = arms_of(report)["tapt"].pretraining
    assert arms_of(report)["full"].pretraining is None
    assert done.pool_rows == pool
    assert (done.rows, done.held_out_rows) == (pool + 120 - 20, 20)
    assert done.loss_after < done.loss_before
    assert done.new_head
    assert 1 <= done.best_epoch <= done.epochs <= 3
    timing = json.loads((out / "timing.json").read_text())
    assert 0 < timing["tapt.pretraining"] < timing["tapt"]
    schedules = [f["schedule"] for event, f in place.events if event == "epoch" and f["strategy"] == "tapt"]
    assert schedules.count("pretraining") == done.epochs, "once, though the arm is trained in a rung and in full"


def test_no_more_of_a_pool_is_read_than_is_asked_for(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    add_pool(place, 200)
    monkeypatch.setitem(CONFIG, "tapt", {**SETTINGS, "max_pool_rows": 50})
    done = arms_of(place.run(["tapt"], epochs=EPOCHS)[0])["tapt"].pretraining
    assert (done.rows, done.held_out_rows, done.pool_rows) == (120 + 30, 20, 50)


def test_training_starts_from_a_probe_refitted_on_the_pretrained_encoder(place: Place) -> None:
    trainer = place.trainer = Watched()
    report, out = place.run(["tapt"], epochs=EPOCHS)
    job = trainer.jobs[-1]
    assert isinstance(job, TrainJob)
    frozen = AdaptedModel.load(place.root / "baseline" / "model")
    encoder, model = build(job)
    labels = read_examples(place.data, "target", ["train"], ["negative", "positive"]).labels
    probe = fit_probe(encoder.embed(job.train.inputs), labels, 2, c=0.1)
    batch = encoder.reader.prepare(job.validation.inputs).batch(range(len(job.validation)))
    with torch.no_grad():
        at_step_0 = model.eval()(batch).numpy()
    refitted = linear(encoder.embed(job.validation.inputs), probe.weight, probe.bias)
    np.testing.assert_allclose(at_step_0, refitted, atol=1e-4)
    assert not np.allclose(at_step_0, frozen.logits(job.validation.inputs), atol=1e-2)
    stored = AdaptedModel.load(out / "arms" / "tapt" / "model")
    assert stored.source == frozen.source, "what is pretrained on the way is no other source"
    assert stored.digest == arms_of(report)["tapt"].model_digest
    assert job.source_digest == arms_of(report)["tapt"].pretraining.start_digest
    assert {point.alpha for point in arms_of(report)["tapt"].blends} >= {0.1, 1.0}, "the line to the source itself"


@pytest.mark.parametrize(
    ("schedule", "epoch"),
    [
        ("pretraining", 3),
        ("linear", 2),
        pytest.param("pretraining", 1, marks=pytest.mark.slow),
        pytest.param("constant", 1, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_the_same_and_repeats_nothing(schedule: str, epoch: int, place: Place) -> None:
    expected, undisturbed = place.run(["tapt", "full"], epochs=EPOCHS, checkpoints="undisturbed")
    done: list[tuple[str, str, int]] = []

    def kill(event: str, fields: dict[str, Any]) -> bool:
        if event != "epoch":
            return False
        done.append((fields["schedule"], fields["strategy"], fields["epoch"]))
        return (fields["schedule"], fields["epoch"]) == (schedule, epoch)

    with pytest.raises(Killed):
        place.run(["tapt", "full"], epochs=EPOCHS, kill=kill)
    report, out = place.run(["tapt", "full"], epochs=EPOCHS)
    again = {(f["schedule"], f["strategy"], f["epoch"]) for event, f in place.events if event == "epoch"}
    assert not again & set(done)
    assert report == expected
    assert fingerprint(out) == fingerprint(undisturbed)


def test_texts_are_held_out_of_the_pool_where_there_is_one() -> None:
    rows, pool = [f"row {i}" for i in range(100)], [f"pool {i}" for i in range(1000)]
    with_pool = PretrainingTexts.of(rows, pool)
    assert (len(with_pool.held_out), with_pool.pool) == (50, 1000)
    assert set(with_pool.held_out) < set(pool)
    assert set(with_pool.train) == {*rows, *pool} - set(with_pool.held_out)
    without = PretrainingTexts.of(rows, [])
    assert (len(without.held_out), without.pool) == (20, 0)
    assert {*without.train, *without.held_out} == set(rows)
    assert len(PretrainingTexts.of(rows, pool * 100).held_out) == 1000
    assert len(PretrainingTexts.of(["a", "b", "c"], []).held_out) == 1
    with pytest.raises(DataError) as caught:
        PretrainingTexts.of(["a"], [])
    assert caught.value.code == "E-TRAIN-021"
