"""The audit as it is read: entries, what narrows them, and places between them. Frozen; times are aware, in UTC."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, to what, and why."""

    id: str
    at: datetime
    who: str
    action: str
    kind: str
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which entries are wanted. Empty fields do not narrow."""

    who: str = ""
    action: str = ""
    kind: str = ""
    code: str = ""


@dataclass(frozen=True, slots=True)
class AuditPlace:
    """Where a page of the audit ended."""

    at: datetime
    id: str
