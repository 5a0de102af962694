"""numbers: what was accepted, rejected and tried again, hour by hour."""

from datetime import timedelta

from app.core.clock import Clock
from app.domain.numbers import HourTally
from app.services.ports import Tallies


class Numbers:
    """Reads the counts per hour."""

    def __init__(self, tallies: Tallies, clock: Clock) -> None:
        self._tallies = tallies
        self._clock = clock

    def hours(self, hours: int = 24) -> list[HourTally]:
        """Per kind, the hour that runs and those before it, `hours` in all, oldest first; hours in which nothing
        happened are left out. A day is 24, a week 168."""
        return self._tallies.hours(self._clock.now() - timedelta(hours=hours - 1))

    def compact(self) -> int:
        """Upkeep: add up the counts of hours that are over. Returns how many rows went; any process may do it."""
        return self._tallies.compact()
