from __future__ import annotations

import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from acclimate.core.metrics import score
from acclimate.errors import IntegrityError, ModelError, UnavailableError
from acclimate.nn import train as loop
from acclimate.nn.guard import require_bounded
from acclimate.nn.job import Job, LabelledRows, TrainJob, TrainResult
from acclimate.nn.learner import Learner
from acclimate.nn.step import Workers
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import finished, train
from tests.small_jobs import Killed, assert_same, kill_after, result_of

MakeJob = Callable[..., TrainJob]
#: Kinds of damage to a checkpoint, and the code that says that it is not taken up.
DAMAGES = [
    ("half_written_index", "E-TRAIN-010"),
    ("half_written_state", "E-TRAIN-012"),
    ("no_state", "E-TRAIN-012"),
    ("flipped_bit", "E-TRAIN-012"),
    ("outside", "E-TRAIN-012"),
]


@pytest.fixture
def copied_source(tiny_source: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_source, tmp_path / "copied-source"))


@pytest.mark.parametrize("strategy", sorted(STRATEGIES))
def test_training_learns_the_task(strategy: str, make_job: MakeJob) -> None:
    result = result_of(make_job(strategy, epochs=8))
    assert result.best_score > 0.8
    assert result.history[-1].train_loss < result.history[0].train_loss


def test_the_result_is_that_of_the_best_epoch(make_job: MakeJob) -> None:
    job = make_job(epochs=4)
    result = result_of(job)
    scores = [point.validation_score for point in result.history]
    assert result.best_epoch == scores.index(max(scores)) + 1
    predicted = result.validation_outputs.argmax(axis=1)
    assert score("macro_f1", job.validation.labels, predicted, 2) == max(scores)


def test_a_training_killed_each_epoch_still_ends_the_same(make_job: MakeJob) -> None:
    job = make_job()
    for epoch in (1, 2, 3):
        with pytest.raises(Killed):
            train(job, progress=kill_after(epoch))
    assert_same(result_of(job), result_of(make_job()))


def test_a_finished_job_is_not_trained_again(make_job: MakeJob) -> None:
    job = make_job()
    first = result_of(job)
    assert_same(result_of(job, progress=kill_after(1)), first)


def damage(folder: Path, how: str) -> None:
    index = folder / "checkpoint.json"
    state = next(folder.glob("state-*.safetensors"))
    match how:
        case "half_written_index":
            index.write_bytes(index.read_bytes()[:100])
        case "half_written_state":
            state.write_bytes(state.read_bytes()[:-1000])
        case "no_state":
            state.unlink()
        case "flipped_bit":
            raw = bytearray(state.read_bytes())
            raw[-7] ^= 1
            state.write_bytes(raw)
        case "outside":
            outside = folder.parent / state.name
            state.replace(outside)
            index.write_text(index.read_text().replace(state.name, f"../{state.name}"))


@pytest.mark.parametrize(("how", "code"), DAMAGES)
def test_a_damaged_checkpoint_is_never_taken_up(how: str, code: str, make_job: MakeJob) -> None:
    job = make_job(epochs=2)
    with pytest.raises(Killed):
        train(job, progress=kill_after(1))
    damage(job.folder, how)
    events: list[tuple[str, dict[str, Any]]] = []
    result = result_of(job, progress=lambda event, /, **fields: events.append((event, fields)))
    assert [fields["code"] for event, fields in events if event == "checkpoint_ignored"] == [code]
    assert [fields["epoch"] for event, fields in events if event == "epoch"] == [1, 2]
    assert_same(result, result_of(make_job(epochs=2)))


@pytest.mark.parametrize("change", ["seed", "settings", "data", "epochs"])
def test_a_foreign_checkpoint_is_never_taken_up(change: str, make_job: MakeJob) -> None:
    job = make_job()
    with pytest.raises(Killed):
        train(job, progress=kill_after(2))
    flipped = LabelledRows(job.train.inputs, 1 - job.train.labels)
    changes = {"seed": 9, "settings": {"learning_rate": 1e-4}, "data": flipped, "epochs": 2}
    other = replace(job, **{"train" if change == "data" else change: changes[change]})
    events: list[dict[str, Any]] = []
    train(other, progress=lambda event, /, **fields: events.append(fields))
    assert events[0]["code"] == "E-TRAIN-011"
    assert events[1]["epoch"] == 1


def test_only_named_files_stay(make_job: MakeJob) -> None:
    job = make_job()
    job.folder.mkdir()
    (job.folder / ".tensors.partial").write_bytes(b"left by a kill")
    result = result_of(job)
    assert {path.name for path in job.folder.iterdir()} == {"checkpoint.json", result.weights[0].name}
    assert json.loads((job.folder / "checkpoint.json").read_text())["finished"] is True


def test_it_stops_early_and_keeps_the_best(make_job: MakeJob) -> None:
    job = make_job(epochs=40, patience=2)
    result = result_of(job)
    assert len(result.history) == result.best_epoch + 2 < 40


def test_a_gradient_too_large_for_float32_is_an_error_not_a_no_op(make_job: MakeJob, copied_source: Path) -> None:
    """A head folded over a constant feature: logits and loss are finite, the gradient's norm is not."""
    weights = load_file(copied_source / "model.safetensors")
    for name in ("weight", "bias"):
        weights[f"encoder.layer.1.output.LayerNorm.{name}"][3] = 0.0
    save_file(weights, copied_source / "model.safetensors", metadata={"format": "pt"})
    job = make_job(source=copied_source)
    job.probe_weight[:, 3] = [1e30, -1e30]
    with pytest.raises(ModelError) as caught:
        train(job)
    assert caught.value.code == "E-TRAIN-001"
    assert "LayerNorm" in str(caught.value) or "norm is inf" in str(caught.value)
    assert "step 1" in caught.value.where
    assert caught.value.hint
    assert finished(job) is None


@pytest.mark.parametrize("file", ["tensors", "checkpoint.json"])
def test_a_disk_that_cannot_be_written_is_named(file: str, make_job: MakeJob) -> None:
    job = make_job(epochs=1)
    (job.folder / f".{file}.partial").mkdir(parents=True)
    with pytest.raises(UnavailableError) as caught:
        train(job)
    assert caught.value.code == "E-TRAIN-015"
    assert finished(job) is None


def test_a_rate_too_small_to_move_is_an_error(make_job: MakeJob) -> None:
    with pytest.raises(ModelError, match="moved") as caught:
        train(make_job(settings={"learning_rate": 1e-12}))
    assert caught.value.code == "E-TRAIN-002"


def test_a_diverging_training_is_an_error(make_job: MakeJob) -> None:
    with pytest.raises(ModelError) as caught:
        train(make_job(settings={"learning_rate": 1.0}, epochs=20, patience=20))
    assert caught.value.code in {"E-TRAIN-001", "E-TRAIN-003"}


@pytest.mark.parametrize(
    ("train_loss", "validation_loss", "diverged"),
    [
        (1.38, 5.0, False),
        (1.39, 0.7, True),
        (1.39, 0.69, False),  # noise of dropout: validation is better than a guess
        (math.inf, 0.1, True),
        (0.1, math.nan, True),
    ],
)
def test_what_counts_as_diverged(train_loss: float, validation_loss: float, diverged: bool) -> None:
    with pytest.raises(ModelError) if diverged else nullcontext():
        require_bounded("full", train_loss, validation_loss, math.log(2), where="here")


def test_one_row_a_batch_and_a_batch_of_all(make_job: MakeJob) -> None:
    for batch_size in (1, 1000):
        assert len(result_of(make_job(epochs=1, batch_size=batch_size)).history) == 1


def test_bf16_is_close_to_fp32(make_job: MakeJob) -> None:
    fp32, bf16 = result_of(make_job(epochs=1)), result_of(make_job(epochs=1, precision="bf16"))
    assert not np.array_equal(fp32.validation_outputs, bf16.validation_outputs)
    np.testing.assert_allclose(fp32.validation_outputs, bf16.validation_outputs, atol=0.1)


@contextmanager
def loading_one_at_a_time() -> Iterator[None]:
    """Transformers replaces its own functions while it loads a model; two threads at once leave them replaced."""
    lock = threading.Lock()

    own = loop.learner_of

    def one(*what: Any, **how: Any) -> Learner:
        with lock:
            return own(*what, **how)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loop, "learner_of", one)
        yield


def in_threads(job: Job, world: int) -> TrainResult:
    """Train with several workers that add up through shared memory."""
    gate = threading.Barrier(world)
    slots: list[torch.Tensor] = [torch.empty(0)] * world
    failed: list[BaseException] = []

    def add_up(rank: int, values: torch.Tensor) -> None:
        slots[rank] = values.clone()
        gate.wait(timeout=60)
        values.copy_(torch.stack(slots).sum(dim=0))
        gate.wait(timeout=60)

    def work(rank: int) -> None:
        try:
            train(job, workers=Workers(rank, world, lambda values: add_up(rank, values)))
        except BaseException as error:  # noqa: BLE001 - handed on to the main thread
            failed.append(error)
            gate.abort()

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(world)]
    with loading_one_at_a_time():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if failed:
        raise failed[0]
    result = finished(job)
    assert result is not None
    return result


@pytest.mark.parametrize("strategy", ["full", "gradual"])
@pytest.mark.parametrize("penalties", [{}, {"l2_sp": 0.1, "delta": 1.0, "bss": 0.01, "lwf": 1.0}], ids=["", "held"])
@pytest.mark.parametrize("world", [2, 3])
def test_several_workers_take_the_same_steps_as_one(
    world: int, penalties: dict[str, float], strategy: str, make_job: MakeJob, copied_source: Path
) -> None:
    config = json.loads((copied_source / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (copied_source / "config.json").write_text(json.dumps(config))
    # 50 rows in batches of 7: shares of unequal size, and a last batch of one row that leaves workers without any
    plain = {"source": copied_source, "epochs": 3, "batch_size": 7, "settings": {"learning_rate": 1e-3, **penalties}}
    one, several = result_of(make_job(strategy, **plain)), in_threads(make_job(strategy, **plain), world)
    np.testing.assert_allclose(several.validation_outputs, one.validation_outputs, atol=2e-3)
    for left, right in zip(one.history, several.history, strict=True):
        assert left.train_loss == pytest.approx(right.train_loss, abs=1e-4)


def test_workers_that_see_different_checkpoints_stop(make_job: MakeJob) -> None:
    def other_worker_is_at_epoch_2(values: torch.Tensor) -> None:
        values[1] = 2

    with pytest.raises(IntegrityError) as caught:
        train(make_job(), workers=Workers(0, 2, other_worker_is_at_epoch_2))
    assert caught.value.code == "E-TRAIN-013"
