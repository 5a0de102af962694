"""Đối soát: did everything of a period arrive? Per day, facility and kind, down to the codes, and as a workbook."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from tempfile import TemporaryFile
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response

from app.core.clock import local
from app.documents import ALL_KINDS, KINDS, DocumentKind
from app.domain.errors import InputError
from app.domain.reconciliation import DayBalance, Fate, latest_first, total
from app.domain.users import Role
from app.services.export import balance_export
from app.services.reconcile import LONGEST_DAYS
from app.web.area import Area
from app.web.asked import day_of, kind_of
from app.web.files import XLSX, attachment, pieces
from app.web.language import N_
from app.web.page import Page, requires

router = APIRouter()
AREA = Area(router, path="/reconciliation", label=N_("Reconciliation"))

USUAL_DAYS = 7
ROWS = 50
CODES = 100
UNDATED = "undated"

Day = Annotated[str, Query(max_length=10)]
Name = Annotated[str, Query(max_length=50)]
Skip = Annotated[int, Query(ge=0, le=10_000_000)]


@dataclass(frozen=True, slots=True)
class Period:
    """What is reconciled."""

    first: date
    last: date
    facility: str
    kinds: Sequence[DocumentKind]
    kind: str
    open_only: bool

    def address(self, path: str, **more: str) -> str:
        """An address of the same period."""
        asked = {"date_from": self.first.isoformat(), "date_to": self.last.isoformat()}
        asked |= {"facility": self.facility, "kind": self.kind, "open_only": "true" if self.open_only else ""}
        return f"{path}?{urlencode({name: value for name, value in (asked | more).items() if value})}"


@router.get("/reconciliation")
def reconciliation(
    date_from: Day = "", date_to: Day = "", facility: Name = "", kind: Name = "", open_only: bool = False,
    skip: Skip = 0, page: Page = requires(Role.VIEWER),
) -> Response:  # fmt: skip
    """The figures of a period, the last seven days unless others are named."""
    period = _period(page, date_from, date_to, facility, kind, open_only)
    found = _balances(page, period)
    rows = [each for each in found if each.is_open or not open_only]
    if skip and skip >= len(rows):
        raise InputError("The address names no place in this list.")
    end = skip + ROWS
    return page.render(
        "reconciliation.html",
        period=period,
        rows=rows[skip:end],
        count=len(rows),
        first=skip,
        sums=total(found),
        by_kind=[(each.name, total(row for row in found if row.kind == each.name)) for each in period.kinds],
        fates=list(Fate),
        kinds=[each.name for each in ALL_KINDS],
        behind=_behind,
        workbook=period.address("/reconciliation.xlsx"),
        begin=period.address("/reconciliation") if skip else None,
        further=period.address("/reconciliation", skip=str(end)) if end < len(rows) else None,
    )


@router.get("/reconciliation.xlsx")
def workbook(
    date_from: Day = "", date_to: Day = "", facility: Name = "", kind: Name = "", open_only: bool = False,
    page: Page = requires(Role.VIEWER),
) -> Response:  # fmt: skip
    """All of it for the inspector, in the reader's language."""
    period = _period(page, date_from, date_to, facility, kind, open_only)
    found = _balances(page, period)
    file = TemporaryFile()  # noqa: SIM115  closed when it is sent
    balance_export(page.language).xlsx((each for each in found if each.is_open or not open_only), file)
    return attachment(pieces(file), f"doi-soat_{period.first}_{period.last}.xlsx", XLSX)


@router.get("/reconciliation/{kind}/{day}/{fate}")
def documents(
    kind: str, day: str, fate: str, facility: Name = "", after: Annotated[str, Query(max_length=100)] = "",
    page: Page = requires(Role.VIEWER),
) -> Response:  # fmt: skip
    """The documents behind one figure, by code."""
    wanted, meant = kind_of(kind), _fate(fate)
    if wanted is None:
        raise InputError("There is no such kind of document.")
    when = None if day == UNDATED else day_of(day)
    found = page.console.gateway.reconcile.documents(wanted, when, facility, meant, after=after, limit=CODES + 1)
    here = _behind(DayBalance(wanted.name, when, facility), meant)
    return page.render(
        "reconciled.html",
        kind=wanted.name,
        day_meant=when,
        facility=facility,
        fate=meant,
        documents=found[:CODES],
        begin=here if after else None,
        further=f"{here}&{urlencode({'after': found[CODES - 1].code})}" if len(found) > CODES else None,
    )


def _period(page: Page, date_from: str, date_to: str, facility: str, kind: str, open_only: bool) -> Period:
    last = day_of(date_to) or local(page.now).date()
    first = day_of(date_from) or last - timedelta(days=USUAL_DAYS - 1)
    if first > last:
        raise InputError("The first day is after the last.")
    if (last - first).days >= LONGEST_DAYS:
        raise InputError("A reconciliation covers at most 366 days.")
    wanted = kind_of(kind)
    return Period(first, last, facility.strip(), ALL_KINDS if wanted is None else [wanted], kind, open_only)


def _balances(page: Page, period: Period) -> list[DayBalance]:
    service = page.console.gateway.reconcile
    return latest_first(service.balances(period.kinds, period.first, period.last, period.facility or None), list(KINDS))


def _behind(balance: DayBalance, fate: Fate) -> str:
    day = UNDATED if balance.day is None else balance.day.isoformat()
    return f"/reconciliation/{balance.kind}/{day}/{fate}?facility={quote(balance.facility, safe='')}"


def _fate(text: str) -> Fate:
    if text not in set(Fate):
        raise InputError("There is no such figure in a reconciliation.")
    return Fate(text)
