"""Deliveries: the list, one document with its story, and what may be done about it."""

from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any, Literal, TypeVar

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field, StringConstraints

from app.documents import KINDS
from app.domain.deliveries import Delivery as Found
from app.domain.errors import ErrorCode
from app.domain.listing import Filter, Sort
from app.domain.states import State
from app.domain.stories import Cell, Detail
from app.domain.users import Role
from app.web.api import shapes
from app.web.api.caller import Caller, needs
from app.web.api.description import refuses
from app.web.api.paging import ordered, placed
from app.web.api.problems import Fault, Refusal
from app.web.pages.document import DEEDS, LONGEST_NATIONAL_CODE

router = APIRouter(tags=["deliveries"])

S = TypeVar("S", bound=BaseModel)

MOST_ENTRIES = 100

Kind = Annotated[shapes.Kind, Path(description="Which kind of document.")]
Code = Annotated[str, Path(max_length=200, description="The document's code; a slash in it is written %2F.")]

ACTIONS: Mapping[str, tuple[str, ...]] = {
    "rebuild": ("now", "retry"),
    "resend": ("again",),
    "park": ("park",),
    "resolve": ("accepted", "resend", "reject"),
}
"""What each action is on the document's page."""


class Wanted(shapes.Asked):
    """Which deliveries, in which order; what is left out does not narrow."""

    kind: shapes.Kind | None = None
    state: list[State] = Field([], max_length=len(State), description="In one of these; may be repeated.")
    facility: str | None = Field(None, max_length=50, description="Only of this facility, `ma_co_so`.")
    date_from: shapes.Day | None = Field(None, description="First document date.")
    date_to: shapes.Day | None = Field(None, description="Last document date, inclusive.")
    error_code: ErrorCode | None = Field(None, description="Only with this error code.")
    cause: str | None = Field(None, max_length=100, description="One group of refusals, as the refusals name it.")
    ever_failed: bool = Field(False, description="Only those of which a try ever ended in anything but acceptance.")
    code: str | None = Field(None, max_length=50, description="This code and no other.")
    code_prefix: str | None = Field(None, max_length=50, description="Codes that begin so.")
    sort: Sort = Field(Sort.CHANGED, description="With a period, the order is that of document dates.")

    def filter(self) -> Filter:
        """What it means. Raises Refusal."""
        ordered(self.date_from, self.date_to)
        return Filter(
            kind=self.kind, states=tuple(dict.fromkeys(self.state)), facility=self.facility or None,
            date_from=self.date_from, date_to=self.date_to, error_code=self.error_code, cause=self.cause or None,
            ever_failed=self.ever_failed, code=self.code or None, code_prefix=self.code_prefix or None,
        )  # fmt: skip


class AskedDeliveries(Wanted):
    """A page of them."""

    count: bool = Field(False, description="Whether to count what matches, too.")
    limit: shapes.Limit = 50
    cursor: shapes.Cursor = None


class AskedDocument(shapes.Asked):
    """How much of a document's story."""

    attempts: int = Field(20, ge=0, le=50, description="How many of the latest tries.")
    reveal: bool = Field(False, description="Persons' names in clear: for operators, with a `reason`, audited.")
    reason: str | None = Field(None, max_length=1000, description="Why names are needed; kept in the audit.")


NationalCode = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NATIONAL_CODE, pattern=shapes.VISIBLE),
]


class Resolution(shapes.Asked):
    """What became of a document of which it is unknown whether the partner accepted it."""

    verdict: Literal["accepted", "resend", "reject"] = Field(
        description="The partner has it; send it again under the same key; or the partner does not have it."
    )
    national_code: NationalCode | None = Field(
        None, description="With `accepted`: the number that the partner gave it."
    )
    reason: shapes.Reason


@router.get("/deliveries")
def list_deliveries(
    asked: Annotated[AskedDeliveries, Query()], caller: Caller = needs(Role.VIEWER)
) -> shapes.Deliveries:
    """A page of the list. Follow `next` until it is null: what stays in its place meanwhile is shown once."""
    lists, wanted = caller.gateway.lists, asked.filter()
    with placed():
        found = lists.deliveries(wanted, asked.sort, cursor=asked.cursor, size=asked.limit)
    return shapes.Deliveries(
        deliveries=[shapes.Delivery.model_validate(each) for each in found.rows],
        next=found.next,
        previous=found.previous,
        matching=shapes.Count.model_validate(lists.count(wanted)) if asked.count else None,
    )


@router.get("/deliveries/{kind}/{code:path}", responses=refuses(403, 404))
def show_delivery(
    kind: Kind, code: Code, asked: Annotated[AskedDocument, Query()], caller: Caller = needs(Role.VIEWER)
) -> shapes.Document:
    """Everything about one document: state, next step, tries, the source as it is now, what differs from what was
    sent."""
    if asked.reveal:
        known = _known(caller, kind, code)
        _note_reveal(caller, known, asked)
    story = caller.gateway.stories.tell(KINDS[kind], code, names=asked.reveal)
    if story is None:
        raise Refusal(404, "There is no such delivery. If the source has the document, the next scan takes it up.")
    return _told(story, asked.attempts)


@router.post("/deliveries/{kind}/{code:path}/rebuild", responses=refuses(404, 409))
def rebuild_delivery(kind: Kind, code: Code, act: shapes.Act, caller: Caller = needs(Role.OPERATOR)) -> shapes.Delivery:
    """Build a waiting, rejected or parked document again from the source and send it at once; audited."""
    return _do(caller, kind, code, "rebuild", "retry", act.reason)


@router.post("/deliveries/{kind}/{code:path}/resend", responses=refuses(404, 409))
def resend_delivery(kind: Kind, code: Code, act: shapes.Act, caller: Caller = needs(Role.OPERATOR)) -> shapes.Delivery:
    """Send an accepted document once more, under a new key: the partner gets it a second time; audited."""
    return _do(caller, kind, code, "resend", "again", act.reason)


@router.post("/deliveries/{kind}/{code:path}/park", responses=refuses(404, 409))
def park_delivery(kind: Kind, code: Code, act: shapes.Act, caller: Caller = needs(Role.OPERATOR)) -> shapes.Delivery:
    """Put a queued, waiting or unknown document aside until somebody asks for it; audited."""
    return _do(caller, kind, code, "park", "park", act.reason)


@router.post("/deliveries/{kind}/{code:path}/resolve", responses=refuses(404, 409))
def resolve_delivery(
    kind: Kind, code: Code, what: Resolution, caller: Caller = needs(Role.OPERATOR)
) -> shapes.Delivery:
    """Say what became of a document of unknown outcome; audited."""
    accepted = what.verdict == "accepted"
    if accepted != (what.national_code is not None):
        raise Refusal(422, "", Fault("body.national_code", "It belongs to the verdict accepted, and to no other."))
    more = {"national_code": what.national_code or ""} if accepted else {}
    return _do(caller, kind, code, "resolve", what.verdict, what.reason, **more)


def _do(caller: Caller, kind: str, code: str, action: str, name: str, reason: str, **more: str) -> shapes.Delivery:
    known = _known(caller, kind, code)
    said = {"who": caller.who, "why": reason, **more}
    if action not in _actions(known.state):
        raise Refusal(409, f"The document is {known.state}; nothing was changed.")
    if not DEEDS[name].carry_out(caller.gateway.replay, KINDS[kind], known.code, said):
        raise Refusal(409, "The document is in another state by now; nothing was changed.")
    caller.console.status.forget()
    return shapes.Delivery.model_validate(_known(caller, kind, known.code))


def _known(caller: Caller, kind: str, code: str) -> Found:
    found = caller.gateway.ledger.get(KINDS[kind], code)
    if found is None:
        raise Refusal(404, "There is no such delivery. If the source has the document, the next scan takes it up.")
    return found


def _actions(state: State) -> list[str]:
    return [action for action, deeds in ACTIONS.items() if any(state in DEEDS[name].sources for name in deeds)]


def _note_reveal(caller: Caller, known: Found, asked: AskedDocument) -> None:
    """As on the page: who, of which document, and why; before anything is shown."""
    caller.require(Role.OPERATOR)
    if not asked.reason or not asked.reason.strip():
        raise Refusal(422, "", Fault("query.reason", "Say why names are needed: it is kept in the audit."))
    caller.gateway.audit.note(
        who=caller.who, action="names", kind=known.kind, code=known.code, why=asked.reason.strip()
    )


def _told(story: Detail, attempts: int) -> shapes.Document:
    decimals = KINDS[story.delivery.kind].decimal_columns
    source = shapes.Source(header=_row(story.header), lines=[_row(line, decimals) for line in story.lines])
    return shapes.Document(
        delivery=shapes.Delivery.model_validate(story.delivery),
        next_step=story.next_step,
        actions=_actions(story.delivery.state),
        attempts=_all(shapes.Attempt, story.attempts[max(0, len(story.attempts) - attempts) :]),
        attempts_in_all=len(story.attempts),
        log_complete=story.log_complete,
        audit=[shapes.Deed(**each) for each in story.audit[-MOST_ENTRIES:]],
        source=source if story.in_source else None,
        faults=_all(shapes.SeenFault, story.faults),
        last_faults=_all(shapes.SeenFault, story.last_faults),
        difference=None if story.difference is None else shapes.LastSent.model_validate(story.difference),
    )


def _row(cells: Iterable[Cell], decimals: Collection[str] = ()) -> dict[str, Any]:
    """Column → value; SQLite gives a round amount as an integer."""
    return {
        cell.column: str(cell.value) if cell.column in decimals and isinstance(cell.value, int) else cell.value
        for cell in cells
    }


def _all(shape: type[S], found: Iterable[object]) -> list[S]:
    return [shape.model_validate(each) for each in found]
