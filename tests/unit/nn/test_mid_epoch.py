"""A training that is stopped or killed in the middle of an epoch goes on from there."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from acclimate.errors import ModelError
from acclimate.nn import held_signals, step
from acclimate.nn import train as loop
from acclimate.nn.class_learner import ClassLearner
from acclimate.nn.held_signals import HeldSignals
from acclimate.nn.job import LabelledRows, TrainJob
from acclimate.nn.step import Workers
from acclimate.nn.strategies import STRATEGIES
from acclimate.nn.train import finished, train
from tests.small_jobs import SETTINGS, break_off
from tests.unit.nn.test_train import DAMAGES, assert_same, damage, in_threads, result_of

MakeJob = Callable[..., TrainJob]
Events = list[tuple[str, dict[str, Any]]]
# 50 rows in batches of 8
STEPS = 7
# tokens of a part: more than any step here has
WHOLE = 2048
HELD = {"l2_sp": 0.1, "delta": 1.0, "bss": 0.01, "lwf": 1.0}


class Stopped(Exception):
    """What a signal's handler raises."""


@pytest.fixture
def stops() -> Iterator[None]:
    """A handler that raises, as that of a pipeline step does."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Stopped

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def places(events: Events, kind: str) -> list[tuple[int, int]]:
    return [(fields["epoch"], fields["step"]) for event, fields in events if event == kind]


def cases() -> Iterator[Any]:
    """Every strategy, in whole steps and in parts; of the latter one that adds layers and one that adds none."""
    for strategy in sorted(STRATEGIES):
        yield pytest.param(strategy, WHOLE, id=f"{strategy}-whole")
        marks = () if strategy in ("lora", "full") else pytest.mark.slow
        yield pytest.param(strategy, 20, id=f"{strategy}-in parts", marks=marks)


@pytest.mark.parametrize(("strategy", "parts"), cases())
def test_a_training_killed_between_steps_ends_like_an_undisturbed_one(
    strategy: str, parts: int, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(step, "PART_TOKENS", parts)
    job = make_job(strategy, epochs=2)
    break_off(job, (1, 1), (1, 4), (1, STEPS), (2, 3))
    assert finished(job) is None
    assert_same(result_of(job), result_of(make_job(strategy, epochs=2)))


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": {"learning_rate": 2e-3, **HELD}},
        {"strategy": "lora", "settings": {**SETTINGS["lora"], "dropout": 0.3}},
        {"precision": "bf16"},
        {"keep": 3},
        {"schedule": "rung"},
    ],
    ids=["penalties", "lora's own dropout", "bf16", "keeps several", "rung"],
)
def test_so_does_one_with_other_settings(changes: dict[str, Any], make_job: MakeJob) -> None:
    job = make_job(**changes)
    break_off(job, (1, 3), (3, 2))
    assert_same(result_of(job), result_of(make_job(**changes)))


def test_gradual_unfreezing_goes_on_where_it_had_gone_back(make_job: MakeJob) -> None:
    plain = {"settings": {"learning_rate": 2e-2}, "epochs": 10, "patience": 10}
    undisturbed = result_of(make_job("gradual", **plain))
    opened = [point.open_groups or 0 for point in undisturbed.history]
    assert any(after < before for before, after in itertools.pairwise(opened)), opened
    job = make_job("gradual", **plain)
    break_off(job, *((epoch, 3) for epoch in range(2, 11)))
    assert_same(result_of(job), undisturbed)


def test_an_encoder_that_stood_still_is_seen_by_who_goes_on(make_job: MakeJob) -> None:
    job = make_job(settings={"learning_rate": 1e-12})
    break_off(job, (1, 4))
    with pytest.raises(ModelError) as caught:
        train(job)
    assert caught.value.code == "E-TRAIN-002"


def test_a_step_is_not_done_again(make_job: MakeJob, monkeypatch: pytest.MonkeyPatch) -> None:
    job, events = make_job(epochs=2), Events()
    break_off(job, (1, 4))
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    train(job, progress=lambda event, /, **fields: events.append((event, fields)))
    assert places(events, "resumed") == [(1, 4)]
    assert places(events, "checkpoint") == [
        *((1, number) for number in range(5, STEPS + 1)),
        *((2, number) for number in range(1, STEPS + 1)),
    ]


def test_checkpoints_amid_an_epoch_are_written_when_their_time_has_come(
    make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = Events()

    def progress(event: str, /, **fields: Any) -> None:
        events.append((event, fields))
        if event == "checkpoint":
            # the next one is not due for long
            monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 300.0)

    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    train(make_job(), progress=progress)
    assert places(events, "checkpoint") == [(1, 1)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_waits_for_a_checkpoint_of_the_step_under_way(
    number: signal.Signals, stops: None, make_job: MakeJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, calls = ClassLearner.gradients, itertools.count(1)

    def gradients(learner: ClassLearner, rows: Sequence[int], workers: Workers) -> float:
        if next(calls) == 4:
            os.kill(os.getpid(), number)
            # Ctrl-C comes twice: from the terminal, and handed on by the run
            os.kill(os.getpid(), signal.SIGTERM)
        return own(learner, rows, workers)

    monkeypatch.setattr(ClassLearner, "gradients", gradients)
    job, events = make_job(), Events()
    with pytest.raises(Stopped):
        train(job, progress=lambda event, /, **fields: events.append((event, fields)))
    assert places(events, "checkpoint") == [(1, 4)]
    again = Events()
    train(job, progress=lambda event, /, **fields: again.append((event, fields)))
    assert places(again, "resumed") == [(1, 4)]
    assert_same(result_of(job), result_of(make_job()))


def test_a_signal_at_the_end_of_an_epoch_keeps_the_epoch(stops: None, make_job: MakeJob) -> None:
    def progress(event: str, /, **_fields: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    job, events = make_job(), Events()
    with pytest.raises(Stopped):
        train(job, progress=progress)
    train(job, progress=lambda event, /, **fields: events.append((event, fields)))
    assert places(events, "resumed") == [(2, 0)]


def test_a_signal_does_not_wait_for_a_step_that_takes_too_long(stops: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_signals, "GRACE_SECONDS", 0.1)
    handler, started = signal.getsignal(signal.SIGTERM), time.monotonic()

    def take_too_long() -> None:
        with HeldSignals() as held:
            os.kill(os.getpid(), signal.SIGTERM)
            assert held.is_waiting
            time.sleep(10)

    with pytest.raises(Stopped):
        take_too_long()
    assert time.monotonic() - started < 5
    assert signal.getsignal(signal.SIGTERM) is handler


def test_a_signal_is_not_lost_where_an_error_ends_the_step(stops: None) -> None:
    def fail() -> None:
        with HeldSignals():
            os.kill(os.getpid(), signal.SIGTERM)
            raise ValueError

    with pytest.raises(Stopped):
        fail()


def test_a_signal_that_is_ignored_stays_so(stops: None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with HeldSignals() as held:
        os.kill(os.getpid(), signal.SIGTERM)
        assert not held.is_waiting


def test_a_thread_holds_nothing(stops: None) -> None:
    handlers: list[Any] = []

    def hold() -> None:
        with HeldSignals():
            handlers.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert handlers == [before]


@pytest.mark.parametrize(("how", "code"), DAMAGES)
@pytest.mark.parametrize("place", [(1, 4), (2, 4)])
def test_a_damaged_checkpoint_is_never_taken_up(place: tuple[int, int], how: str, code: str, make_job: MakeJob) -> None:
    job, events = make_job(epochs=2), Events()
    break_off(job, place)
    damage(job.folder, how)
    train(job, progress=lambda event, /, **fields: events.append((event, fields)))
    assert [fields["code"] for event, fields in events if event == "checkpoint_ignored"] == [code]
    assert not places(events, "resumed")
    assert_same(result_of(job), result_of(make_job(epochs=2)))


@pytest.mark.parametrize("change", ["seed", "settings", "data", "epochs"])
def test_a_foreign_checkpoint_is_never_taken_up(change: str, make_job: MakeJob) -> None:
    job, events = make_job(), Events()
    break_off(job, (1, 4))
    flipped = LabelledRows(job.train.inputs, 1 - job.train.labels)
    changes = {"seed": 9, "settings": {"learning_rate": 1e-4}, "data": flipped, "epochs": 2}
    other = replace(job, **{"train" if change == "data" else change: changes[change]})
    train(other, progress=lambda event, /, **fields: events.append((event, fields)))
    assert events[0][1]["code"] == "E-TRAIN-011"
    assert not places(events, "resumed")


def test_what_a_kill_left_half_written_is_not_taken_up(make_job: MakeJob) -> None:
    job, events = make_job(), Events()
    break_off(job, (1, 4))
    for name in (".tensors.partial", ".checkpoint.json.partial", "state-0-5.safetensors"):
        (job.folder / name).write_bytes(b"left by a kill")
    train(job, progress=lambda event, /, **fields: events.append((event, fields)))
    assert places(events, "resumed") == [(1, 4)]
    assert_same(result_of(job), result_of(make_job()))


@pytest.mark.parametrize("world", [2, 3])
def test_several_workers_take_up_what_one_has_begun(
    world: int, make_job: MakeJob, tiny_source: Path, tmp_path: Path
) -> None:
    source = Path(shutil.copytree(tiny_source, tmp_path / "still"))
    config = json.loads((source / "config.json").read_text())
    config |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    (source / "config.json").write_text(json.dumps(config))
    plain = {"source": source, "settings": {"learning_rate": 1e-3}}
    job, one = make_job(**plain), result_of(make_job(**plain))
    break_off(job, (1, 4))
    several = in_threads(job, world)
    np.testing.assert_allclose(several.validation_outputs, one.validation_outputs, atol=2e-3)
    for left, right in zip(one.history, several.history, strict=True):
        assert left.train_loss == pytest.approx(right.train_loss, abs=1e-4)
