"""`hermes_audit`: who did what to which document or user, and why; written in the transaction that does it."""

from collections.abc import Iterable
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Connection, Engine, insert, or_, select

from app.db.engine import patiently, reading
from app.db.tables import audit
from app.domain.audit import AuditEntry, AuditFilter, AuditPlace

_LONGEST_NAME = 100
_LONGEST_REASON = 1000


def record(
    connection: Connection, codes: Iterable[str], *, at: datetime, who: str, action: str, kind: str, why: str
) -> None:
    """One entry per code, under one operation. `who` and `why` are cut to their columns' lengths."""
    entry = {
        "operation_id": str(uuid4()),
        "at": at,
        "who": who[:_LONGEST_NAME],
        "action": action,
        "kind": kind,
        "why": why[:_LONGEST_REASON],
    }
    connection.execute(insert(audit), [{"id": str(uuid4()), "code": code, **entry} for code in codes])


class SqlAudit:
    """Reads `hermes_audit`, newest first."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @patiently
    def page(self, wanted: AuditFilter, behind: AuditPlace | None, limit: int) -> list[AuditEntry]:
        """Up to `limit` entries that match, older than the place `behind`; None: the newest."""
        columns = audit.c
        rows = select(*(columns[name] for name in AuditEntry.__dataclass_fields__))
        for name in AuditFilter.__dataclass_fields__:
            if value := getattr(wanted, name):
                rows = rows.where(columns[name] == value)
        if behind is not None:
            older = or_(columns.at < behind.at, (columns.at == behind.at) & (columns.id < behind.id))
            rows = rows.where(older)
        rows = rows.order_by(columns.at.desc(), columns.id.desc()).limit(limit)
        with reading(self._engine) as connection:
            return [AuditEntry(**row._mapping) for row in connection.execute(rows)]
