"""The overview: does everything travel, what does not, since when, and what to press."""

from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import Response

from app.domain.states import State
from app.domain.users import Role
from app.services.attention import Need
from app.services.health import Status
from app.web.area import Area
from app.web.language import N_
from app.web.page import Page, requires
from app.web.plots import OUTCOMES, accepted_today, plots

router = APIRouter()
AREA = Area(router, path="/", label=N_("Overview"))

STATES = (State.QUEUED, State.SENDING, State.WAITING, State.UNKNOWN, State.REJECTED, State.PARKED, State.ACCEPTED)
REFRESH_SECONDS = 10


@router.get("/")
def overview(page: Page = requires(Role.VIEWER)) -> Response:
    """The whole page."""
    return page.render("overview.html", **_figures(page), refresh_seconds=REFRESH_SECONDS)


@router.get("/overview")
def refreshed(page: Page = requires(Role.VIEWER)) -> Response:
    """What changes on it, for the page to take up."""
    return page.render("overview_figures.html", **_figures(page))


@router.post("/circuits/resume")
def resume(
    facility: Annotated[str, Form(max_length=50)] = "",
    why: Annotated[str, Form(max_length=1000)] = "",
    page: Page = requires(Role.OPERATOR),
) -> Response:
    """End a pause, whoever or whatever began it."""
    page.console.gateway.replay.resume(facility, who=page.user.name, why=why.strip())
    page.console.status.forget()
    return page.redirect("/")


def _figures(page: Page) -> dict[str, Any]:
    status: Status = page.console.status.get()
    totals = {state: sum(each.states.get(state, 0) for each in status.kinds) for state in STATES}
    tallies = page.console.tallies.get()
    last_day, last_week = plots(tallies, page.now)
    today = accepted_today(tallies, page.now)
    return {
        "status": status,
        "plots": (("day", last_day), ("week", last_week)),
        "outcomes": OUTCOMES,
        "today": today,
        "together_today": sum(today.values()),
        "states": STATES,
        "totals": totals,
        "to_send": sum(each.to_send for each in status.kinds),
        "concerns": page.console.concerns(status, page.now),
        "first_calm": Need.UNKNOWN_HELD,
        "Need": Need,
        "State": State,
        "may_resume": page.user.role.includes(Role.OPERATOR),
    }
