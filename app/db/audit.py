"""`hermes_audit`: who did what to which document, and why; written in the transaction that does it."""

from collections.abc import Iterable
from datetime import datetime
from uuid import uuid4

from sqlalchemy import Connection, insert

from app.db.nvarchar import cut
from app.db.tables import audit

_LONGEST_NAME = 100
_LONGEST_REASON = 1000


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
