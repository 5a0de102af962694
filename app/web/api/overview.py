"""How everything stands, and the tries hour by hour."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from app.domain.users import Role
from app.services.attention import Concern
from app.web.api import shapes
from app.web.api.caller import Caller, needs
from app.web.plots import WEEK, accepted_today

router = APIRouter(tags=["overview"])


class Hours(shapes.Asked):
    """How far back."""

    hours: int = Field(24, ge=1, le=WEEK, description="The hour that runs, and those before it.")


@router.get("/status")
def status(caller: Caller = needs(Role.VIEWER)) -> shapes.Status:
    """How everything stands: per kind and state, what is paused, what needs a person. At most two seconds old."""
    found, now = caller.console.status.get(), caller.gateway.clock.now()
    today = accepted_today(caller.console.tallies.get(), now)
    kinds = [
        shapes.KindStatus(
            kind=each.kind,
            to_send=each.to_send,
            states=each.states,
            accepted_today=today.get(each.kind, 0),
            oldest_due_at=each.oldest_due_at,
            last_scan_at=each.last_scan_at,
            workers=each.workers,
        )
        for each in found.kinds
    ]
    return shapes.Status(
        now=now,
        kinds=kinds,
        concerns=[_concern(each) for each in caller.console.concerns(found, now)],
        circuits=[shapes.Circuit.of(each, now) for each in found.circuits],
        unshipped_log_rows=found.unshipped_log_rows,
        log_store=found.log_store,
    )


@router.get("/tallies")
def tallies(asked: Annotated[Hours, Query()], caller: Caller = needs(Role.VIEWER)) -> shapes.Tallies:
    """How tries ended, by hour and kind: what the overview plots."""
    found = caller.gateway.numbers.hours(asked.hours)
    return shapes.Tallies(hours=[shapes.HourTally.model_validate(each) for each in found])


def _concern(found: Concern) -> shapes.Concern:
    facility = found.circuit.facility if found.circuit else ""
    return shapes.Concern(
        need=found.need.name.lower(),
        count=found.count,
        counts=dict(found.counts),
        kind=found.kind or None,
        facility=facility or None,
        since=found.since,
    )
