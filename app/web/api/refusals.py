"""Why documents are refused, by cause."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import Field

from app.domain.users import Role
from app.web.api import shapes
from app.web.api.caller import Caller, needs

router = APIRouter(tags=["refusals"])

Cause = Annotated[str, Path(max_length=100, description="As `list_refusals` names it.")]


class Days(shapes.Asked):
    """How far back."""

    days: int = Field(14, ge=1, le=90, description="Today, and the days before it.")


@router.get("/refusals")
def list_refusals(caller: Caller = needs(Role.VIEWER)) -> shapes.Refusals:
    """What is rejected, parked, or unknown and awaits a person, by cause, 200 causes at most; at most ten
    seconds old."""
    return shapes.Refusals.model_validate(caller.console.refusals.get())


@router.get("/refusals/{cause}/trend")
def refusal_trend(cause: Cause, asked: Annotated[Days, Query()], caller: Caller = needs(Role.VIEWER)) -> shapes.Trend:
    """How many of a cause were last changed on which day; zeros for a cause that nothing has."""
    found = caller.gateway.refusals.trend(cause, asked.days)
    return shapes.Trend(cause=cause, days=[shapes.DayCount.model_validate(each) for each in found])
