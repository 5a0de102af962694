"""`hermes_tally`: how many tries ended how in which hour, counted in the transaction that settles them.

One row per settling: nobody updates a row that somebody else may be updating, so workers never wait for each other.
`compact` adds up the rows of hours that are over; whoever reads adds up what it finds, and gets the same.
"""

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Engine, Select, delete, func, insert, select

from app.core.clock import Clock
from app.db.engine import MOST_PARAMETERS, patiently, reading, writing
from app.db.tables import tally
from app.domain.numbers import HourTally
from app.domain.states import State

_COUNTED = ("accepted", "rejected", "again")
_KEPT = timedelta(days=400)


def note_outcomes(connection: Connection, kind: str, states: Iterable[State], now: datetime) -> None:
    """Count outcomes in, within the caller's transaction. What is neither accepted nor rejected is tried again."""
    found = Counter(state.value if state in (State.ACCEPTED, State.REJECTED) else "again" for state in states)
    counts = {name: found[name] for name in _COUNTED}
    connection.execute(insert(tally).values(id=str(uuid4()), kind=kind, hour=hour_of(now), **counts))


def hour_of(moment: datetime) -> datetime:
    """The beginning of its hour."""
    return moment.replace(minute=0, second=0, microsecond=0)


class SqlTallies:
    """The counts per hour."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @patiently
    def hours(self, since: datetime) -> list[HourTally]:
        """Per kind and hour what happened from `since` on, oldest first; hours without anything are left out."""
        sums = [func.sum(tally.c[name]).label(name) for name in _COUNTED]
        rows = (
            select(tally.c.hour, tally.c.kind, *sums)
            .where(tally.c.hour >= hour_of(since))
            .group_by(tally.c.hour, tally.c.kind)
            .order_by(tally.c.hour, tally.c.kind)
        )
        with reading(self._engine) as connection:
            return [HourTally(**row._mapping) for row in connection.execute(rows)]

    @patiently
    def compact(self) -> int:
        """Make one row of an hour's many, for hours that are over; forget those of more than 400 days ago.
        Returns how many rows went. Two at once: one of them finds its rows gone, and leaves it at that."""
        now = self._clock.now()
        gone = self._forget(now - _KEPT)
        with reading(self._engine) as connection:
            many = list(connection.execute(_crowded(hour_of(now))))
        for row in many:
            while went := self._add_up(row.hour, row.kind):
                gone += went
        return gone

    def _forget(self, before: datetime) -> int:
        with writing(self._engine) as connection:
            return connection.execute(delete(tally).where(tally.c.hour < before)).rowcount

    def _add_up(self, hour: datetime, kind: str) -> int:
        these = (tally.c.hour == hour) & (tally.c.kind == kind)
        with suppress(_Gone), writing(self._engine) as connection:
            rows = list(connection.execute(select(tally).where(these).order_by(tally.c.id).limit(MOST_PARAMETERS)))
            ids = [row.id for row in rows]
            if connection.execute(delete(tally).where(these, tally.c.id.in_(ids))).rowcount != len(ids):
                raise _Gone
            sums = {name: sum(getattr(row, name) for row in rows) for name in _COUNTED}
            connection.execute(insert(tally).values(id=str(uuid4()), kind=kind, hour=hour, **sums))
            return len(ids) - 1
        return 0


class _Gone(Exception):
    """Somebody else adds the same rows up."""


def _crowded(before: datetime) -> Select[Any]:
    """The oldest hours that are over and have more than one row."""
    return (
        select(tally.c.hour, tally.c.kind)
        .where(tally.c.hour < before)
        .group_by(tally.c.hour, tally.c.kind)
        .having(func.count() > 1)
        .order_by(tally.c.hour)
        .limit(24)
    )
