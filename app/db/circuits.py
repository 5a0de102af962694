"""Circuits in SQL, shared by all processes: every change is a guarded UPDATE, like a delivery's."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Engine, insert, not_, null, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.core.clock import Clock
from app.db.audit import record
from app.db.engine import patiently, reading, writing
from app.db.nvarchar import cut
from app.db.tables import circuit
from app.domain.circuit import FOR_EVER, LONGEST_HOLD, Circuit

_OPEN_COLUMNS = [circuit.c[name] for name in Circuit.__dataclass_fields__]


class SqlCircuits:
    """`hermes_circuit`: one row per circuit that was ever needed."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @patiently
    def open_ones(self) -> dict[str, Circuit]:
        """The circuits that are open or wait for a probe, by facility ("" is the partner)."""
        rows = select(*_OPEN_COLUMNS).where(circuit.c.open_until.is_not(None))
        with reading(self._engine) as connection:
            return {row.facility: Circuit(**row._mapping) for row in connection.execute(rows)}

    @patiently
    def count(self, facility: str, calls: int, failures: int, window: timedelta) -> tuple[int, int]:
        """Add to the running window of a closed circuit; returns its calls and failures now."""
        now = self._clock.now()
        self._ensure(facility)
        closed = (circuit.c.facility == facility) & circuit.c.open_until.is_(None)
        stale = or_(circuit.c.window_started_at.is_(None), circuit.c.window_started_at <= now - window)
        with writing(self._engine) as connection:
            connection.execute(update(circuit).where(closed, stale).values(window_started_at=now, calls=0, failures=0))
            added = {"calls": circuit.c.calls + calls, "failures": circuit.c.failures + failures}
            connection.execute(update(circuit).where(closed).values(added))
            row = connection.execute(select(circuit.c.calls, circuit.c.failures).where(closed)).one_or_none()
            return (0, 0) if row is None else (row.calls, row.failures)

    @patiently
    def open(self, facility: str, *, until: datetime, reason: str, level: int) -> bool:
        """Open a circuit that is closed, or open one again whose probe failed, as its `level`-th pause in a row.
        False when somebody else did."""
        now = self._clock.now()
        self._ensure(facility)
        unchanged = (
            circuit.c.open_until.is_(None)
            if level == 0
            else (circuit.c.level == level - 1) & (circuit.c.opened_by == "")
        )
        values = {**_opened(until, reason, "", now), "level": level}
        with writing(self._engine) as connection:
            changed = connection.execute(
                update(circuit).where(circuit.c.facility == facility, unchanged).values(values)
            )
            return changed.rowcount == 1

    @patiently
    def lease_probe(self, facility: str, *, until: datetime) -> bool:
        """Whether this caller, and no other until then, may send the one document that tries."""
        now = self._clock.now()
        columns = circuit.c
        free = not_(holds(columns.open_until, now)) & not_(holds(columns.probe_until, now))
        with writing(self._engine) as connection:
            leased = connection.execute(
                update(circuit)
                .where(columns.facility == facility, columns.open_until.is_not(None), free)
                .values(probe_until=until)
            )
            return leased.rowcount == 1

    @patiently
    def close(self, facilities: Sequence[str]) -> None:
        """Close circuits whose pause is over: the probe went well."""
        over = circuit.c.facility.in_(facilities) & not_(holds(circuit.c.open_until, self._clock.now()))
        with writing(self._engine) as connection:
            connection.execute(update(circuit).where(over).values(_CLOSED))

    @patiently
    def pause(self, facility: str, *, who: str, why: str) -> None:
        """An operator's pause, until somebody resumes; audited."""
        now = self._clock.now()
        self._ensure(facility)
        with writing(self._engine) as connection:
            values = {**_opened(FOR_EVER, why, who, now), "level": 0}
            connection.execute(update(circuit).where(circuit.c.facility == facility).values(values))
            record(connection, [facility], at=now, who=who, action="pause", kind="", why=why)

    @patiently
    def resume(self, facility: str, *, who: str, why: str) -> bool:
        """Close a circuit whatever opened it; audited. False when it was not open."""
        now = self._clock.now()
        with writing(self._engine) as connection:
            is_open = (circuit.c.facility == facility) & circuit.c.open_until.is_not(None)
            if not connection.execute(update(circuit).where(is_open).values(_CLOSED)).rowcount:
                return False
            record(connection, [facility], at=now, who=who, action="resume", kind="", why=why)
            return True

    def _ensure(self, facility: str) -> None:
        with reading(self._engine) as connection:
            if connection.execute(select(circuit.c.facility).where(circuit.c.facility == facility)).first():
                return
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(circuit).values(facility=facility, calls=0, failures=0, level=0))
        except IntegrityError:  # another process was faster
            return


_CLOSED: dict[str, Any] = {
    "open_until": null(),
    "probe_until": null(),
    "level": 0,
    "calls": 0,
    "failures": 0,
    "window_started_at": null(),
}


def holds(until: ColumnElement[Any], now: datetime) -> ColumnElement[bool]:
    """Whether the moment in a column of `hermes_circuit` is still to come, and one that can have been meant."""
    soon = (until > now) & (until <= now + LONGEST_HOLD)
    return until.is_not(None) & (soon | (until == FOR_EVER))


def _opened(until: datetime, reason: str, by: str, now: datetime) -> dict[str, Any]:
    return {
        "open_until": until,
        "probe_until": null(),
        "reason": cut(reason, 1000),
        "opened_by": cut(by, 100),
        "opened_at": now,
    }
