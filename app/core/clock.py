"""The one source of time. Aware UTC inside, Viet Nam's time at the edges."""

from datetime import UTC, datetime
from typing import Protocol
from zoneinfo import ZoneInfo

VIETNAM = ZoneInfo("Asia/Ho_Chi_Minh")


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """The present, aware, in UTC."""
        return datetime.now(UTC)


def local(moment: datetime) -> datetime:
    """A moment as the users' wall clock shows it."""
    return moment.astimezone(VIETNAM)
