"""Đối soát: did everything of a period arrive? Per day, facility and kind, down to the codes."""

from bisect import bisect_right
from datetime import date, timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from app.core.clock import local
from app.documents import ALL_KINDS, KINDS
from app.domain.listing import Place
from app.domain.reconciliation import DayBalance, Fate, latest_first, rank, total
from app.domain.users import Role
from app.services.cursor import read_cursor, write_cursor
from app.web.api import shapes
from app.web.api.caller import Caller, needs
from app.web.api.paging import ordered, placed
from app.web.api.problems import Fault, Refusal
from app.web.pages.reconciliation import UNDATED, USUAL_DAYS

router = APIRouter(tags=["reconciliation"])


class Period(shapes.Asked):
    """What is reconciled: the last seven days unless others are named, 366 at most."""

    date_from: shapes.Day | None = Field(None, description="First document date.")
    date_to: shapes.Day | None = Field(None, description="Last document date, inclusive.")
    facility: str | None = Field(None, max_length=50, description="Only of this facility.")
    kind: shapes.Kind | None = None
    open_only: bool = Field(False, description="Only rows in which something is missing or gone.")

    def days(self, today: date) -> tuple[date, date]:
        """The first and the last. Raises Refusal."""
        last = self.date_to or today
        first = self.date_from or last - timedelta(days=USUAL_DAYS - 1)
        ordered(first, last)
        return first, last


class AskedReconciliation(Period):
    """A page of it."""

    limit: shapes.Limit = 50
    cursor: shapes.Cursor = None


class Figure(shapes.Asked):
    """Which documents behind a figure."""

    facility: str = Field(max_length=50, description="Of which facility.")
    after: str = Field("", max_length=100, description="Those behind this code: `next` of another page.")
    limit: shapes.Limit = 100


@router.get("/reconciliation")
def reconcile(
    asked: Annotated[AskedReconciliation, Query()], caller: Caller = needs(Role.VIEWER)
) -> shapes.Reconciliation:
    """What the source has per day, facility and kind, and what became of it."""
    first, last = asked.days(today(caller))
    found = balances(caller, asked, first, last)
    rows = [each for each in found if each.is_open or not asked.open_only]
    listing = (first, last, asked.facility, asked.kind, asked.open_only)
    begin = _begin(rows, listing, asked.cursor)
    page, more = rows[begin : begin + asked.limit], len(rows) > begin + asked.limit
    sums = total(found)
    return shapes.Reconciliation(
        date_from=first,
        date_to=last,
        total=shapes.Sums.model_validate(sums),
        settled=sums.settled,
        rows=[shapes.Balance.model_validate(each) for each in page],
        next=write_cursor(listing, _place(page[-1]), backwards=False) if more else None,
    )


@router.get("/reconciliation/{kind}/{day}/{fate}")
def list_reconciled(
    kind: Annotated[shapes.Kind, Path()],
    day: Annotated[str, Path(pattern=rf"^({UNDATED}|(19|20|21)\d\d-\d\d-\d\d)$", description="A day, or `undated`.")],
    fate: Annotated[Fate, Path(description="Which figure.")],
    asked: Annotated[Figure, Query()],
    caller: Caller = needs(Role.VIEWER),
) -> shapes.Behind:
    """The documents behind one figure, by code."""
    when = None if day == UNDATED else _day(day)
    found = caller.gateway.reconcile.documents(
        KINDS[kind], when, asked.facility, fate, after=asked.after, limit=asked.limit + 1
    )
    shown = found[: asked.limit]
    return shapes.Behind(
        kind=kind,
        day=when,
        facility=asked.facility,
        fate=fate,
        documents=[shapes.Reconciled.model_validate(each) for each in shown],
        next=shown[-1].code if len(found) > len(shown) else None,
    )


def today(caller: Caller) -> date:
    """The day in Viet Nam."""
    return local(caller.gateway.clock.now()).date()


def balances(caller: Caller, asked: Period, first: date, last: date) -> list[DayBalance]:
    """All rows of a period, as they are shown."""
    kinds = ALL_KINDS if asked.kind is None else [KINDS[asked.kind]]
    return latest_first(caller.gateway.reconcile.balances(kinds, first, last, asked.facility or None), list(KINDS))


def _day(written: str) -> date:
    try:
        return date.fromisoformat(written)
    except ValueError:
        raise Refusal(422, "", Fault("path.day", "There is no such day.")) from None


def _place(row: DayBalance) -> Place:
    return (row.day, row.facility, row.kind)


def _begin(rows: list[DayBalance], listing: object, cursor: str | None) -> int:
    """Where the page begins: behind the row that the cursor names, or behind where it would stand."""
    with placed():
        place = read_cursor(listing, cursor).place
    if place is None:
        return 0
    day, facility, kind = place
    if kind not in KINDS:
        raise Refusal(422, "", Fault("query.cursor", "This is no place in a list. Begin at the list's first page."))
    before, order = DayBalance(kind, day if isinstance(day, date) else None, facility), list(KINDS)
    return bisect_right(rows, rank(before, order), key=lambda each: rank(each, order))
