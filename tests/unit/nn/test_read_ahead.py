"""Batches made on a thread: the same ones, one ahead, and no thread left behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from acclimate.errors import DataError
from acclimate.nn.encoder import Encoder
from acclimate.nn.job import LabelledRows, TrainJob
from acclimate.nn.read_ahead import ReadAhead
from acclimate.nn.readers import Batch
from acclimate.nn.train import finished, train
from tests.toy_images import SIDE, toy_images, write_image_source

ORDER = [[0, 1], [2], [3, 4]]
MakeJob = Callable[..., TrainJob]


class Noting:
    """Rows that note which batch was made, and on which thread."""

    sizes = [1] * 5

    def __init__(self) -> None:
        self.made: list[list[int]] = []
        self.threads: set[int] = set()
        self.last = threading.Event()

    def batch(self, rows: Sequence[int]) -> Batch:
        self.made.append(list(rows))
        self.threads.add(threading.get_ident())
        if rows == ORDER[-1]:
            self.last.set()
        if 9 in rows:
            raise DataError("E-DATA-060", "damaged", where="row 9", hint="fetch it again")
        return {"row": torch.tensor(rows)}


def reading() -> bool:
    return any(thread.name.startswith("read-ahead") for thread in threading.enumerate())


def test_one_batch_is_made_ahead_on_a_thread_and_no_more() -> None:
    rows = Noting()
    with ReadAhead(rows, ORDER) as ahead:
        assert ahead.sizes == rows.sizes
        assert ahead.batch(ORDER[0])["row"].tolist() == ORDER[0]
        assert ahead.batch(ORDER[1])["row"].tolist() == ORDER[1]
        assert rows.last.wait(10), "the last is made before it is asked for"
        assert ahead.batch(ORDER[2])["row"].tolist() == ORDER[2]
    assert rows.made == ORDER
    assert rows.threads.isdisjoint({threading.get_ident()})
    first = Noting()
    with ReadAhead(first, ORDER):
        pass
    assert first.made in ([], ORDER[:1])


def test_a_batch_out_of_turn_is_made_and_the_order_kept() -> None:
    rows = Noting()
    with ReadAhead(rows, ORDER) as ahead:
        found = [ahead.batch(chosen)["row"].tolist() for chosen in ([0, 1], [4], [2], [3, 4], [1])]
    assert found == [[0, 1], [4], [2], [3, 4], [1]]
    assert sorted(rows.made) == sorted(found), "none twice"
    assert len(rows.threads) == 1


def use(order: list[list[int]], asked: list[list[int]], error: BaseException | None = None) -> None:
    """Ask for some batches, then fail if told to."""
    with ReadAhead(Noting(), order) as ahead:
        for rows in asked:
            ahead.batch(rows)
            assert reading()
        if error is not None:
            raise error


def test_an_error_is_raised_where_its_batch_is_asked_for() -> None:
    use([[0], [9]], [[0]])
    with pytest.raises(DataError) as caught:
        use([[0], [9]], [[0], [9]])
    assert caught.value.where == "row 9"
    assert not reading()


@pytest.mark.parametrize("error", [None, KeyboardInterrupt(), RuntimeError("stop")])
def test_the_thread_ends_with_whoever_used_it(error: BaseException | None) -> None:
    with nullcontext() if error is None else pytest.raises(type(error)):
        use(ORDER, ORDER[:1], error)
    assert not reading()


@pytest.fixture
def everywhere(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    return lambda: monkeypatch.setattr("acclimate.nn.read_ahead.PAYS_ON", ("cpu", "cuda"))


@pytest.fixture
def image_job(make_job: MakeJob, tmp_path: Path) -> TrainJob:
    source = write_image_source(tmp_path / "vit", "vit")
    rng = np.random.default_rng(7)
    return make_job(
        source=source,
        probe_weight=rng.normal(0, 0.1, (2, Encoder.load(source, precision="fp32").dim)).astype(np.float32),
        train=LabelledRows(*toy_images(24, 1)),
        validation=LabelledRows(*toy_images(10, 2)),
        max_length=SIDE,
        batch_size=7,
        epochs=2,
    )


@pytest.mark.parametrize("kind", ["text", "images", "images in parts"])
def test_training_gives_the_same_bits(
    kind: str,
    make_job: MakeJob,
    image_job: TrainJob,
    everywhere: Callable[[], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind == "images in parts":
        monkeypatch.setattr("acclimate.nn.step.PART_TOKENS", 15)
        # none kept: all are decoded each time
        monkeypatch.setattr("acclimate.nn.step.KEPT_BYTES", 0)
    job = make_job(epochs=2) if kind == "text" else image_job
    train(job)
    everywhere()
    other = replace(job, folder=tmp_path / "ahead")
    train(other)
    before, after = finished(job), finished(other)
    assert before is not None
    assert after is not None
    assert before.history == after.history
    np.testing.assert_array_equal(before.validation_outputs, after.validation_outputs)
    assert before.weights[0].read_bytes() == after.weights[0].read_bytes()
    assert not reading()


def test_embedding_gives_the_same_bits_and_says_which_row_is_damaged(
    image_job: TrainJob, everywhere: Callable[[], None]
) -> None:
    encoder, images = Encoder.load(image_job.source, precision="fp32"), toy_images(300, 3)[0]
    before = encoder.embed(images)
    everywhere()
    np.testing.assert_array_equal(encoder.embed(images), before)
    with pytest.raises(DataError) as caught:
        encoder.embed([*images, b"not an image"])
    assert caught.value.code == "E-DATA-060"
    assert "row 300" in str(caught.value.where)
    assert not reading()


def test_training_decodes_each_image_once(image_job: TrainJob, monkeypatch: pytest.MonkeyPatch) -> None:
    from acclimate.nn import image_reader

    decoded: list[bytes] = []
    decode = image_reader.decode

    def counted(raw: bytes) -> object:
        decoded.append(raw)
        return decode(raw)

    monkeypatch.setattr(image_reader, "decode", counted)
    train(image_job)
    assert sorted(decoded) == sorted([*image_job.train.inputs, *image_job.validation.inputs])
