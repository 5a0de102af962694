"""Who did what, to what, when and why."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.domain.listing import AuditFilter
from app.domain.users import Role
from app.web.api import shapes
from app.web.api.caller import Caller, needs
from app.web.api.paging import placed

router = APIRouter(tags=["audit"])


class AskedAudit(shapes.Asked):
    """Which entries; what is left out does not narrow."""

    who: str | None = Field(None, max_length=100, description="Only by this person, or token: `lan/1a2b3c4d`.")
    action: str | None = Field(None, max_length=40, description="Only this action, for instance `retry`.")
    kind: shapes.Kind | None = None
    code: str | None = Field(None, max_length=50, description="Only this document, facility, user, token or replay.")
    since: shapes.GivenMoment | None = Field(None, description="Not before this moment.")
    until: shapes.GivenMoment | None = Field(None, description="Before this moment.")
    limit: shapes.Limit = 50
    cursor: shapes.Cursor = None


@router.get("/audit")
def list_audit(asked: Annotated[AskedAudit, Query()], caller: Caller = needs(Role.VIEWER)) -> shapes.Audit:
    """A page of the audit, the latest first."""
    wanted = AuditFilter(asked.who, asked.action, asked.kind, asked.code, asked.since, asked.until)
    with placed():
        found = caller.gateway.lists.audit(wanted, cursor=asked.cursor, size=asked.limit)
    entries = [shapes.AuditEntry.model_validate(each) for each in found.rows]
    return shapes.Audit(entries=entries, next=found.next, previous=found.previous)
