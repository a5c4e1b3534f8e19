"""Any expression: written again it is the same, comes due as croniter says, and means the same moments in any zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import croniter
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from acclimate.core.cron import Cron, parse_cron
from acclimate.core.cron_times import next_times, told_in
from acclimate.errors import ConfigError

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC, microsecond=0)
)


def fields(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    spans = st.tuples(number, number).map(sorted).map(lambda pair: f"{pair[0]}-{pair[1]}")
    steps = st.tuples(st.one_of(spans, st.just("*")), st.integers(1, 12)).map(lambda pair: f"{pair[0]}/{pair[1]}")
    lists = st.lists(st.one_of(number.map(str), spans, steps), min_size=1, max_size=3).map(",".join)
    return st.one_of(st.just("*"), lists)


SPANS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


@st.composite
def crons(draw: st.DrawFn) -> Cron:
    text = " ".join([str(draw(st.integers(0, 59))), *(draw(fields(low, high)) for low, high in SPANS)])
    try:
        return parse_cron(text)
    except ConfigError as error:
        assume(error.code != "E-SCHEDULE-002")
        raise


# a list of nearly all values must not grow longer than what is read
@example(parse_cron("0 0-44,46-58 0-11,13-23 1-12,14-31 1-5,7-12 0-2,4-6"))
@example(parse_cron("0 */3,1-59/3 */3,1-23/3 */3,2-31/3 */3,2-12/3 */3,1-6/3"))
@given(crons())
def test_written_and_read_again_it_is_the_same(cron: Cron) -> None:
    assert parse_cron(str(cron)) == cron


@settings(max_examples=150, deadline=None)
@given(crons(), MOMENTS)
def test_it_comes_due_when_croniter_says(cron: Cron, start: datetime) -> None:
    judge = croniter.croniter(str(cron), start, second_at_beginning=True, max_years_between_matches=50)
    expected = [judge.get_next(datetime) for _ in range(3)]
    assert [time.astimezone(UTC) for time in next_times(cron, ZoneInfo("UTC"), start, 3)] == expected


@settings(max_examples=60, deadline=None)
@given(
    crons(),
    MOMENTS,
    st.sampled_from(["Asia/Tokyo", "Asia/Kolkata", "America/Phoenix", "Europe/Berlin", "Asia/Kathmandu"]),
)
def test_told_in_another_zone_it_means_the_same_moments(cron: Cron, start: datetime, zone: str) -> None:
    there, cluster = ZoneInfo(zone), ZoneInfo("UTC")
    try:
        told = told_in(cron, there, cluster, start)
    except ConfigError:
        return  # what can't be told is refused; the unit tests say when
    assume(told.exact)
    end = start + timedelta(days=300)
    meant = [time.astimezone(UTC) for time in next_times(cron, there, start, 4) if time < end]
    assert [time for time in next_times(told.cron, cluster, start, 4) if time < end] == meant
