"""Calibration measures real work and decides the precision."""

from __future__ import annotations

from pathlib import Path

import pytest

from acclimate.nn.calibrate import BF16_GAIN, calibrate, choose_precision, measure_gemm
from acclimate.nn.encoder import folder_digest

TEXTS = ["good phone", "a bad , slow service in the city", "why not ?", "great " * 30] * 8


def test_matrix_products_are_measured_in_both_precisions() -> None:
    speeds = measure_gemm()
    assert set(speeds) == {"fp32", "bf16"}
    assert all(0.0001 < value < 1000 for value in speeds.values())


def test_the_precision_is_the_one_asked_for_or_the_measured_one() -> None:
    assert choose_precision("fp32")[0] == "fp32"
    assert choose_precision("bf16")[0] == "bf16"
    chosen, speeds = choose_precision("auto")
    assert chosen == ("bf16" if speeds["bf16"] >= BF16_GAIN * speeds["fp32"] else "fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_strategy_and_the_features_get_a_rate(tiny_source: Path, precision: str) -> None:
    found = calibrate(
        tiny_source, TEXTS, precision=precision, max_length=None, strategies={"full": {}, "scratch": {}}, batch_size=8
    )
    assert set(found.rows_per_second) == {"features", "full", "scratch"}
    assert all(rate > 1 for rate in found.rows_per_second.values())
    assert found.precision == precision
    assert found.source_digest == folder_digest(tiny_source)
    assert "threads" in found.machine


def test_one_text_and_a_batch_larger_than_the_data_will_do(tiny_source: Path) -> None:
    found = calibrate(tiny_source, ["one"], precision="fp32", max_length=16, strategies={"full": {}}, batch_size=64)
    assert found.rows_per_second["full"] > 0


def test_longer_texts_are_slower(tiny_source: Path) -> None:
    short, long = (
        calibrate(
            tiny_source,
            ["good " * words] * 64,
            precision="fp32",
            max_length=None,
            strategies={"full": {}},
            batch_size=32,
        )
        for words in (2, 100)
    )
    assert long.rows_per_second["full"] < short.rows_per_second["full"]
    assert long.rows_per_second["features"] < short.rows_per_second["features"]


def test_pretraining_is_measured_on_the_texts_that_are_pretrained_on(tiny_source: Path) -> None:
    settings = {"masked_share": 0.15, "pretraining_epochs": 5, "pretraining_learning_rate": 1e-4}
    rates = [
        calibrate(
            tiny_source,
            TEXTS,
            precision="fp32",
            max_length=None,
            strategies={"tapt": settings},
            batch_size=8,
            pool=pool,
        ).rows_per_second
        for pool in (None, ["good " * 100] * 32)
    ]
    assert all(set(rate) == {"features", "tapt", "pretraining"} for rate in rates)
    assert rates[1]["pretraining"] < rates[0]["pretraining"], "longer texts are slower"
