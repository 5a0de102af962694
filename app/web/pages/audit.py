"""Who did what, to what, when and why."""

from datetime import UTC, datetime
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query
from fastapi.responses import Response

from app.documents import ALL_KINDS
from app.domain.audit import AuditEntry, AuditFilter, AuditPlace
from app.domain.errors import InputError
from app.domain.users import Role
from app.web.area import Area
from app.web.formats import ACTIONS
from app.web.language import N_
from app.web.page import Page, requires

router = APIRouter()
AREA = Area(router, path="/audit", label=N_("Audit"))

ROWS = 50
BAD_PLACE = N_("The address names no place in this list.")
Text = Annotated[str, Query(max_length=100)]


@router.get("/audit")
def audit(
    who: Text = "", action: Text = "", kind: Text = "", code: Text = "", behind: Text = "",
    page: Page = requires(Role.VIEWER),
) -> Response:  # fmt: skip
    """A page of the audit, newest first."""
    wanted = AuditFilter(who=who.strip(), action=action, kind=kind, code=code.strip())
    try:
        place = _place(behind) if behind else None
    except ValueError:
        raise InputError(BAD_PLACE) from None
    found = page.console.gateway.audit.page(wanted, place, ROWS + 1)
    older = _address(wanted, found[ROWS - 1]) if len(found) > ROWS else None
    return page.render(
        "audit.html", entries=found[:ROWS], wanted=wanted, older=older, first=place is None,
        actions=list(ACTIONS), kinds=[each.name for each in ALL_KINDS],
    )  # fmt: skip


def _place(text: str) -> AuditPlace:
    """`2026-11-20T01:00:00+00:00~id`. Raises ValueError."""
    at, _, entry_id = text.partition("~")
    moment = datetime.fromisoformat(at)
    if moment.tzinfo is None:
        raise ValueError("a moment without its offset")
    try:
        return AuditPlace(moment.astimezone(UTC), entry_id)
    except OverflowError as error:
        raise ValueError("not a moment") from error


def _address(wanted: AuditFilter, last: AuditEntry) -> str:
    names = AuditFilter.__dataclass_fields__
    given = {name: getattr(wanted, name) for name in names if getattr(wanted, name)}
    return f"/audit?{urlencode({**given, 'behind': f'{last.at.isoformat()}~{last.id}'})}"
