"""Values that pass between the services and the ledger. Frozen; times are aware and in UTC."""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from app.domain.decide import Decision, Standing
from app.domain.outcomes import Outcome
from app.domain.states import State


@dataclass(frozen=True, slots=True)
class Claimed:
    """A delivery this process may send: it holds `token` until the claim expires (P2)."""

    code: str
    facility: str
    revision: int
    standing: Standing
    first_seen_at: datetime
    deaths: int = 0  # processes that died holding it
    sent: bool = False  # only on a claim taken over from a dead worker: its request may have gone out
    national_code: str | None = None  # of an earlier revision


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery to be offered; `alone` when a process died holding it, so that others do not share its fate."""

    code: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request to the partner and what came of it; `record` holds both sides as the log may keep them."""

    outcome: Outcome
    started_at: datetime
    duration_ms: int
    http_status: int | None = None
    record: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One exchange with the partner (or one refusal before it), as the detailed log keeps it.

    `id` is a UUID and becomes MongoDB's `_id`; `record` holds request and reply, masked, as JSON values.
    """

    id: str
    kind: str
    code: str
    facility: str
    revision: int
    attempt: int
    outcome: str
    error_code: str | None
    http_status: int | None
    started_at: datetime
    duration_ms: int
    record: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Settlement:
    """What one attempt changes, written in one transaction: ledger, source row, log row."""

    code: str
    outcome: Outcome
    decision: Decision
    note: str
    attempt: Attempt
    payload_sha256: str | None = None
    deaths: int = 0


@dataclass(frozen=True, slots=True)
class Delivery:
    """A row of the ledger."""

    kind: str
    code: str
    facility: str
    document_date: date | None
    state: State
    attempts: int
    revision: int
    due_at: datetime | None
    uncertain: bool
    national_code: str | None
    error_code: str | None
    error_message: str | None
    payload_sha256: str | None
    first_seen_at: datetime
    updated_at: datetime
    finished_at: datetime | None
    failed_at: datetime | None = None
    cause: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """Which deliveries an operator means. Empty fields do not narrow; dates are document dates, inclusive."""

    kind: str | None = None
    codes: tuple[str, ...] = ()
    state: State | None = None
    error_code: str | None = None
    cause: str | None = None
    facility: str | None = None
    date_from: date | None = None
    date_to: date | None = None


@dataclass(frozen=True, slots=True)
class KindStatus:
    """How one kind stands. `to_send` counts source rows that ask for delivery and are not in the ledger yet, `workers`
    the processes that send this kind and were seen in the last two minutes."""

    kind: str
    states: dict[State, int]
    to_send: int
    oldest_due_at: datetime | None
    last_scan_at: datetime | None
    workers: int


@dataclass(frozen=True, slots=True)
class CheckStep:
    """One line of `hermes check`. `key` names the step and `cause` what was found, both for programs; `ok` is None
    when the step does not apply or cannot be told; with `warning`, Hermes works, but somebody should look at it."""

    key: str
    name: str
    ok: bool | None
    warning: bool
    cause: str
    detail: str
    remedy: str = ""
