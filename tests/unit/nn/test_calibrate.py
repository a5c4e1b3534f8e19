"""Calibration measures real work and decides the precision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from acclimate.nn.calibrate import PRECISIONS, calibrate, choose_precision, lowest_cosine, measure_gemm
from acclimate.nn.encoder import Encoder, folder_digest

TEXTS = ["good phone", "a bad , slow service in the city", "why not ?", "great " * 30] * 8


def test_matrix_products_are_measured_in_both_precisions() -> None:
    speeds = measure_gemm()
    assert set(speeds) == {"fp32", "bf16"}
    assert all(0.0001 < value < 1000 for value in speeds.values())


def test_a_wished_precision_is_measured_alone() -> None:
    for wished in PRECISIONS:
        asked: list[str] = []

        def measure(one: str, asked: list[str] = asked) -> float:
            asked.append(one)
            return 7.0

        assert choose_precision(wished, measure) == (wished, 7.0)
        assert asked == [wished]


@pytest.mark.parametrize(
    ("gain", "chosen"), [(0.4, "fp32"), (1.0, "fp32"), (1.19, "fp32"), (1.21, "bf16"), (4.0, "bf16")]
)
def test_bf16_is_chosen_where_the_work_itself_gains_from_it(gain: float, chosen: str) -> None:
    speeds = {"fp32": 50.0, "bf16": 50.0 * gain}
    assert choose_precision("auto", speeds.__getitem__) == (chosen, speeds[chosen])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_strategy_and_the_features_get_a_rate(tiny_source: Path, precision: str) -> None:
    found = calibrate(
        tiny_source, TEXTS, precision=precision, max_length=None, strategies={"full": {}, "scratch": {}}, batch_size=8
    )
    assert set(found.rows_per_second) == set(found.precision) == {"features", "full", "scratch"}
    assert all(rate > 1 for rate in found.rows_per_second.values())
    assert set(found.precision.values()) == {precision}
    assert found.source_digest == folder_digest(tiny_source)
    assert "threads" in found.machine


class LinearClock(TorchFunctionMode):
    """A clock that linear layers move: by so many seconds while gradients are kept or not, and by type."""

    def __init__(self, seconds: Mapping[tuple[bool, torch.dtype], float]) -> None:
        super().__init__()
        self.now, self._seconds = 0.0, seconds

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func is torch.nn.functional.linear:
            self.now += self._seconds[torch.is_grad_enabled(), found.dtype]
        return found


@pytest.mark.parametrize("trains_in", PRECISIONS)
def test_features_and_training_may_be_in_different_precisions(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch, trains_in: str
) -> None:
    fp32, bf16 = torch.float32, torch.bfloat16
    fast, slow = (fp32, bf16) if trains_in == "fp32" else (bf16, fp32)
    clock = LinearClock({(True, fast): 1.0, (True, slow): 2.0, (False, fast): 2.0, (False, slow): 1.0})
    monkeypatch.setattr("acclimate.nn.calibrate.perf_counter", lambda: clock.now)
    monkeypatch.setattr("acclimate.nn.calibrate.measure_gemm", lambda device: {"fp32": 1.0, "bf16": 1.0})
    with clock:
        found = calibrate(tiny_source, TEXTS, precision="auto", max_length=None, strategies={"full": {}}, batch_size=8)
    assert found.precision == {"features": "bf16" if trains_in == "fp32" else "fp32", "full": trains_in}


@pytest.mark.parametrize(
    ("asked", "least", "chosen"), [("auto", 0.9, "bf16"), ("auto", 1.1, "fp32"), ("bf16", 1.1, "bf16")]
)
def test_features_that_bf16_turns_are_computed_in_fp32_unless_it_is_asked_for(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch, asked: str, least: float, chosen: str
) -> None:
    clock = LinearClock({(False, torch.float32): 9.0, (False, torch.bfloat16): 1.0})
    monkeypatch.setattr("acclimate.nn.calibrate.perf_counter", lambda: clock.now)
    monkeypatch.setattr("acclimate.nn.calibrate.measure_gemm", lambda device: {"fp32": 1.0, "bf16": 1.0})
    monkeypatch.setattr("acclimate.nn.calibrate.MIN_COSINE", least)
    with clock:
        found = calibrate(tiny_source, TEXTS, precision=asked, max_length=None, strategies={}, batch_size=8)
    assert found.precision == {"features": chosen}


def test_features_that_bf16_makes_of_nothing_count_as_turned(
    tiny_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = LinearClock({(False, torch.float32): 9.0, (False, torch.bfloat16): 1.0})
    monkeypatch.setattr("acclimate.nn.calibrate.perf_counter", lambda: clock.now)
    monkeypatch.setattr("acclimate.nn.calibrate.measure_gemm", lambda device: {"fp32": 1.0, "bf16": 1.0})
    real = Encoder.embed

    def embed(self: Encoder, inputs: Any, **how: Any) -> np.ndarray:
        return real(self, inputs, **how) * (np.nan if self.precision == "bf16" else 1)

    monkeypatch.setattr(Encoder, "embed", embed)
    with clock:
        found = calibrate(tiny_source, TEXTS, precision="auto", max_length=None, strategies={}, batch_size=8)
    assert found.precision == {"features": "fp32"}


def test_the_lowest_cosine_is_that_of_the_row_that_is_turned_most() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 2.0], [3.0, 3.0], [0.0, 0.0]])
    assert lowest_cosine(rows, 5 * rows) == pytest.approx(1)
    assert lowest_cosine(rows, np.array([[1.0, 0.0], [1.0, 1.0], [3.0, 3.0], [0.0, 0.0]])) == pytest.approx(0.5**0.5)
    assert lowest_cosine(rows, np.array([[1.0, 0.0], [0.0, 1.0], [3.0, 3.0], [1.0, 0.0]])) == 0, "lost altogether"


def test_where_products_gain_nothing_bf16_is_not_tried(tiny_source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = LinearClock({(True, torch.float32): 1.0, (False, torch.float32): 1.0})  # a product in bf16 would raise
    monkeypatch.setattr("acclimate.nn.calibrate.measure_gemm", lambda device: {"fp32": 1.0, "bf16": 0.9})
    with clock:
        found = calibrate(tiny_source, TEXTS, precision="auto", max_length=None, strategies={"full": {}}, batch_size=8)
    assert set(found.precision.values()) == {"fp32"}


def test_one_text_and_a_batch_larger_than_the_data_will_do(tiny_source: Path) -> None:
    found = calibrate(tiny_source, ["one"], precision="fp32", max_length=16, strategies={"full": {}}, batch_size=64)
    assert found.rows_per_second["full"] > 0


@pytest.fixture
def token_clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A clock of which a second passes for each number that an embedding looks up: speeds without chance."""
    now = 0.0

    def count(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
        nonlocal now
        if isinstance(module, torch.nn.Embedding):
            now += inputs[0].numel()

    def look() -> float:
        nonlocal now
        # nothing takes no time at all, and what looks nothing up takes next to none
        now += 1e-6
        return now

    monkeypatch.setattr("acclimate.nn.calibrate.perf_counter", look)
    # by this clock no product is slow, and a processor without bf16 takes 20 seconds for the large ones
    monkeypatch.setattr("acclimate.nn.calibrate.measure_gemm", lambda device: {"fp32": 1.0, "bf16": 1.0})
    hook = register_module_forward_pre_hook(count)
    yield
    hook.remove()


@pytest.mark.usefixtures("token_clock")
def test_a_rate_is_of_the_texts_as_long_as_they_are(tiny_source: Path) -> None:
    short, long = (
        calibrate(
            tiny_source,
            ["good " * words] * 2048,
            precision="fp32",
            max_length=None,
            strategies={"full": {}},
            batch_size=512,
        ).rows_per_second
        for words in (2, 10)
    )
    # with the two tokens that BERT adds: 4 and 12
    for work in ("full", "features"):
        assert short[work] / long[work] == pytest.approx(3, rel=0.05), work


@pytest.mark.usefixtures("token_clock")
def test_pretraining_is_measured_on_the_texts_that_are_pretrained_on(tiny_source: Path) -> None:
    settings = {"masked_share": 0.15, "pretraining_epochs": 5, "pretraining_learning_rate": 1e-4}
    rates = [
        calibrate(
            tiny_source,
            ["good " * 2] * 2048,
            precision="fp32",
            max_length=None,
            strategies={"tapt": settings},
            batch_size=512,
            pool=pool,
        ).rows_per_second
        for pool in (None, ["good " * 10] * 2048)
    ]
    assert all(set(rate) == {"features", "tapt", "pretraining"} for rate in rates)
    assert rates[0]["pretraining"] / rates[1]["pretraining"] == pytest.approx(3, rel=0.05)
    assert rates[0]["tapt"] == rates[1]["tapt"], "training is on the target's own texts"
