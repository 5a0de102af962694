"""`hermes_audit`: who did what to which document or user, and why; written in the transaction that does it."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from uuid import uuid4

from sqlalchemy import ColumnElement, Connection, Engine, and_, insert, or_, select

from app.core.clock import Clock
from app.db.engine import patiently, reading, writing
from app.db.nvarchar import cut
from app.db.tables import audit
from app.domain.listing import AuditEntry, AuditFilter, Turn

_LONGEST_NAME = 100
_LONGEST_REASON = 1000
_LENGTHS = {"who": _LONGEST_NAME, "action": 40, "kind": 20, "code": 50}


def record(
    connection: Connection, codes: Iterable[str], *, at: datetime, who: str, action: str, kind: str, why: str
) -> None:
    """One entry per code, under one operation. `who` and `why` are cut to their columns' lengths."""
    entry = {
        "operation_id": str(uuid4()),
        "at": at,
        "who": cut(who, _LONGEST_NAME),
        "action": action,
        "kind": kind,
        "why": cut(why, _LONGEST_REASON),
    }
    connection.execute(insert(audit), [{"id": str(uuid4()), "code": code, **entry} for code in codes])


class SqlAudit:
    """The audit as a whole."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @patiently
    def note(self, *, who: str, action: str, kind: str, code: str, why: str) -> None:
        """Note what changes nothing in the ledger: that somebody looked at persons' names, for instance."""
        with writing(self._engine) as connection:
            record(connection, [code], at=self._clock.now(), who=who, action=action, kind=kind, why=why)

    @patiently
    def entries(self, wanted: AuditFilter, turn: Turn, limit: int) -> list[AuditEntry]:
        """Up to `limit` entries, the latest first, beginning at `turn`."""
        place = () if turn.place is None else (_behind(turn),)
        order = [each.asc() if turn.backwards else each.desc() for each in (audit.c.at, audit.c.id)]
        columns = [audit.c[name] for name in AuditEntry.__dataclass_fields__]
        statement = select(*columns).where(*_conditions(wanted), *place).order_by(*order).limit(limit)
        with reading(self._engine) as connection:
            found = [AuditEntry(**row._mapping) for row in connection.execute(statement)]
        return found[::-1] if turn.backwards else found


def _behind(turn: Turn) -> ColumnElement[bool]:
    assert turn.place is not None  # noqa: S101  asked only of a page that is not the first
    at, key, _ = turn.place
    if turn.backwards:
        return and_(audit.c.at >= at, or_(audit.c.at > at, audit.c.id > key))
    return and_(audit.c.at <= at, or_(audit.c.at < at, audit.c.id < key))


def _conditions(wanted: AuditFilter) -> Iterator[ColumnElement[bool]]:
    for name in ("who", "action", "kind", "code"):
        if (value := getattr(wanted, name)) is not None:
            yield audit.c[name] == value[: _LENGTHS[name]]  # as it was written
    if wanted.since is not None:
        yield audit.c.at >= wanted.since
    if wanted.until is not None:
        yield audit.c.at < wanted.until
