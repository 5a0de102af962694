"""The overview's plots: how tries ended in the last day and the last week, hour by hour."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from app.core.clock import local
from app.domain.numbers import HourTally
from app.web.charts import Bars, stacked

DAY, WEEK = 24, 168
HEIGHT = 120
OUTCOMES = ("accepted", "rejected", "again")


@dataclass(frozen=True, slots=True)
class Span:
    """Sums of an hour or a day, kinds together. `begins`: in Viet Nam's time."""

    begins: datetime
    accepted: int = 0
    rejected: int = 0
    again: int = 0

    @property
    def any(self) -> bool:
        """Whether anything happened."""
        return bool(self.accepted or self.rejected or self.again)


@dataclass(frozen=True, slots=True)
class Plot:
    """Bars per hour; `ticks`: beginnings of parts of equal length; their sum; rows of a table that says the same."""

    bars: Bars
    ticks: tuple[datetime, ...]
    together: Span
    rows: tuple[Span, ...]


def plots(tallies: Iterable[HourTally], now: datetime) -> tuple[Plot, Plot]:
    """The last 24 hours, with a row per hour, and the last seven days of the calendar, with a row per day."""
    found: dict[datetime, list[HourTally]] = {}
    for each in tallies:
        found.setdefault(each.hour, []).append(each)
    hour = local(now).replace(minute=0, second=0, microsecond=0)
    day = _spans(found, hour - timedelta(hours=DAY - 1), DAY)
    week = _spans(found, hour.replace(hour=0) - timedelta(days=6), WEEK)
    return _plot(day, day, 6), _plot(week, _days(week), 24)


def accepted_today(tallies: Iterable[HourTally], now: datetime) -> dict[str, int]:
    """How many of each kind the partner accepted on this day of Viet Nam's calendar."""
    today = local(now).date()
    counts: dict[str, int] = {}
    for each in tallies:
        if local(each.hour).date() == today:
            counts[each.kind] = counts.get(each.kind, 0) + each.accepted
    return counts


def _spans(found: Mapping[datetime, Sequence[HourTally]], first: datetime, hours: int) -> list[Span]:
    begins = [first + timedelta(hours=number) for number in range(hours)]
    return [_sum(each, found.get(each.astimezone(UTC), ())) for each in begins]


def _days(hours: Iterable[Span]) -> list[Span]:
    found: dict[date, list[Span]] = {}
    for each in hours:
        found.setdefault(each.begins.date(), []).append(each)
    return [_sum(some[0].begins, some) for some in found.values()]


def _plot(hours: Sequence[Span], rows: Sequence[Span], stride: int) -> Plot:
    series = {name: [getattr(each, name) for each in hours] for name in OUTCOMES}
    return Plot(
        bars=stacked(series, HEIGHT),
        ticks=tuple(each.begins for each in hours[::stride]),
        together=_sum(hours[0].begins, hours),
        rows=tuple(row for row in rows if row.any),
    )


def _sum(begins: datetime, parts: Iterable[HourTally | Span]) -> Span:
    counted = list(parts)
    return Span(begins, **{name: sum(getattr(each, name) for each in counted) for name in OUTCOMES})
