"""What the services need from the outside, as small Protocols. `app.wiring` chooses who fulfils them."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from app.documents import DocumentKind
from app.domain.circuit import Circuit
from app.domain.deliveries import Attempt, Claimed, Delivery, Due, Exchange, KindStatus, Selection, Settlement
from app.domain.kinds import Document
from app.domain.listing import AuditEntry, AuditFilter, Filter, Sort, Turn
from app.domain.numbers import AtLeast, HourTally
from app.domain.reconciliation import DayBalance, Fate, Reconciled
from app.domain.refusals import Refusals
from app.domain.replays import BulkReplay, Pace, Progress, ReplayItem, ReplayState
from app.domain.states import Transition
from app.partners import Prepared


class Offers(Protocol):
    """The ledger as the scan sees it."""

    def discover(self, kind: DocumentKind, limit: int) -> int: ...
    def offer_due(self, kind: DocumentKind, limit: int, *, reoffer_at: datetime) -> list[Due]: ...
    def next_due(self, kind: DocumentKind) -> datetime | None: ...
    def withdraw_offer(self, kind: DocumentKind, codes: Sequence[str]) -> None: ...
    def count_offered(self, kind: DocumentKind, at_most: int) -> int: ...
    def beat(self, name: str) -> None: ...


class Claims(Protocol):
    """The ledger as the worker sees it. Every call carries the claim's token (P2, P3)."""

    def claim(self, kind: DocumentKind, codes: Sequence[str], token: str, *, expires_at: datetime) -> list[Claimed]: ...
    def begin_send(self, kind: DocumentKind, codes: Sequence[str], token: str, *, expires_at: datetime) -> set[str]: ...
    def release(
        self, kind: DocumentKind, codes: Sequence[str], token: str, *, due_at: datetime | None = None
    ) -> int: ...
    def withdraw_offer(self, kind: DocumentKind, codes: Sequence[str]) -> None: ...
    def settle(self, kind: DocumentKind, settlements: Sequence[Settlement], token: str) -> set[str]: ...


class ExpiredClaims(Protocol):
    """The ledger as the rescue sees it."""

    def release_expired(self, kind: DocumentKind) -> int: ...
    def take_over_expired(
        self, kind: DocumentKind, token: str, *, limit: int, expires_at: datetime
    ) -> list[Claimed]: ...
    def settle(self, kind: DocumentKind, settlements: Sequence[Settlement], token: str) -> set[str]: ...


class Operations(Protocol):
    """The ledger as operators see it."""

    def get(self, kind: DocumentKind, code: str) -> Delivery | None: ...
    def count(self, selection: Selection, transition: Transition) -> int: ...
    def requeue(
        self, selection: Selection, transition: Transition, *, who: str, why: str, action: str = "retry"
    ) -> int: ...
    def park(self, selection: Selection, *, who: str, why: str, note: str) -> int: ...
    def resolve(
        self,
        kind: DocumentKind,
        code: str,
        transition: Transition,
        *,
        who: str,
        why: str,
        note: str,
        national_code: str | None = None,
    ) -> bool: ...
    def status(self, kind: DocumentKind) -> KindStatus: ...
    def audit_of(self, kind: DocumentKind, code: str) -> list[dict[str, Any]]: ...


class Circuits(Protocol):
    """What all processes know of the partner's and the facilities' circuits."""

    def open_ones(self) -> dict[str, Circuit]: ...
    def count(self, facility: str, calls: int, failures: int, window: timedelta) -> tuple[int, int]: ...
    def open(self, facility: str, *, until: datetime, reason: str, level: int) -> bool: ...
    def lease_probe(self, facility: str, *, until: datetime) -> bool: ...
    def close(self, facilities: Sequence[str]) -> None: ...
    def pause(self, facility: str, *, who: str, why: str) -> None: ...
    def resume(self, facility: str, *, who: str, why: str) -> bool: ...


class RateLimit(Protocol):
    """How many requests may start now. All processes share one count where the storage is shared."""

    def take(self, facilities: Sequence[str]) -> list[bool]:
        """For each request, in order, whether it may start; those that may are counted."""
        ...


class Source(Protocol):
    """The customer's documents."""

    def load(self, kind: DocumentKind, codes: Sequence[str]) -> dict[str, Document]: ...


class Queue(Protocol):
    """Where codes wait for a worker. Only hints: losing one delays a document, nothing more (P8)."""

    def offer(self, kind: DocumentKind, codes: Sequence[str]) -> None:
        """Put codes on the kind's queue as one message. Raises BrokerUnavailable."""
        ...

    def waiting_messages(self, kind: DocumentKind) -> int:
        """How many messages lie on the kind's queue. Raises BrokerUnavailable."""
        ...


class Partner(Protocol):
    """The partner's API."""

    async def submit(self, kind: str, document: Prepared, idempotency_key: str) -> Exchange: ...
    async def look_up(self, kind: str, code: str, document: Prepared) -> Exchange | None:
        """What the partner has under this code; None when it has nothing."""
        ...


class AttemptOutbox(Protocol):
    """Log rows in SQL, on their way to the log store."""

    def oldest(self, limit: int) -> list[Attempt]: ...
    def delete(self, ids: Sequence[str]) -> None: ...
    def delete_before(self, moment: datetime) -> int: ...
    def of_document(self, kind: str, code: str) -> list[Attempt]: ...
    def count(self) -> int: ...


class LogStore(Protocol):
    """Where the detailed log is kept. Raises LogStoreUnavailable."""

    def insert(self, attempts: Sequence[Attempt]) -> None: ...
    def of_document(self, kind: str, code: str) -> list[Attempt]: ...


# ---- what lists, reports and bulk replays need -----------------------------------------------------------


class Listing(Protocol):
    """The ledger as lists show it."""

    def deliveries(self, wanted: Filter, sort: Sort, turn: Turn, limit: int) -> list[Delivery]: ...
    def count(self, wanted: Filter, at_most: int) -> AtLeast: ...


class AuditTrail(Protocol):
    """Who did what, when and why."""

    def entries(self, wanted: AuditFilter, turn: Turn, limit: int) -> list[AuditEntry]: ...
    def note(self, *, who: str, action: str, kind: str, code: str, why: str) -> None: ...


class RefusalBook(Protocol):
    """What is refused, by cause."""

    def groups(self) -> Refusals: ...
    def counts(self, cause: str, bounds: Sequence[datetime]) -> list[AtLeast]:
        """How many of a group were last changed between each bound and the next."""
        ...


class Tallies(Protocol):
    """How many tries ended how, per kind and hour."""

    def hours(self, since: datetime) -> list[HourTally]: ...
    def compact(self) -> int: ...


class Books(Protocol):
    """The source beside the ledger."""

    def balances(self, kind: DocumentKind, first: date, last: date, facility: str | None) -> list[DayBalance]: ...
    def documents(
        self, kind: DocumentKind, day: date | None, facility: str, fate: Fate, after: str, limit: int
    ) -> list[Reconciled]: ...


class Replays(Protocol):
    """Bulk replays as they are kept."""

    def create(
        self, name: str, selection: Selection, transition: Transition, pace: Pace, *, who: str, why: str
    ) -> BulkReplay: ...
    def all(self, limit: int) -> list[BulkReplay]: ...
    def running(self) -> list[BulkReplay]: ...
    def progress(self, name: str) -> Progress | None: ...
    def items(self, name: str, after: int, limit: int) -> list[ReplayItem]: ...
    def change(
        self, name: str, sources: Sequence[ReplayState], target: ReplayState, *, who: str, why: str, action: str
    ) -> bool: ...
    def count_queued(self, at_most: int) -> int: ...
    def release(self, found: BulkReplay, count: int) -> BulkReplay | None:
        """Queue further items, as `found` saw the replay; None when somebody else was faster or stopped it."""
        ...


class Releases(Protocol):
    """What a scan does for bulk replays."""

    def run(self) -> int: ...
