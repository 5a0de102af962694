"""All deliveries: found by what is known of them, paged, and taken along as CSV or XLSX. The filter is the address."""

from datetime import date
from tempfile import TemporaryFile
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from app.core.clock import local
from app.documents import ALL_KINDS, KINDS
from app.domain.deliveries import Delivery
from app.domain.errors import ErrorCode, InputError
from app.domain.listing import Filter, Sort, order_of
from app.domain.listing import Page as Rows
from app.domain.states import State
from app.domain.users import Role
from app.services.export import delivery_export
from app.web.area import Area
from app.web.files import CSV, XLSX, attachment, pieces
from app.web.language import N_
from app.web.page import Page, requires

router = APIRouter()
AREA = Area(router, path="/deliveries", label=N_("Deliveries"))

PAGE_SIZE = 36
SORTS = {
    Sort.CHANGED: N_("last changed first"),
    Sort.DUE: N_("longest due first"),
    Sort.DATE: N_("latest document date first"),
    Sort.CODE: N_("by code"),
}


class Asked(BaseModel):
    """What the address asks for, as it is written there; whatever is empty does not narrow."""

    kind: str = Field("", max_length=50)
    state: list[str] = Field([], max_length=len(State))
    facility: str = Field("", max_length=50)
    first: str = Field("", max_length=10, alias="from")
    last: str = Field("", max_length=10, alias="to")
    error: str = Field("", max_length=50)
    cause: str = Field("", max_length=100)
    failed: str = Field("", max_length=1)
    code: str = Field("", max_length=50)
    match: str = Field("", max_length=10)
    sort: str = Field("", max_length=10)
    cursor: str = Field("", max_length=2000)

    def filter(self) -> Filter:
        """What it means. Raises InputError."""
        if self.kind and self.kind not in KINDS:
            raise InputError("There is no such kind of document.")
        first, last = _day(self.first), _day(self.last)
        if first and last and first > last:
            raise InputError("The first date is after the last.")
        code, exact = self.code.strip(), self.match == "exact"
        return Filter(
            kind=self.kind or None, states=self._states(), facility=self.facility.strip() or None, date_from=first,
            date_to=last, error_code=self.error.strip() or None, cause=self.cause or None,
            ever_failed=bool(self.failed), code=code if code and exact else None,
            code_prefix=code if code and not exact else None,
        )  # fmt: skip

    def order(self) -> Sort:
        """The order asked for."""
        return Sort(self.sort) if self.sort in set(Sort) else Sort.CHANGED

    def query(self, **others: str) -> str:
        """This as an address's query, without the place in the list."""
        given = self.model_dump(by_alias=True, exclude={"cursor"}) | others
        return urlencode({name: value for name, value in given.items() if value}, doseq=True)

    def _states(self) -> tuple[State, ...]:
        named = [name for name in self.state if name]
        if not set(named) <= set(State):
            raise InputError("There is no such state.")
        return tuple(dict.fromkeys(State(name) for name in named))


Given = Annotated[Asked, Query()]


@router.get("/deliveries")
def deliveries(asked: Given, page: Page = requires(Role.VIEWER)) -> Response:
    """A page of the list."""
    lists = page.console.gateway.lists
    try:
        wanted = asked.filter()
        rows = _rows(page, asked, wanted)
    except InputError as error:
        return _show(page, asked, Filter(), Rows((), None, None), 422, fault=page.say(str(error)))
    counted = None if asked.order() is Sort.DUE else lists.count(wanted)
    return _show(page, asked, wanted, rows, counted=counted)


@router.get("/deliveries.csv")
def as_csv(asked: Given, page: Page = requires(Role.VIEWER)) -> Response:
    """All of the list as CSV, piece by piece."""
    found = page.console.gateway.lists.each_delivery(asked.filter(), asked.order())
    return attachment(delivery_export(page.language).csv(found), _name(page, "csv"), CSV)


@router.get("/deliveries.xlsx")
def as_xlsx(asked: Given, page: Page = requires(Role.VIEWER)) -> Response:
    """All of the list as a workbook: written to a file without a name, then sent piece by piece."""
    found = page.console.gateway.lists.each_delivery(asked.filter(), asked.order())
    file = TemporaryFile()  # noqa: SIM115  closed when it has been sent
    delivery_export(page.language).xlsx(found, file)
    return attachment(pieces(file), _name(page, "xlsx"), XLSX)


def _rows(page: Page, asked: Asked, wanted: Filter) -> Rows[Delivery]:
    try:
        return page.console.gateway.lists.deliveries(wanted, asked.order(), cursor=asked.cursor or None, size=PAGE_SIZE)
    except InputError:  # all else was checked: it is the cursor
        raise InputError("The address names no place in this list.") from None


def _show(page: Page, asked: Asked, wanted: Filter, rows: Rows[Delivery], status: int = 200, **values: Any) -> Response:
    def turn(cursor: str | None) -> str | None:
        return None if cursor is None else f"/deliveries?{asked.query(cursor=cursor)}"

    return page.render(
        "deliveries.html", status, rows=rows.rows, asked=asked, narrowed=wanted != Filter(), query=asked.query(),
        newer=turn(rows.previous), older=turn(rows.next), first=not asked.cursor, states=list(State), sorts=SORTS,
        kinds=[each.name for each in ALL_KINDS], order=order_of(wanted, asked.order()), errors=list(ErrorCode),
        **({"fault": "", "counted": None} | values),
    )  # fmt: skip


def _name(page: Page, ending: str) -> str:
    return f"hermes-{local(page.now):%Y%m%d-%H%M}.{ending}"


def _day(written: str) -> date | None:
    if not written.strip():
        return None
    try:
        return date.fromisoformat(written.strip())
    except ValueError:
        raise InputError("A date is written year-month-day, for instance 2026-11-24.") from None
