"""What is asked of lists, and how their pages come back. Pure values: the SQL is in `app.db.listing`."""

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Generic, TypeVar

from app.domain.deliveries import Delivery
from app.domain.states import State

T = TypeVar("T")

Place = tuple[datetime | date | None, str, str]
"""Where a row stands in a list: its sort value (None: it has none), then what tells rows of one value apart (of a
delivery: code and kind; of an audit entry: its id)."""


class Sort(StrEnum):
    """The orders in which deliveries can be listed."""

    CHANGED = "changed"  # the last change first
    DUE = "due"  # what is due longest first; only deliveries that something happens to by itself
    DATE = "date"  # the latest document date first, those without a date at the end
    CODE = "code"  # A to Z


@dataclass(frozen=True, slots=True)
class Filter:
    """Which deliveries are listed. Empty fields do not narrow; dates are document dates, both inclusive."""

    kind: str | None = None
    states: tuple[State, ...] = ()
    facility: str | None = None
    date_from: date | None = None
    date_to: date | None = None
    error_code: str | None = None
    cause: str | None = None
    """One group of refusals, as `Refusals.groups` names it."""
    ever_failed: bool = False
    """Only deliveries of which a try ever ended in anything but acceptance."""
    code: str | None = None
    """This code and no other."""
    code_prefix: str | None = None
    """Codes that begin so."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Where a page begins: behind `place`, or before it when one pages back; None: at the list's beginning."""

    place: Place | None = None
    backwards: bool = False


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Rows in the list's order, and the cursors of the pages beside them (None: there is none)."""

    rows: tuple[T, ...]
    next: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did what, when and why. `code` is a document's, or a facility's, or a user's, or the name of a replay."""

    id: str
    operation_id: str
    at: datetime
    who: str
    action: str
    kind: str
    code: str
    why: str


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which audit entries are listed. Empty fields do not narrow; `since` is inclusive, `until` is not."""

    who: str | None = None
    action: str | None = None
    kind: str | None = None
    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None


def order_of(wanted: Filter, sort: Sort) -> Sort:
    """The order that a list has: with a period, that of document dates; else the one asked for."""
    return sort if wanted.date_from is None and wanted.date_to is None else Sort.DATE


def place_of(delivery: Delivery, sort: Sort) -> Place:
    """Where a delivery stands in a list of this order."""
    value: dict[Sort, datetime | date | None] = {
        Sort.CHANGED: delivery.updated_at,
        Sort.DUE: delivery.due_at,
        Sort.DATE: delivery.document_date,
        Sort.CODE: None,
    }
    return (value[sort], delivery.code, delivery.kind)
