"""Who did what, to what, when and why."""

from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response

from app.documents import ALL_KINDS
from app.domain.errors import InputError
from app.domain.listing import AuditFilter
from app.domain.users import Role
from app.web.area import Area
from app.web.formats import ACTIONS
from app.web.language import N_
from app.web.page import Page, requires

router = APIRouter()
AREA = Area(router, path="/audit", label=N_("Audit"))

BAD_PLACE = N_("The address names no place in this list.")
Text = Annotated[str, Query(max_length=100)]
Cursor = Annotated[str, Query(max_length=1000)]


@router.get("/audit")
def audit(
    who: Text = "", action: Text = "", kind: Text = "", code: Text = "", cursor: Cursor = "",
    page: Page = requires(Role.VIEWER),
) -> Response:  # fmt: skip
    """A page of the audit, newest first."""
    given = {"who": who.strip(), "action": action, "kind": kind, "code": code.strip()}
    narrowed = {name: value for name, value in given.items() if value}
    wanted = AuditFilter(who.strip() or None, action or None, kind or None, code.strip() or None)
    try:
        found = page.console.gateway.lists.audit(wanted, cursor=cursor or None)
    except InputError:
        raise InputError(BAD_PLACE) from None
    older = None if found.next is None else f"/audit?{urlencode({**narrowed, 'cursor': found.next})}"
    return page.render(
        "audit.html", entries=found.rows, wanted=given, older=older, first=not cursor,
        actions=list(ACTIONS), kinds=[each.name for each in ALL_KINDS],
    )  # fmt: skip
