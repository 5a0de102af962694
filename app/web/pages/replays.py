"""Bulk replays: freeze what is to be sent again, watch it, pause, resume and abort it."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Form, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field

from app.documents import ALL_KINDS
from app.domain.deliveries import Selection
from app.domain.errors import InputError
from app.domain.listing import Filter
from app.domain.numbers import AtLeast
from app.domain.replays import Pace, Progress, ReplayState
from app.domain.states import OPERATOR_RETRY, State
from app.domain.users import Role
from app.web.area import Area
from app.web.asked import day_of, kind_of, state_of
from app.web.language import N_
from app.web.page import Page, requires

router = APIRouter(prefix="/replays")
AREA = Area(router, path="/replays", label=N_("Replays"))

REFRESH_SECONDS = 5
SHOWN = 50
USUAL_PACE = 60
STATES = (State.REJECTED, State.PARKED, State.UNKNOWN, State.WAITING, State.ACCEPTED)
COUNTS = ("waiting", "under_way", "accepted", "refused", "skipped")
STEPS = ("pause", "resume", "abort")

Name = Annotated[str, Query(max_length=300)]


class Choice(BaseModel):
    """Which documents are meant: in the address while choosing, in the form when it is done."""

    kind: str = Field("", max_length=50)
    state: str = Field("", max_length=20)
    error_code: str = Field("", max_length=100)
    cause: str = Field("", max_length=64)
    facility: str = Field("", max_length=50)
    date_from: str = Field("", max_length=10)
    date_to: str = Field("", max_length=10)

    def selection(self) -> Selection:
        """The same as values. Raises InputError."""
        kind = kind_of(self.kind)
        first, last = day_of(self.date_from), day_of(self.date_to)
        if first is not None and last is not None and first > last:
            raise InputError("The first day is after the last.")
        return Selection(
            kind=None if kind is None else kind.name,
            state=state_of(self.state),
            error_code=self.error_code.strip() or None,
            cause=self.cause or None,
            facility=self.facility.strip() or None,
            date_from=first,
            date_to=last,
        )


class Order(Choice):
    """A replay as the form orders it."""

    name: str = Field("", max_length=300)
    why: str = Field("", max_length=1000)
    per_minute: int | None = None
    while_queued: int | None = None
    confirmed: bool = False
    accepted_again: bool = False

    def check(self, selection: Selection) -> None:
        """Raise InputError for what a form of ours would not send."""
        if not self.why.strip():
            raise InputError("Say why: it is kept in the audit.")
        if not self.confirmed:
            raise InputError("Tick that these documents are to be sent again.")
        if selection.state is State.ACCEPTED and not self.accepted_again:
            raise InputError("Accepted documents are sent again only when the second box is ticked, too.")
        if selection.state is State.ACCEPTED and not (selection.date_from and selection.date_to):
            raise InputError("Name the days of the accepted documents that are to be sent again.")


@router.get("")
def replays(page: Page = requires(Role.VIEWER)) -> Response:
    """The latest replays."""
    found = page.console.gateway.replays.all()
    return page.render(
        "replays.html", replays=found[:SHOWN], total=len(found), address=_address,
        may_replay=page.user.role.includes(Role.OPERATOR),
    )  # fmt: skip


@router.get("/new")
def choose(choice: Annotated[Choice, Query()], page: Page = requires(Role.OPERATOR)) -> Response:
    """Choose what is to be sent again, see how much it is, and name it."""
    return _show_new(page, Order(**choice.model_dump(), per_minute=USUAL_PACE))


@router.post("")
def create(order: Annotated[Order, Form()], page: Page = requires(Role.OPERATOR)) -> Response:
    """Freeze the set; scans then send it."""
    try:
        selection = order.selection()
        order.check(selection)
        made = page.console.gateway.replays.create(
            order.name,
            selection,
            Pace(order.per_minute, order.while_queued),
            who=page.user.name,
            why=order.why.strip(),
            accepted_again=selection.state is State.ACCEPTED,
        )
    except InputError as error:
        return _show_new(page, order, 422, str(error))
    return page.redirect(_address(made.name))


@router.get("/one")
def one(
    name: Name = "", after: Annotated[int, Query(ge=0, le=2**31)] = 0, page: Page = requires(Role.VIEWER)
) -> Response:
    """One replay with its documents."""
    return _show_one(page, name, after)


@router.get("/progress")
def progress(name: Name = "", page: Page = requires(Role.VIEWER)) -> Response:
    """What changes on it, for the page to take up."""
    return page.render("replay_progress.html", **_progress(page, _found(page, name)))


@router.post("/{step}")
def steer(
    step: str,
    name: Annotated[str, Form(max_length=300)] = "",
    why: Annotated[str, Form(max_length=1000)] = "",
    page: Page = requires(Role.OPERATOR),
) -> Response:
    """Pause, resume or abort; audited."""
    if step not in STEPS:
        raise InputError("A replay can be paused, resumed and aborted.")
    found = _found(page, name)
    if not why.strip():
        return _show_one(page, name, 0, 422, N_("Say why: it is kept in the audit."))
    service = page.console.gateway.replays
    change = {"pause": service.pause, "resume": service.resume, "abort": service.abort}[step]
    if not change(found.replay.name, who=page.user.name, why=why.strip()):
        return _show_one(page, name, 0, 422, N_("Nothing was changed: the replay is not in that state any more."))
    return page.redirect(_address(found.replay.name))


def _address(name: str, after: int = 0) -> str:
    return f"/replays/one?{urlencode({'name': name} | ({'after': str(after)} if after else {}))}"


def _found(page: Page, name: str) -> Progress:
    found = page.console.gateway.replays.progress(name)
    if found is None:
        raise InputError("There is no replay of that name.")
    return found


def _show_one(page: Page, name: str, after: int, status: int = 200, fault: str = "") -> Response:
    found = _found(page, name)
    items = page.console.gateway.replays.items(found.replay.name, after, SHOWN + 1)
    return page.render(
        "replay.html",
        status,
        **_progress(page, found),
        items=items[:SHOWN],
        further=_address(found.replay.name, items[SHOWN - 1].position) if len(items) > SHOWN else None,
        begin=_address(found.replay.name) if after else None,
        poll=f"/replays/progress?{urlencode({'name': found.replay.name})}",
        refresh_seconds=REFRESH_SECONDS,
        fault=page.say(fault) if fault else "",
    )


def _progress(page: Page, found: Progress) -> dict[str, Any]:
    state = found.replay.state
    steps = {ReplayState.RUNNING: ("pause", "abort"), ReplayState.PAUSED: ("resume", "abort")}.get(state, ())
    return {
        "found": found,
        "replay": found.replay,
        "counts": [(name, getattr(found, name)) for name in COUNTS],
        "steps": steps if page.user.role.includes(Role.OPERATOR) else (),
    }


def _show_new(page: Page, order: Order, status: int = 200, fault: str = "") -> Response:
    matching, unknown = AtLeast(0, True), AtLeast(0, True)
    narrowed = False
    try:
        selection = order.selection()
        narrowed = selection != Selection()
        if narrowed:
            matching, unknown = _count(page, selection), _count_unknown(page, selection)
    except InputError as error:
        status, fault = 422, fault or str(error)
    return page.render(
        "replay_new.html",
        status,
        order=order,
        fields=Choice.model_fields,
        narrowed=narrowed,
        cause=_cause_in_words(page, order.cause),
        matching=matching,
        unknown=unknown,
        fault=page.say(fault) if fault else "",
        kinds=[each.name for each in ALL_KINDS],
        states=STATES,
    )


def _cause_in_words(page: Page, cause: str) -> str:
    groups = page.console.refusals.get().groups if cause else ()
    return next((each.message for each in groups if each.cause == cause and each.message), cause)


def _count(page: Page, selection: Selection) -> AtLeast:
    states = tuple(sorted(OPERATOR_RETRY.sources)) if selection.state is None else (selection.state,)
    return page.console.gateway.lists.count(_filter(selection, states))


def _count_unknown(page: Page, selection: Selection) -> AtLeast:
    if selection.state not in (None, State.UNKNOWN):
        return AtLeast(0, True)
    return page.console.gateway.lists.count(_filter(selection, (State.UNKNOWN,)))


def _filter(selection: Selection, states: tuple[State, ...]) -> Filter:
    return Filter(
        kind=selection.kind,
        states=states,
        facility=selection.facility,
        date_from=selection.date_from,
        date_to=selection.date_to,
        error_code=selection.error_code,
        cause=selection.cause,
    )
