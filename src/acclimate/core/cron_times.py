"""When a cron expression comes due in a time zone, and the same expression told in another zone."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from acclimate.core.cron import Cron
from acclimate.errors import ConfigError

_HORIZON_DAYS = 366 * 9  # 29 February may be eight years away
_MINUTES_A_DAY = 24 * 60


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name.

    Raises:
        ConfigError: E-SCHEDULE-005, there is none; E-SCHEDULE-011, nothing is known of time zones here.
    """
    known = available_timezones()
    if not known:
        hint = "pip install tzdata"
        raise ConfigError("E-SCHEDULE-011", "this machine has no database of time zones", hint=hint)
    if name in known:
        return ZoneInfo(name)
    lowered = {zone.lower(): zone for zone in known}
    cities = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known, key=len, reverse=True)}
    found = difflib.get_close_matches(name.lower()[:100], [*lowered, *cities], n=1, cutoff=0.6)
    meant = {**cities, **lowered}[found[0]] if found else ""
    hint = f"did you mean {meant}?" if meant else "a name such as Europe/Paris or UTC"
    raise ConfigError("E-SCHEDULE-005", f"there is no time zone {name[:100]!r}", hint=hint)


def next_times(cron: Cron, zone: ZoneInfo, after: datetime, count: int = 5) -> list[datetime]:
    """The next moments a schedule comes due.

    A time of day that the clocks skip does not come that day; one that they show twice comes twice.

    Args:
        cron: the schedule.
        zone: the zone its times of day are meant in.
        after: a moment with a zone; what is returned lies after it.
        count: how many.

    Returns:
        At most ``count`` moments in ``zone``, in order.
    """
    found: list[datetime] = []
    for moment in _moments(cron, zone, after):
        found.append(moment)
        if len(found) == count:
            break
    return found


def _moments(cron: Cron, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    first = after.astimezone(zone).date()
    for offset in range(_HORIZON_DAYS):
        day = first + timedelta(days=offset)
        if not cron.on_day(day.month, day.day, day.isoweekday() % 7):
            continue
        clock = (datetime(day.year, day.month, day.day, h, m, s) for h, m, s in _clock(cron))
        exact = {time.replace(tzinfo=zone, fold=fold).astimezone(UTC) for time in clock for fold in (0, 1)
                 if _exists(time, zone, fold)}  # fmt: skip
        yield from (moment.astimezone(zone) for moment in sorted(exact) if moment > after)


def _clock(cron: Cron) -> list[tuple[int, int, int]]:
    return [(h, m, s) for h in sorted(cron.hours) for m in sorted(cron.minutes) for s in cron.seconds]


def _exists(time: datetime, zone: ZoneInfo, fold: int) -> bool:
    there = time.replace(tzinfo=zone, fold=fold)
    return there.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == time


@dataclass(frozen=True)
class Told:
    """A schedule on another zone's clock.

    Args:
        cron: what that clock has to be told.
        exact: whether it always comes due when it was meant to; with summer time it may come later for part of a year.
    """

    cron: Cron
    exact: bool


def told_in(cron: Cron, zone: ZoneInfo, other: ZoneInfo, start: datetime) -> Told:
    """What the clocks of ``other`` have to be told so that a schedule comes due when those of ``zone`` say.

    Where summer time moves the two apart no expression is right all year: then the one that never comes early is taken,
    whatever the season it is asked in.

    Args:
        cron: the schedule.
        zone: where its times of day are meant.
        other: whose clock will read it.
        start: the differences between the two are looked at for a year from here.

    Raises:
        ConfigError: E-SCHEDULE-006, six fields can't say it: a day of the month or only some of its hours would move.
    """
    if zone.key == other.key:
        return Told(cron, exact=True)
    shifts = {_difference(start + timedelta(days=day), zone, other) for day in range(366)}
    told = _moved(cron, max(shifts))
    if told is None:
        raise ConfigError(
            "E-SCHEDULE-006",
            f"this schedule can't be told from {zone.key} to {other.key}, which the cluster's scheduler reads:"
            " its days or hours can't be moved as a whole",
            hint=f"give the times in {other.key}, or {exactly(zone)}",
        )
    return Told(told, exact={_moved(cron, shift) for shift in shifts} == {told})


def exactly(zone: ZoneInfo) -> str:
    """What makes the cluster's scheduler read a zone's clock itself."""
    return (
        f"set CRON_SCHEDULE_TIMEZONE={zone.key} on KFP's deployment ml-pipeline-scheduledworkflow"
        f" and KFP_CRON_TIMEZONE={zone.key} here"
    )


def _difference(moment: datetime, zone: ZoneInfo, other: ZoneInfo) -> int:
    here, there = moment.astimezone(zone).utcoffset(), moment.astimezone(other).utcoffset()
    return int(((there or timedelta()) - (here or timedelta())).total_seconds() // 60)


def _moved(cron: Cron, shift: int) -> Cron | None:
    """The schedule ``shift`` minutes later on the clock, or None where six fields can't say it."""
    times = [hour * 60 + minute + shift for hour in cron.hours for minute in cron.minutes]
    carried = {time // _MINUTES_A_DAY for time in times}
    clock = {time % _MINUTES_A_DAY for time in times}
    hours, minutes = frozenset(t // 60 for t in clock), frozenset(t % 60 for t in clock)
    if len(hours) * len(minutes) != len(clock):
        return None
    told = replace(cron, hours=hours, minutes=minutes)
    if cron.every_day or carried == {0}:
        return told
    if len(carried) > 1 or not cron.every_day_of_month or len(cron.months) < 12:
        return None
    days = carried.pop()
    return replace(told, weekdays=frozenset((day + days) % 7 for day in cron.weekdays))
