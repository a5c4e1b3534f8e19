"""Numbers as people read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from acclimate.records import Interval
from acclimate.report import numbers


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (numbers.score, 0.87449, "0.874"),
        (numbers.score, None, "–"),
        (numbers.signed, 0.0707, "+0.071"),
        (numbers.signed, -0.0101, "−0.010"),
        (numbers.signed, -0.0001, "0.000"),
        (numbers.units, 4.21, "4.2"),
        (numbers.units, -0.3, "−0.3"),
        (numbers.p_value, 0.0004, "< 0.001"),
        (numbers.p_value, 0.0125, "0.013"),
        (numbers.share, 0.0631, "6.3 %"),
        (numbers.share, 0.0996, "10 %"),
        (numbers.share, 0.876, "88 %"),
        (numbers.share, 0.0, "0 %"),
        (numbers.count, 22714371, "22,714,371"),
        (numbers.seconds, 4.14, "4.1 s"),
        (numbers.seconds, 59.6, "60 s"),
        (numbers.seconds, 189.4, "3.2 min"),
        (numbers.seconds, 7200.0, "2.0 h"),
        (numbers.size, 999, "999 B"),
        (numbers.size, 91_234_567, "91.2 MB"),
        (numbers.size, 999_999, "1.0 MB"),
        (numbers.plain, True, "yes"),
        (numbers.plain, 1765, "1,765"),
        (numbers.plain, -0.03891, "−0.03891"),
        (numbers.plain, 1.999e-05, "0.00001999"),
        (numbers.plain, 3600.0, "3,600"),
        (numbers.plain, "MIT", "MIT"),
        (numbers.plain, ["query", "value"], "query, value"),
        (numbers.plain, None, "–"),
    ],
)
def test_examples(write, value, text) -> None:
    assert write(value) == text


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("latency_p95_ms", 18.44, ("latency p95", "18.4 ms")),
        ("probe_seconds", 4.0, ("probe", "4.0 s")),
        ("rows_per_second", 803.21, ("rows per second", "803.2")),
        ("peak_mb", 512.4, ("peak", "512 MB")),
        ("full", 3.0, ("full", "3")),
    ],
)
def test_timings_take_their_unit_from_their_name(name, value, written) -> None:
    assert numbers.timed(name, value) == written


def test_intervals() -> None:
    assert numbers.bounds(Interval(point=0.5, low=0.4, high=0.6)) == "0.400 to 0.600"
    assert numbers.signed_bounds(Interval(point=0.0, low=-0.1, high=0.1)) == "−0.100 to +0.100"
    assert numbers.signed_bounds(None) == "–"


@given(st.floats(-1, 1))
def test_differences_read_back_to_half_a_thousandth(value: float) -> None:
    assert abs(float(numbers.signed(value).replace("−", "-")) - value) <= 0.000501


@given(st.floats(0.1, 1e15))
def test_sizes_keep_three_digits(value: float) -> None:
    text, unit = numbers.size(value).split()
    factor = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9}[unit]
    assert float(text) * factor == pytest.approx(value, rel=0.05, abs=0.5)
