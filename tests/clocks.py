"""A clock that tests set."""

from datetime import UTC, datetime, timedelta


class SettableClock:
    """Stands still until it is moved, in either direction."""

    def __init__(self, now: datetime = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)) -> None:
        self._now = now

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        return self._now

    def move(self, **by: float) -> None:
        """Move it: `move(minutes=-5)`."""
        self._now += timedelta(**by)
