"""When a schedule comes due: as it is meant, and as the cluster's scheduler has to be told."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from acclimate.core.cron import Cron, parse_cron, split_zone
from acclimate.core.cron_times import Told, exactly, next_times, told_in, zone_of
from acclimate.errors import ConfigError

UTC_ZONE = "UTC"


@dataclass(frozen=True)
class Timing:
    """When a schedule comes due.

    Args:
        cron: as it is meant in ``zone``.
        zone: the user's.
        clock: the zone that the cluster's scheduler reads.
        told: what it is told.
    """

    cron: Cron
    zone: ZoneInfo
    clock: ZoneInfo
    told: Told

    @classmethod
    def of(cls, expression: str, timezone: str | None = None) -> Timing:
        """Check a cron expression and its time zone.

        KFP's scheduler reads all expressions in one zone, the one it is deployed with: UTC unless ``KFP_CRON_TIMEZONE``
        says otherwise.

        Args:
            expression: five or six fields, or ``@daily`` and the like; ``CRON_TZ=ZONE`` may stand before it.
            timezone: the zone it is meant in; UTC by default.

        Raises:
            ConfigError: E-SCHEDULE-001 to -007, what is wrong with it.
        """
        prefix, bare = split_zone(expression)
        if prefix and timezone and prefix != timezone:
            raise ConfigError(
                "E-SCHEDULE-007",
                f"two time zones are given: CRON_TZ={prefix} and --timezone {timezone}",
                hint="leave one of them out",
            )
        clock = os.environ.get("KFP_CRON_TIMEZONE") or UTC_ZONE
        return cls.read(bare, timezone or prefix or UTC_ZONE, clock)

    @classmethod
    def read(cls, expression: str, zone: str, clock: str) -> Timing:
        """The timing of an expression meant in one zone and read in another."""
        cron, here, there = parse_cron(expression), zone_of(zone), zone_of(clock)
        return cls(cron, here, there, told_in(cron, here, there, datetime.now(UTC)))

    def coming(self) -> list[str]:
        """The next five times at which the cluster's scheduler will act, on the user's clock."""
        times = next_times(self.told.cron, self.clock, datetime.now(UTC))
        return [time.astimezone(self.zone).isoformat(timespec="minutes") for time in times]

    @property
    def note(self) -> str | None:
        """What a user has to know about it, if anything."""
        if self.told.exact:
            return None
        return (
            f"the cluster's scheduler reads {self.clock.key}, which keeps other summer time than {self.zone.key}:"
            f" for part of the year it comes due later than asked, as shown; to have it exact, {exactly(self.zone)}"
        )
