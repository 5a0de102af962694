"""What goes over the wire: named, described and bounded. Nothing is decided here."""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from app.documents import KINDS
from app.domain.circuit import FOR_EVER
from app.domain.circuit import Circuit as OpenCircuit
from app.domain.reconciliation import Fate
from app.domain.replays import ReplayState, Step
from app.domain.states import State
from app.domain.stories import NextStep
from app.domain.users import Role
from app.services.attention import Need

# ---- values ---------------------------------------------------------------------------------------------

_DAY = r"^(19|20|21)\d\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])$"
_MOMENT = re.compile(r"(19|20|21)\d\d-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


def _kind(name: str) -> str:
    if name not in KINDS:
        raise ValueError(f"there is no such kind of document; kinds: {', '.join(KINDS)}")
    return name


def _day(given: object) -> object:
    """Only `2026-11-24`: left alone, pydantic would take a number for seconds since 1970."""
    if given is None or isinstance(given, date):
        return given
    if not isinstance(given, str) or not re.fullmatch(_DAY, given, re.ASCII):
        raise ValueError("a day is written year-month-day: 2026-11-24")
    return given


def _moment(given: object) -> object:
    if given is None or isinstance(given, datetime):
        return given
    if not isinstance(given, str) or not _MOMENT.fullmatch(given):
        raise ValueError("a moment is written with its offset: 2026-11-24T08:00:00+07:00; in an address, + is %2B")
    return given


def text(value: str) -> str:
    """A text as JSON can carry it: half a character becomes a question mark."""
    return value.encode("utf-8", "replace").decode()


def value(given: Any) -> Any:
    """A value of the source or of the log as JSON: decimals as strings with every digit, times as they are there."""
    if isinstance(given, str):
        return text(given)
    if isinstance(given, Mapping):
        return {text(str(name)): value(each) for name, each in given.items()}
    if isinstance(given, list | tuple):
        return [value(each) for each in given]
    if isinstance(given, date):
        return given.isoformat()
    if given is None or isinstance(given, bool | int):
        return given
    return format(Decimal(str(given)), "f") if isinstance(given, Decimal | float) else text(str(given))


Kind = Annotated[
    str,
    AfterValidator(_kind),
    WithJsonSchema({"type": "string", "enum": list(KINDS), "description": "The kind of document."}),
]
Day = Annotated[
    date,
    BeforeValidator(_day),
    WithJsonSchema({"type": "string", "format": "date", "pattern": _DAY, "examples": ["2026-11-24"]}, "validation"),
]
GivenMoment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": f"^{_MOMENT.pattern}$"}, "validation"),
]
Moment = Annotated[
    datetime,
    PlainSerializer(lambda moment: moment.astimezone(UTC).isoformat()),
    WithJsonSchema(
        {"type": "string", "format": "date-time", "examples": ["2026-11-24T01:00:00+00:00"]}, "serialization"
    ),
]
Text = Annotated[str, BeforeValidator(lambda given: text(given) if isinstance(given, str) else given)]
Value = Annotated[Any, BeforeValidator(value)]
VISIBLE = r"[^\s\x00-\x1f\x85\uFEFF]"
"""At least one character that can be seen, in the words of every dialect of patterns."""

Reason = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=1000, pattern=VISIBLE),
    Field(description="Why; kept in the audit.", examples=["lot number corrected"]),
]


class Asked(BaseModel):
    """What a caller gives. What is not known is refused: a mistyped filter must not widen a list."""

    model_config = ConfigDict(extra="forbid")


class Shape(BaseModel):
    """What a caller gets."""

    model_config = ConfigDict(from_attributes=True)


Limit = Annotated[int, Field(ge=1, le=500, description="How many at most.")]
Cursor = Annotated[str | None, Field(max_length=2000, description="`next` or `previous` of another page.")]
Next = Annotated[str | None, Field(description="The cursor of the next page; null: this is the last.")]


class Count(Shape):
    """A count that stops."""

    count: int = Field(description="How many, as far as they were counted.")
    complete: bool = Field(description="False: there are more.")


# ---- how things stand -----------------------------------------------------------------------------------


class Circuit(Shape):
    """What is paused."""

    facility: Text | None = Field(description="Whose account; null: the partner as a whole.")
    paused: bool = Field(description="False: the pause is over, and one document will try.")
    until: Moment | None = Field(description="When the pause ends; null: when somebody resumes.")
    reason: Text = Field(description="Why.")
    opened_by: Text | None = Field(description="Who paused it; null: the partner's answers did.")
    opened_at: Moment = Field(description="Since when.")
    level: int = Field(description="Which pause in a row it is, from 0.")

    @classmethod
    def of(cls, found: OpenCircuit, now: datetime) -> "Circuit":
        """As it stands now."""
        return cls(
            facility=found.facility or None,
            paused=found.is_open(now),
            until=None if found.open_until >= FOR_EVER else found.open_until,
            reason=found.reason,
            opened_by=found.opened_by or None,
            opened_at=found.opened_at,
            level=found.level,
        )


class KindStatus(Shape):
    """How one kind of document stands."""

    kind: Kind
    to_send: int = Field(description="Source rows that ask for delivery and were not taken up yet.")
    states: dict[State, int] = Field(description="Deliveries in each state.")
    accepted_today: int = Field(description="Accepted on this day of Viet Nam's calendar.")
    oldest_due_at: Moment | None = Field(
        description="Since when the oldest is due, paused facilities aside; null: nothing is."
    )
    last_scan_at: Moment | None = Field(description="The last scan that reached its end.")
    workers: int = Field(description="Processes that send this kind and were seen within two minutes.")


class Concern(Shape):
    """What needs a person."""

    need: str = Field(json_schema_extra={"enum": [each.name.lower() for each in Need]}, description="What it is.")
    count: int = Field(description="How many documents, rows or kinds.")
    counts: dict[str, int] = Field(description="Documents by kind, where these are concerned.")
    kind: str | None = Field(description="The kind, where it is about one.")
    facility: Text | None = Field(description="The facility, where it is about one.")
    since: Moment | None = Field(description="Since when, where that is known.")


class Status(Shape):
    """The overview."""

    now: Moment = Field(description="The server's time.")
    kinds: list[KindStatus] = Field(description="By kind.")
    concerns: list[Concern] = Field(description="What needs a person, the most urgent first.")
    circuits: list[Circuit] = Field(description="What is paused.")
    unshipped_log_rows: int = Field(description="Log rows in SQL; where there is no MongoDB, all of them.")
    log_store: bool = Field(description="Whether the log moves to MongoDB.")


class HourTally(Shape):
    """How many tries of a kind ended how in one hour."""

    hour: Moment = Field(description="When the hour begins.")
    kind: Kind
    accepted: int = Field(description="Tries that the partner accepted.")
    rejected: int = Field(description="Tries that were rejected.")
    again: int = Field(description="Neither: to be tried again, unknown or given up.")


class Tallies(Shape):
    """Tries by hour, oldest first; hours in which nothing happened are left out."""

    hours: list[HourTally] = Field(description="By hour and kind.")


class Circuits(Shape):
    """What is paused."""

    circuits: list[Circuit] = Field(description="What is paused.")


class Resume(Asked):
    """Which pause ends."""

    facility: str | None = Field(None, max_length=50, description="Whose; null: the partner's as a whole.")
    reason: Reason


# ---- deliveries -----------------------------------------------------------------------------------------


class Delivery(Shape):
    """The obligation to get one document to the partner."""

    kind: Kind
    code: Text = Field(description="The document's code.")
    facility: Text = Field(description="Whose, `ma_co_so`.")
    document_date: date | None = Field(description="The document date; null: the source has none.")
    state: State = Field(description="Where it stands.")
    attempts: int = Field(description="Tries that count, of this revision.")
    revision: int = Field(description="Which sending of this code.")
    due_at: Moment | None = Field(description="When something happens by itself; null: nothing does.")
    uncertain: bool = Field(description="An earlier try of this revision may have reached the partner.")
    national_code: Text | None = Field(description="The number that the partner gave it.")
    error_code: Text | None = Field(description="A stable code of what kept it from being accepted.")
    error_message: Text | None = Field(description="The same in words.")
    cause: Text | None = Field(description="The group of refusals it belongs to.")
    payload_sha256: Text | None = Field(description="Hash of what was sent last.")
    first_seen_at: Moment = Field(description="When Hermes took it up.")
    updated_at: Moment = Field(description="The last change.")
    finished_at: Moment | None = Field(description="When it was last closed; null: it is open.")
    failed_at: Moment | None = Field(description="When a try last ended in anything but acceptance; null: never.")


class Deliveries(Shape):
    """A page of deliveries."""

    deliveries: list[Delivery] = Field(description="In the order asked for.")
    next: Next
    previous: str | None = Field(description="The cursor of the page before; null: this is the first.")
    matching: Count | None = Field(description="How many match, counted to 1,000 at most; only where asked for.")


class Attempt(Shape):
    """One exchange with the partner, or one refusal before it."""

    id: Text = Field(description="A UUID.")
    revision: int = Field(description="Which sending of this code.")
    attempt: int = Field(description="Tries counted so far.")
    outcome: Text = Field(description="What it ended as.")
    error_code: Text | None = Field(description="A stable code; null: none.")
    http_status: int | None = Field(description="null: no reply.")
    started_at: Moment = Field(description="When it began.")
    duration_ms: int = Field(description="Until reply or failure, in milliseconds.")
    record: dict[str, Value] = Field(description="Request and reply as the log kept them; bodies are texts.")


class Deed(Shape):
    """What somebody did to a document."""

    at: Moment = Field(description="When.")
    who: Text = Field(description="The person, or the token.")
    action: Text = Field(description="What was done.")
    why: Text = Field(description="The reason given.")


class SeenFault(Shape):
    """One thing wrong with a document."""

    line: int | None = Field(description="From 1; null: the header.")
    field: Text = Field(description="The source column.")
    message: Text = Field(description="What is wrong, in words.")


class Difference(Shape):
    """A field that would be sent now with another value."""

    line: int | None = Field(description="From 1; null: the header.")
    field: Text = Field(description="The partner's name for it.")
    label: Text = Field(description="The Vietnamese one.")
    sent: Value = Field(description="What was sent last; null: nothing.")
    now: Value = Field(description="What would be sent now; null: nothing.")


class LastSent(Shape):
    """What was sent last beside what would be sent now."""

    at: Moment = Field(description="When.")
    revision: int = Field(description="Which sending of this code.")
    differences: list[Difference] = Field(description="None: the same would be sent.")


class Source(Shape):
    """The document as the source has it now: column → value. Decimals are strings; times have no offset there."""

    header: dict[str, Value] = Field(description="Of the header row.")
    lines: list[dict[str, Value]] = Field(description="Of each line.")


class Document(Shape):
    """Everything about one document."""

    delivery: Delivery = Field(description="Where it stands.")
    next_step: NextStep = Field(description="What happens next, by itself or by a person.")
    actions: list[str] = Field(description="What its state allows: `rebuild`, `resend`, `park`, `resolve`.")
    attempts: list[Attempt] = Field(description="The latest tries, oldest first.")
    attempts_in_all: int = Field(description="How many the log has.")
    log_complete: bool = Field(description="False: MongoDB could not be asked.")
    audit: list[Deed] = Field(description="The latest 100 entries, oldest first.")
    source: Source | None = Field(description="null: it is not in the source any more.")
    faults: list[SeenFault] = Field(description="What Hermes' own check says of it now.")
    last_faults: list[SeenFault] = Field(description="What it said at the last try.")
    difference: LastSent | None = Field(description="null: the log has no request, or it is not fit to be sent.")


class Act(Asked):
    """Why something is done."""

    reason: Reason


# ---- refusals -------------------------------------------------------------------------------------------


class Refusals(Shape):
    """Refused deliveries by cause, the largest group first."""

    groups: list["RefusalGroup"] = Field(description="One for each cause.")
    complete: bool = Field(description="False: there are more causes than were looked at.")


class RefusalGroup(Shape):
    """Deliveries that are refused for one cause and wait for a person."""

    cause: Text = Field(description="What filters and replays take.")
    error_code: Text = Field(description="A stable code; null: none.")
    message: Text = Field(description="The reason without its particulars.")
    documents: Count = Field(description="How many.")
    states: dict[State, Count] = Field(description="How many in which state.")
    kinds: list[str] = Field(description="By kind.")
    facilities: list[Text] = Field(description="Of the latest deliveries.")
    facilities_complete: bool = Field(description="False: there may be more.")
    first_seen_at: Moment = Field(description="When Hermes took it up.")
    last_seen_at: Moment = Field(description="The last change among them.")
    example_kind: str = Field(description="Of the latest document.")
    example_code: Text = Field(description="Of the latest document.")
    example_message: Text = Field(description="Its reason in full.")


class DayCount(Shape):
    """How many of a group were last changed on a day of Viet Nam's calendar."""

    day: date = Field(description="The day.")
    documents: Count = Field(description="How many.")


class Trend(Shape):
    """How a group goes."""

    cause: Text = Field(description="What filters and replays take.")
    days: list[DayCount] = Field(description="The last days, today the last.")


# ---- replays --------------------------------------------------------------------------------------------


class Replay(Shape):
    """Many deliveries again, after an incident."""

    name: Text = Field(description="The incident.")
    state: ReplayState = Field(description="Where it stands.")
    documents: int = Field(description="How many were frozen.")
    turns: int = Field(description="How many had their turn.")
    per_minute: int | None = Field(description="Released a minute at most; null: by what is queued alone.")
    most_queued: int | None = Field(description="Released while fewer are queued; null: by time alone.")
    created_at: Moment = Field(description="When it was made.")
    updated_at: Moment = Field(description="The last change.")
    who: Text = Field(description="The person, or the token.")
    why: Text = Field(description="The reason given.")


class Replays(Shape):
    """The latest 200 replays, the latest first."""

    replays: list[Replay] = Field(description="As they stand now.")


class ReplayItem(Shape):
    """One document of a replay."""

    position: int = Field(description="From 1, in the original order.")
    kind: Kind
    code: Text = Field(description="The document's code.")
    was: State = Field(description="Its state when the set was frozen.")
    step: Step = Field(description="What was done with it.")
    state: State = Field(description="Its state now.")


class Progress(Shape):
    """How far a replay is."""

    replay: Replay = Field(description="The replay itself.")
    waiting: int = Field(description="For their turn.")
    skipped: int = Field(description="Accepted or under way by themselves when their turn came.")
    accepted: int = Field(description="By the partner, since then.")
    refused: int = Field(description="Rejected or parked again.")
    under_way: int = Field(description="Sent again, and not answered yet.")
    items: list[ReplayItem] = Field(description="Its documents in order.")
    next: int | None = Field(description="`after` of the next page; null: this is the last.")


class Selection(Asked):
    """Which deliveries are meant. What is left out does not narrow; something must."""

    kind: Kind | None = None
    codes: list[Annotated[str, StringConstraints(min_length=1, max_length=50)]] = Field(
        [], max_length=500, description="Codes of `kind`."
    )
    state: State | None = Field(None, description="Only in this state; with accepted, `accepted_again` too.")
    error_code: str | None = Field(None, max_length=50, description="Only with this error code.")
    cause: str | None = Field(None, max_length=100, description="As the refusals name it.")
    facility: str | None = Field(None, max_length=50, description="Only of this facility.")
    date_from: Day | None = Field(None, description="First document date.")
    date_to: Day | None = Field(None, description="Last document date, inclusive.")


PaceNumber = Annotated[int | None, Field(ge=1, le=1_000_000)]


class Pace(Asked):
    """How fast: one of them at least; with both, whichever is slower."""

    per_minute: PaceNumber = Field(None, description="Release so many a minute.")
    while_queued: PaceNumber = Field(None, description="Release while fewer than so many are queued.")


class ReplayOrder(Asked):
    """What is to be sent again."""

    name: str = Field(min_length=1, max_length=100, pattern=VISIBLE, description="The incident's name.")
    selection: Selection = Field(description="Which deliveries.")
    pace: Pace = Field(description="How fast.")
    accepted_again: bool = Field(False, description="With `state` accepted: yes, send what the partner has again.")
    reason: Reason

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "lot numbers 20/11",
                    "selection": {"cause": "3f0c9a1b22d4e871"},
                    "pace": {"per_minute": 300},
                    "reason": "the shops corrected the lots",
                }
            ]
        }
    )


# ---- reconciliation -------------------------------------------------------------------------------------


class Sums(Shape):
    """What the source has, and what became of it."""

    in_source: int = Field(description="Delivered, waiting, refused and never seen together.")
    delivered: int = Field(description="The partner confirmed it.")
    waiting: int = Field(description="It will be sent, or sent again, or its outcome is unknown.")
    refused: int = Field(description="Rejected or parked: a person must act.")
    never_seen: int = Field(description="No scan ever took it up, and its status does not ask for it.")
    gone: int = Field(description="In the ledger, and no longer in the source.")


class Balance(Sums):
    """One day, facility and kind."""

    kind: Kind
    day: date | None = Field(description="The document date; null: the source has none.")
    facility: Text = Field(description="Whose, `ma_co_so`.")


class Reconciliation(Shape):
    """Did everything of a period arrive?"""

    date_from: date = Field(description="The first day.")
    date_to: date = Field(description="The last day.")
    total: Sums = Field(description="Of the whole period, whatever page this is.")
    settled: bool = Field(description="Whether everything arrived.")
    rows: list[Balance] = Field(description="The latest day first; what has no day stands at the end.")
    next: Next


class Reconciled(Shape):
    """One document behind a figure."""

    code: Text = Field(description="The document's code.")
    status: int | None = Field(description="`status_phieu` in the source; null: NULL, or no row.")
    state: Text | None = Field(description="What the ledger says; null: it is not in it.")
    error_message: Text | None = Field(description="The reason in words; null: none.")


class Behind(Shape):
    """The documents behind a figure, by code."""

    kind: Kind
    day: date | None = Field(description="The day.")
    facility: Text = Field(description="Whose, `ma_co_so`.")
    fate: Fate = Field(description="Which figure.")
    documents: list[Reconciled] = Field(description="By code.")
    next: Next


# ---- audit, users ---------------------------------------------------------------------------------------


class AuditEntry(Shape):
    """Who did what, when and why."""

    id: Text = Field(description="A UUID.")
    operation_id: Text = Field(description="The same for all documents that were written in one step.")
    at: Moment = Field(description="When.")
    who: Text = Field(description="The person, or the token.")
    action: Text = Field(description="What was done.")
    kind: Text = Field(description="Empty for all but documents.")
    code: Text = Field(description="A document's, a facility's, a user's, a token's prefix, or a replay's name.")
    why: Text = Field(description="The reason given.")


class Audit(Shape):
    """A page of the audit, the latest first."""

    entries: list[AuditEntry] = Field(description="As they were written.")
    next: Next
    previous: str | None = Field(description="The cursor of the page before; null: this is the first.")


class User(Shape):
    """A user of the console."""

    name: Text = Field(description="The incident.")
    role: Role = Field(description="What the user may do.")
    disabled: bool = Field(description="Whether the user is kept out.")
    created_at: Moment = Field(description="When it was made.")


class Users(Shape):
    """Every user, by name."""

    users: list[User] = Field(description="By name.")
