"""Cron expressions: read in five or six fields, checked, and written in the one form that Kubeflow understands.

Kubeflow Pipelines parses six fields with the seconds first and takes five for six without a day of the week:
``0 3 * * *`` would run at three minutes past every hour. It knows neither Sunday as 7 nor a time zone. So nothing is
handed on as typed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from acclimate.errors import ConfigError

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ALIASES = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
# fewer values are as short as a list
_SHORTEST_RANGE = 3
# what is written is shorter: no more than two in a row are listed one by one, so at most two values in three
_LONGEST = 300
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)", re.DOTALL)


@dataclass(frozen=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def span(self) -> frozenset[int]:
        return frozenset(range(self.low, self.high + 1))


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _DAYS),
)


@dataclass(frozen=True)
class Cron:
    """When something happens, as the values allowed in each field.

    A day fits where both of its fields do, except where both are restricted: then one of them is enough, as in every
    cron since 1987.

    Args:
        seconds: within 0 to 59, exactly one of them.
        minutes: within 0 to 59.
        hours: within 0 to 23.
        days: of the month, within 1 to 31.
        months: within 1 to 12.
        weekdays: within 0 (Sunday) to 6.
    """

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]

    @property
    def every_day_of_month(self) -> bool:
        """Whether the day of the month is free."""
        return self.days == _FIELDS[3].span

    @property
    def every_weekday(self) -> bool:
        """Whether the day of the week is free."""
        return self.weekdays == _FIELDS[5].span

    @property
    def every_day(self) -> bool:
        """Whether it happens on each day of the year."""
        return self.every_day_of_month and self.every_weekday and self.months == _FIELDS[4].span

    def on_day(self, month: int, day: int, weekday: int) -> bool:
        """Whether a day fits.

        Args:
            month: 1 to 12.
            day: of the month, from 1.
            weekday: 0 is Sunday.
        """
        fits, falls = day in self.days, weekday in self.weekdays
        either = not self.every_day_of_month and not self.every_weekday
        return month in self.months and ((fits or falls) if either else (fits and falls))

    def __str__(self) -> str:
        """Six fields, seconds first; the same times always give the same text."""
        values = (self.seconds, self.minutes, self.hours, self.days, self.months, self.weekdays)
        return " ".join(_written(sorted(value), field) for value, field in zip(values, _FIELDS, strict=True))


def split_zone(expression: str) -> tuple[str | None, str]:
    """Take ``CRON_TZ=ZONE`` off the front of an expression: (zone or None, the rest)."""
    match = _ZONE.fullmatch(expression.strip())
    return (match[1], match[2]) if match else (None, expression)


def parse_cron(expression: str) -> Cron:
    """Read a cron expression.

    Args:
        expression: five fields (minute first), six (second first), or ``@hourly``, ``@daily``, ``@weekly``,
            ``@monthly``, ``@yearly``. Fields hold ``*``, ``?``, numbers, names, ranges, steps and lists of these;
            Sunday is 0 or 7.

    Raises:
        ConfigError: E-SCHEDULE-001, it can't be read; E-SCHEDULE-002, it never happens; E-SCHEDULE-003, more often
            than once a minute.
    """
    text = expression.strip()
    if len(text) > _LONGEST:
        raise _wrong(
            f"{text[:40]}...", f"longer than {_LONGEST} characters", "a cron expression has five or six fields"
        )
    fields = _ALIASES.get(text.lower(), text).split()
    if text.startswith("@") and text.lower() not in _ALIASES:
        raise _wrong(text, "not a known word", f"one of {', '.join(_ALIASES)}, or five or six fields")
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        hint = "five fields: minute hour day month weekday; six: the second before them, e.g. 0 3 * * 1"
        raise _wrong(text, f"{len(fields)} fields", hint)
    cron = Cron(*(_values(part, field, text) for part, field in zip(fields, _FIELDS, strict=True)))
    if len(cron.seconds) > 1:
        raise ConfigError(
            "E-SCHEDULE-003",
            f"{text!r} happens {len(cron.seconds)} times within a minute",
            hint="give one second, e.g. 0; a run a minute is the most",
        )
    if not _ever(cron):
        raise ConfigError(
            "E-SCHEDULE-002", f"{text!r} never happens: no such month has such a day", hint="check day and month"
        )
    return cron


def _ever(cron: Cron) -> bool:
    either = not cron.every_day_of_month and not cron.every_weekday
    return either or any(min(cron.days) <= _LONGEST_MONTH[month - 1] for month in cron.months)


def _values(text: str, field: _Field, whole: str) -> frozenset[int]:
    values: set[int] = set()
    for item in text.split(","):
        span, slash, step_text = item.partition("/")
        low, high = _span(span, field, whole, open_end=bool(slash))
        step = _number(step_text, field, whole) if slash else 1
        if step < 1 or low > high:
            hint = "a step is 1 or more" if step < 1 else f"write it in two: {low}-{field.high},{field.low}-{high}"
            raise _wrong(whole, f"{item!r} in the field of the {field.name}", hint)
        values.update(range(low, high + 1, step))
    sunday = {0} if field.high == 6 and 7 in values else set()
    return frozenset((values - {7}) | sunday if field.high == 6 else values)


def _span(text: str, field: _Field, whole: str, *, open_end: bool) -> tuple[int, int]:
    if text in {"*", "?"}:
        return field.low, field.high
    start, dash, end = text.partition("-")
    low = _in_range(start, field, whole)
    if dash:
        return low, _in_range(end, field, whole)
    return low, field.high if open_end else low


def _in_range(text: str, field: _Field, whole: str) -> int:
    if text.lower() in field.names:
        return field.names.index(text.lower()) + field.low
    value, high = _number(text, field, whole), 7 if field.high == 6 else field.high
    if not field.low <= value <= high:
        raise _wrong(whole, f"{text} as the {field.name}", f"it goes from {field.low} to {high}")
    return value


def _number(text: str, field: _Field, whole: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        names = f", or {', '.join(field.names)}" if field.names else ""
        raise _wrong(
            whole,
            f"{text!r} as the {field.name}",
            f"* or numbers from {field.low} to {field.high}{names}; not L, W or #",
        )
    return int(text)


def _wrong(whole: str, what: str, hint: str) -> ConfigError:
    return ConfigError("E-SCHEDULE-001", f"{whole!r} is not a cron expression: {what}", hint=hint)


def _written(values: list[int], field: _Field) -> str:
    if len(values) == field.high - field.low + 1:
        return "*"
    steps = {later - earlier for earlier, later in pairwise(values)}
    if len(values) >= _SHORTEST_RANGE and len(steps) == 1:
        step = steps.pop()
        return f"{values[0]}-{values[-1]}" + (f"/{step}" if step > 1 else "")
    return ",".join(_run(run) for run in _runs(values))


def _runs(values: list[int]) -> list[list[int]]:
    """The values in stretches without a gap."""
    runs = [values[:1]]
    for earlier, later in pairwise(values):
        if later == earlier + 1:
            runs[-1].append(later)
        else:
            runs.append([later])
    return runs


def _run(run: list[int]) -> str:
    return f"{run[0]}-{run[-1]}" if len(run) >= _SHORTEST_RANGE else ",".join(map(str, run))
