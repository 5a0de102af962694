"""refusals: why documents are refused, by cause, and how that goes from day to day."""

from datetime import datetime, time, timedelta

from app.core.clock import VIETNAM, Clock, local
from app.domain.refusals import DayCount, Refusals
from app.services.ports import RefusalBook


class Causes:
    """Reads refusals by cause."""

    def __init__(self, book: RefusalBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock

    def groups(self) -> Refusals:
        """What is rejected, parked, or unknown and awaits a person, grouped by error code and normalised message; the
        largest group first. At most 200 causes; each is counted no further than 10,000 per state."""
        return self._book.groups()

    def trend(self, cause: str, days: int = 14) -> list[DayCount]:
        """How many of a group were last changed on each of the last `days` days of Viet Nam's calendar, today the
        last."""
        today = local(self._clock.now()).date()
        dates = [today - timedelta(days=back) for back in reversed(range(-1, days))]
        bounds = [datetime.combine(each, time(), VIETNAM) for each in dates]
        counts = self._book.counts(cause, bounds)
        return [DayCount(day, count) for day, count in zip(dates[:-1], counts, strict=True)]
