"""Why documents are refused: by cause, with where, since when, how it goes, and the way to send them again."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response

from app.domain.errors import InputError
from app.domain.refusals import DayCount, RefusalGroup
from app.domain.users import Role
from app.web.area import Area
from app.web.charts import Bars, stacked
from app.web.language import N_
from app.web.page import Page, requires

router = APIRouter()
AREA = Area(router, path="/errors", label=N_("Refusals"))

SHOWN = 20
TREND_HEIGHT = 40


@dataclass(frozen=True, slots=True)
class Cause:
    """A group as the page shows it. `listed`: the address of its documents; `again`: of sending them again."""

    group: RefusalGroup
    trend: list[DayCount]
    bars: Bars
    listed: str
    again: str


@router.get("/errors")
def refusals(skip: Annotated[int, Query(ge=0, le=1000)] = 0, page: Page = requires(Role.VIEWER)) -> Response:
    """The causes, the largest group first, twenty to a page."""
    found = page.console.refusals.get()
    if skip and skip >= len(found.groups):
        raise InputError("The address names no place in this list.")
    end = skip + SHOWN
    return page.render(
        "refusals.html",
        causes=[_cause(page, group) for group in found.groups[skip:end]],
        total=len(found.groups),
        complete=found.complete,
        first=skip,
        further=f"/errors?skip={end}" if end < len(found.groups) else None,
        may_replay=page.user.role.includes(Role.OPERATOR),
    )


def _cause(page: Page, group: RefusalGroup) -> Cause:
    trend = page.console.gateway.refusals.trend(group.cause)
    return Cause(
        group=group,
        trend=trend,
        bars=stacked({"days": [each.documents.count for each in trend]}, TREND_HEIGHT),
        listed=f"/deliveries?{urlencode({'error': group.error_code, 'cause': group.cause})}",
        again=f"/replays/new?{urlencode({'cause': group.cause})}",
    )
