"""Cron expressions: what is read, what is refused, and how it is told to a scheduler in another time zone."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from acclimate.core.cron import parse_cron, split_zone
from acclimate.core.cron_times import next_times, told_in, zone_of
from acclimate.errors import ConfigError

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("30 0 3 * * 1", "30 0 3 * * 1"),
        ("*/15 9-17 * * mon-fri", "0 0-45/15 9-17 * * 1-5"),
        ("0 0 * * 7", "0 0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 0 * * 0,5,6"),
        ("0 0 * * Sun", "0 0 0 * * 0"),
        ("0 0 1 JAN,jul ?", "0 0 0 1 1,7 *"),
        ("5/20 * * * *", "0 5-45/20 * * * *"),
        ("0 0 1-31 1-12 0-6", "0 0 0 * * *"),
        ("@daily", "0 0 0 * * *"),
        ("@Weekly", "0 0 0 * * 0"),
        ("0 0 29 2 *", "0 0 0 29 2 *"),
        ("0 0 31 2 1", "0 0 0 31 2 1"),
    ],
)
def test_an_expression_is_written_in_six_fields(written: str, normal: str) -> None:
    assert str(parse_cron(written)) == normal
    assert parse_cron(normal) == parse_cron(written)


@pytest.mark.parametrize(
    "wrong",
    ["", "* * * *", "* * * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * 32 * *", "* * * 13 *", "* * * * 8",
     "*/0 * * * *", "5- * * * *", "-5 * * * *", "1-2-3 * * * *", "*/2/2 * * * *", "a * * * *",
     "0 0 L * *", "0 0 15W * *",
     "0 0 * * 5#2", "0 22-2 * * *", "0 0 * * fri-mon", "1,,2 * * * *", "@every 1h", "@reboot", "0 0 * * * x",
     "٣ * * * *",
     "1.5 * * * *", "1e1 * * * *", "0 3 * * * " + "0" * 300],
)  # fmt: skip
def test_what_is_no_expression_is_refused_with_a_hint(wrong: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cron(wrong)
    assert caught.value.code == "E-SCHEDULE-001"
    assert caught.value.hint
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("never", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 30,31 2 *"])
def test_what_never_happens_is_refused(never: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cron(never)
    assert caught.value.code == "E-SCHEDULE-002"


@pytest.mark.parametrize("often", ["* * * * * *", "*/30 * * * * *", "0,30 0 3 * * *"])
def test_more_than_once_a_minute_is_refused(often: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_cron(often)
    assert caught.value.code == "E-SCHEDULE-003"


def test_the_next_times_follow_the_clock_of_the_zone() -> None:
    found = next_times(parse_cron("30 2 * * *"), ZoneInfo("Europe/Berlin"), datetime(2026, 3, 27, 12, tzinfo=UTC))
    assert [time.isoformat() for time in found] == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-30T02:30:00+02:00",  # on the 29th the clocks go from 2 to 3
        "2026-03-31T02:30:00+02:00",
        "2026-04-01T02:30:00+02:00",
        "2026-04-02T02:30:00+02:00",
    ]


def test_an_hour_that_the_clocks_show_twice_comes_twice() -> None:
    found = next_times(parse_cron("30 2 * * *"), ZoneInfo("Europe/Berlin"), datetime(2026, 10, 24, 12, tzinfo=UTC), 3)
    assert [time.isoformat() for time in found] == [
        "2026-10-25T02:30:00+02:00",
        "2026-10-25T02:30:00+01:00",
        "2026-10-26T02:30:00+01:00",
    ]


def test_the_29th_of_february_is_found_over_a_century() -> None:
    found = next_times(parse_cron("0 0 29 2 *"), ZoneInfo("UTC"), datetime(2096, 3, 1, tzinfo=UTC), 1)
    assert found == [datetime(2104, 2, 29, tzinfo=UTC)]


@pytest.mark.parametrize(
    ("written", "zone", "told"),
    [
        ("0 3 * * 1", "Asia/Tokyo", "0 0 18 * * 0"),
        ("0 3 * * *", "Asia/Kolkata", "0 30 21 * * *"),
        ("0 20 * * 6", "America/Phoenix", "0 0 3 * * 0"),
        ("0 12 1 * *", "Asia/Tokyo", "0 0 3 1 * *"),
        ("0 * * * *", "Europe/Berlin", "0 0 * * * *"),
        ("*/30 * * * *", "Asia/Kolkata", "0 0,30 * * * *"),
        ("0 3 * * *", "UTC", "0 0 3 * * *"),
    ],
)
def test_an_expression_is_told_in_the_zone_of_the_cluster(written: str, zone: str, told: str) -> None:
    found = told_in(parse_cron(written), ZoneInfo(zone), ZoneInfo("UTC"), START)
    assert (str(found.cron), found.exact) == (told, True)


@pytest.mark.parametrize("month", [1, 7])
@pytest.mark.parametrize(
    ("zone", "told"),
    [("Europe/Berlin", "0 0 2 * * *"), ("America/New_York", "0 0 8 * * *"), ("Asia/Tokyo", "0 0 18 * * *")],
)
def test_with_summer_time_it_never_comes_early_whatever_the_season_it_is_asked_in(
    month: int, zone: str, told: str
) -> None:
    found = told_in(parse_cron("0 3 * * *"), ZoneInfo(zone), ZoneInfo("UTC"), datetime(2026, month, 1, tzinfo=UTC))
    assert (str(found.cron), found.exact) == (told, zone == "Asia/Tokyo")


@pytest.mark.parametrize(
    ("written", "zone"),
    [
        ("0 3 1 * *", "Asia/Tokyo"),
        ("0 3 * 5 *", "Asia/Tokyo"),
        ("0 3,12 * * 1", "Asia/Tokyo"),
        ("0,40 3 * * *", "Asia/Kolkata"),
        ("0 0 1 * *", "Europe/Berlin"),
    ],
)
def test_what_the_cluster_can_not_be_told_is_refused_with_two_ways_out(written: str, zone: str) -> None:
    with pytest.raises(ConfigError) as caught:
        told_in(parse_cron(written), ZoneInfo(zone), ZoneInfo("UTC"), START)
    assert caught.value.code == "E-SCHEDULE-006"
    assert f"CRON_SCHEDULE_TIMEZONE={zone}" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "meant"), [("Europe/Berln", "Europe/Berlin"), ("tokyo", "Asia/Tokyo"), ("utc", "UTC")]
)
def test_an_unknown_zone_is_refused_with_the_nearest(name: str, meant: str) -> None:
    with pytest.raises(ConfigError) as caught:
        zone_of(name)
    assert caught.value.code == "E-SCHEDULE-005"
    assert meant in caught.value.hint


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "/etc/localtime", "Nowhere"])
def test_what_is_no_zone_is_not_looked_up(name: str) -> None:
    with pytest.raises(ConfigError):
        zone_of(name)


def test_a_zone_may_stand_before_the_expression() -> None:
    assert split_zone("CRON_TZ=Asia/Tokyo 0 3 * * *") == ("Asia/Tokyo", "0 3 * * *")
    assert split_zone("TZ=UTC  @daily") == ("UTC", "@daily")
    assert split_zone("0 3 * * *") == (None, "0 3 * * *")
