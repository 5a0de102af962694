"""The ledger in SQL: every move of a delivery is one guarded UPDATE whose from-states stand in its WHERE.

Set-based statements and row counts only: no MERGE, no lock hints, no reliance on the count of a bulk update
(drivers disagree on it). Codes are bound in slices of at most 1,000.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice, product
from typing import Any

import msgspec
import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Select,
    Update,
    bindparam,
    case,
    func,
    insert,
    not_,
    null,
    or_,
    select,
    type_coerce,
    update,
)
from sqlalchemy.exc import IntegrityError

from app.core.clock import Clock
from app.core.seams import Seam, reached
from app.db import sending
from app.db.audit import record
from app.db.circuits import holds
from app.db.engine import MOST_PARAMETERS, fetch, patiently, reading, writing
from app.db.nvarchar import cut, units
from app.db.sending import only_if
from app.db.source import (
    ASKING,
    RAW,
    START,
    Place,
    SqlSource,
    as_date,
    asks_for_delivery,
    behind,
    has_status,
    is_unicode,
    next_place,
    short_text,
)
from app.db.tables import attempt, audit, circuit, delivery, heartbeat
from app.db.tallies import note_outcomes
from app.documents import ALL_KINDS, KINDS, DocumentKind
from app.domain.causes import cause_of
from app.domain.circuit import PARTNER
from app.domain.decide import MOST_DEATHS, Standing
from app.domain.deliveries import Attempt, Claimed, Delivery, Due, KindStatus, Selection, Settlement
from app.domain.errors import ErrorCode, Problem, RowRefused
from app.domain.states import (
    CLAIM,
    CLOSED,
    NEW_REVISION_FROM,
    OFFER,
    OPERATOR_PARK,
    REFUSED,
    RELEASE,
    REOPEN,
    SOURCE_STATUS,
    TAKE_OVER,
    WITHDRAW,
    State,
    Transition,
)

log = structlog.get_logger(__name__)

DISCOVERY_PAGE = 1000
CLOCK_TOLERANCE = timedelta(minutes=5)
SEEN_LATELY = timedelta(minutes=2)
"""A worker that did not show itself for so long is taken for gone."""

_LONGEST_CODE = 50
_LONGEST_NAME = 100
_LONGEST_NOTE = 4000
_DISCOVERY_TRIES = 5
_LATE = "late"


class SqlLedger:
    """`hermes_delivery` and what is written together with it. Every method is one transaction, safe to repeat."""

    def __init__(self, engine: Engine, source: SqlSource, clock: Clock) -> None:
        self._engine = engine
        self._source = source
        self._clock = clock

    # ---- scan -------------------------------------------------------------------------------------------

    def discover(self, kind: DocumentKind, limit: int) -> int:
        """Take up to `limit` source rows that ask for delivery into the ledger: new ones, and closed ones that
        were reopened. They are queued and due at once; returns how many."""
        found = 0
        for status in ASKING:
            place: Place | None = START
            while place is not None and found < limit:
                page, place = self._discover_page(kind, status, place, min(DISCOVERY_PAGE, limit - found))
                found += page
        return found

    @patiently
    def _discover_page(
        self, kind: DocumentKind, status: int | None, place: Place, size: int
    ) -> tuple[int, Place | None]:
        """One page of discovery: how many were taken up, and where to go on (None: that was all)."""
        for _ in range(_DISCOVERY_TRIES):
            with reading(self._engine) as connection:
                rows = fetch(connection, behind(self._undiscovered(kind, has_status(kind, status)), kind, place, size))
            usable = [row for row in rows if is_unicode(row.code) and 0 < units(row.code) <= _LONGEST_CODE]
            if unusable := len(rows) - len(usable):
                log.warning("source_codes_unusable", kind=kind.name, documents=unusable, table=kind.header.name)
            try:
                # By code: a view may show one twice.
                count = self._take_up(kind, list({row.code: row for row in usable}.values()))
            except IntegrityError:  # another scan took some of the page: read it anew
                continue
            return count, next_place(place, [row.code for row in rows], size)
        return 0, None

    def _undiscovered(self, kind: DocumentKind, asks: ColumnElement[bool]) -> Select[Any]:
        header = kind.header.c
        return (
            select(
                kind.code.label("code"),
                type_coerce(header.ma_co_so, RAW).label("facility"),
                type_coerce(header[kind.date_column], RAW).label("document_date"),
                delivery.c.state.label("state"),
            )
            .select_from(
                kind.header.outerjoin(delivery, (delivery.c.kind == kind.name) & (delivery.c.code == kind.code))
            )
            .where(
                asks,
                or_(delivery.c.code.is_(None), delivery.c.state.in_(REOPEN.sources)),
            )
        )

    def _take_up(self, kind: DocumentKind, rows: Sequence[Row[Any]]) -> int:
        now = self._clock.now()
        new = [
            {
                "kind": kind.name,
                **_found(row),
                "state": REOPEN.target,
                "attempts": 0,
                "revision": 1,
                "due_at": now,
                "deaths": 0,
                "uncertain": False,
                "first_seen_at": now,
                "updated_at": now,
            }
            for row in rows
            if row.state is None
        ]
        reopened = [row for row in rows if row.state is not None]
        count = len(new)
        with writing(self._engine) as connection:
            if new:
                connection.execute(insert(delivery), new)
            for codes in _slices(row.code for row in reopened):
                count += move(connection, kind.name, codes, REOPEN, requeued(now))
            if reopened:
                found = [{f"its_{name}": value for name, value in _found(row).items()} for row in reopened]
                connection.execute(_corrected(kind), found)
        return count

    @patiently
    def offer_due(self, kind: DocumentKind, limit: int, *, reoffer_at: datetime) -> list[Due]:
        """Mark up to `limit` due deliveries as offered until `reoffer_at` and return them: the oldest due of each
        facility first, then each one's second, so that no facility's backlog starves another (P7). Facilities
        whose circuit is open are passed over.

        Two scans at once may both return a code: harmless, only one worker can claim it (P2).
        """
        now = self._clock.now()
        with reading(self._engine) as connection:
            due = [Due(row.code, row.deaths > 0) for row in connection.execute(_due_in_turn(kind, now, limit))]
        with writing(self._engine) as connection:
            for codes in _slices(each.code for each in due):
                values = {"due_at": reoffer_at, "updated_at": now}
                move(connection, kind.name, codes, OFFER, values, _is_due(now))
        return due

    @patiently
    def next_due(self, kind: DocumentKind) -> datetime | None:
        """When the next queued delivery of a kind becomes due, if one waits."""
        mine = (delivery.c.kind == kind.name) & delivery.c.state.in_(CLAIM.sources)
        with reading(self._engine) as connection:
            soonest: datetime | None = connection.scalar(select(func.min(delivery.c.due_at)).where(mine))
            return soonest

    @patiently
    def withdraw_offer(self, kind: DocumentKind, codes: Sequence[str]) -> None:
        """The broker did not take them: they are due again at once."""
        now = self._clock.now()
        with writing(self._engine) as connection:
            for some in _slices(codes):
                move(connection, kind.name, some, WITHDRAW, {"due_at": now})

    @patiently
    def count_offered(self, kind: DocumentKind, at_most: int) -> int:
        """How many deliveries lie on the queue, counted no further than `at_most`."""
        offered = (
            select(delivery.c.code)
            .where(
                delivery.c.kind == kind.name,
                delivery.c.due_at > self._clock.now(),
                delivery.c.state.in_(CLAIM.sources),
            )
            .limit(at_most)
            .subquery()
        )
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(offered)) or 0

    @patiently
    def beat(self, name: str) -> None:
        """Note that `name` lives."""
        now = self._clock.now()
        with (
            suppress(IntegrityError),
            writing(self._engine) as connection,
        ):  # another process was first: as good
            seen = connection.execute(update(heartbeat).where(heartbeat.c.name == name).values(seen_at=now))
            if not seen.rowcount:
                connection.execute(insert(heartbeat).values(name=name, seen_at=now))

    def note_worker(self, kind: DocumentKind, node: str) -> None:
        """Note that a process which sends this kind lives; `node` is its name among all of them."""
        self.beat(cut(f"{_worker_heartbeat(kind)}{node}", _LONGEST_NAME))

    # ---- deliver ----------------------------------------------------------------------------------------

    @patiently
    def claim(self, kind: DocumentKind, codes: Sequence[str], token: str, *, expires_at: datetime) -> list[Claimed]:
        """Claim what is still queued among `codes`; the others are somebody else's or already done (P2)."""
        bound = {"token": token, "expires_at": expires_at, "now": self._clock.now()}
        with writing(self._engine) as connection:
            for some in _slices(codes):
                connection.execute(sending.claiming(kind), {"codes": some, **bound})
            return _claimed(connection, kind, codes, token)

    @patiently
    def begin_send(self, kind: DocumentKind, codes: Sequence[str], token: str, *, expires_at: datetime) -> set[str]:
        """Note that requests for these go out now, and renew their claims. Returns those whose claim still lives;
        no other may be sent (P2)."""
        these = {"codes": codes, "token": token, "now": self._clock.now()}
        with writing(self._engine) as connection:
            renewed = connection.execute(sending.beginning(kind), {"expires_at": expires_at, **these})
            if renewed.rowcount == len(codes):
                return set(codes)
            return set(connection.scalars(sending.begun(kind), these))

    @patiently
    def release(
        self,
        kind: DocumentKind,
        codes: Sequence[str],
        token: str,
        *,
        due_at: datetime | None = None,
        noted: bool = False,
    ) -> int:
        """Give back claims whose requests never went out; they are due at `due_at`, else at once. With `noted` also
        those noted as sent: the caller knows that they were not."""
        now = self._clock.now()
        values = {"due_at": due_at or now, "claim_token": null(), "sent_at": null(), "updated_at": now}
        mine = delivery.c.claim_token == token
        if not noted:
            mine &= delivery.c.sent_at.is_(None)
        with writing(self._engine) as connection:
            return sum(move(connection, kind.name, some, RELEASE, values, mine) for some in _slices(codes))

    @patiently
    def settle(self, kind: DocumentKind, settlements: Sequence[Settlement], token: str) -> set[str]:
        """Write outcomes: ledger, source rows and log rows in one transaction. Returns the codes written; for
        the others the claim was lost, and only the log keeps what came (P3). Raises RowRefused: nothing was
        written."""
        # Before the transaction: SQLite has one writer, whom others wait for.
        entries = {settlement.code: _attempt_row(settlement.attempt) for settlement in settlements}
        with _refusals(), writing(self._engine) as connection:
            live = _fence(connection, kind, [*entries], token)
            won = [settlement for settlement in settlements if settlement.code in live]
            lost = [settlement for settlement in settlements if settlement.code not in live]
            if won:
                self._write_ledger(connection, kind, won, token)
                reached(Seam.INSIDE_SETTLE)
                self._write_source(connection, kind, won)
                connection.execute(insert(attempt), [entries[settlement.code] for settlement in won])
                note_outcomes(
                    connection, kind.name, [settlement.decision.state for settlement in won], self._clock.now()
                )
            return live | self._keep_late_answers(connection, lost)

    def _keep_late_answers(self, connection: Connection, lost: Sequence[Settlement]) -> set[str]:
        """Answers whose claim was lost change nothing, but the log keeps them, marked. Those the log has already
        came with this very settle, whose commit went unnoticed: the codes of the unmarked ones are returned."""
        if not lost:
            return set()
        ids = [settlement.attempt.id for settlement in lost]
        known = connection.execute(select(attempt.c.id, attempt.c.record).where(attempt.c.id.in_(ids)))
        was_late = {row.id: _LATE in msgspec.json.decode(row.record) for row in known}
        late = [
            replace(settlement.attempt, record={_LATE: True, **settlement.attempt.record})
            for settlement in lost
            if settlement.attempt.id not in was_late
        ]
        if late:
            connection.execute(insert(attempt), [_attempt_row(each) for each in late])
        return {settlement.code for settlement in lost if not was_late.get(settlement.attempt.id, True)}

    # ---- rescue -----------------------------------------------------------------------------------------

    @patiently
    def release_expired(self, kind: DocumentKind) -> int:
        """Expired claims whose requests never went out go straight back to the queue, unless too many processes
        died with them."""
        now = self._clock.now()
        with writing(self._engine) as connection:
            released = connection.execute(
                update(delivery)
                .where(
                    delivery.c.kind == kind.name,
                    delivery.c.state.in_(RELEASE.sources),
                    _is_due(now),
                    delivery.c.sent_at.is_(None),
                    delivery.c.deaths + 1 < MOST_DEATHS,
                )
                .values(
                    state=RELEASE.target,
                    due_at=now,
                    claim_token=null(),
                    deaths=delivery.c.deaths + 1,
                    updated_at=now,
                )
            )
            return released.rowcount

    @patiently
    def take_over_expired(self, kind: DocumentKind, token: str, *, limit: int, expires_at: datetime) -> list[Claimed]:
        """Take over the other expired claims; their old holders can write nothing more."""
        now = self._clock.now()
        expired = (
            select(delivery.c.code)
            .where(delivery.c.kind == kind.name, _is_due(now), delivery.c.state.in_(TAKE_OVER.sources))
            .order_by(delivery.c.due_at)
            .limit(min(limit, MOST_PARAMETERS))
        )
        with reading(self._engine) as connection:
            codes = list(connection.scalars(expired))
        if not codes:
            return []
        with writing(self._engine) as connection:
            deaths = delivery.c.deaths + 1
            values = {"claim_token": token, "due_at": expires_at, "deaths": deaths, "updated_at": now}
            guard = or_(delivery.c.sent_at.is_not(None), deaths >= MOST_DEATHS)
            move(connection, kind.name, codes, TAKE_OVER, values, _is_due(now) & guard)
            return _claimed(connection, kind, codes, token)

    # ---- operators --------------------------------------------------------------------------------------

    @patiently
    def get(self, kind: DocumentKind, code: str) -> Delivery | None:
        """One delivery, or None."""
        one = select(*_DELIVERY_COLUMNS).where(delivery.c.kind == kind.name, delivery.c.code == code)
        with reading(self._engine) as connection:
            row = connection.execute(one).one_or_none()
        return None if row is None else as_delivery(row)

    @patiently
    def page(self, selection: Selection, after: tuple[str, str], limit: int) -> list[Delivery]:
        """Up to `limit` of the selected deliveries in order of kind and code, behind `after` = (kind, code)."""
        kind, code = after
        columns = delivery.c
        behind_it = or_(columns.kind > kind, (columns.kind == kind) & (columns.code > code))
        rows = select(*_DELIVERY_COLUMNS).where(behind_it).order_by(columns.kind, columns.code).limit(limit)
        with reading(self._engine) as connection:
            found = [
                as_delivery(row)
                for some in selection_parts(selection)
                for row in connection.execute(rows.where(*selected(some)))
            ]
        return sorted(found, key=lambda each: (each.kind, each.code))[:limit]

    @patiently
    def count(self, selection: Selection, transition: Transition) -> int:
        """How many of the selected deliveries the transition would move."""
        counted = select(func.count()).select_from(delivery)
        with reading(self._engine) as connection:
            return sum(
                connection.scalar(counted.where(*selected(some), _movable(transition))) or 0
                for some in selection_parts(selection)
            )

    def requeue(
        self, selection: Selection, transition: Transition, *, who: str, why: str, action: str = "retry"
    ) -> int:
        """An operator's retry: queued and due at once, with a fresh schedule; audited. Returns how many."""
        return sum(
            self._operate(kind, codes, transition, requeued(self._clock.now()), who, action, why)
            for kind, codes in self._matching(selection, transition)
        )

    def park(self, selection: Selection, *, who: str, why: str, note: str) -> int:
        """Put aside until an operator retries; the source row is told why; audited. Returns how many."""
        now = self._clock.now()
        values = {
            "due_at": null(),
            "error_code": ErrorCode.PARKED_BY_OPERATOR,
            "error_message": note,
            "cause": cause_of(Problem(ErrorCode.PARKED_BY_OPERATOR, why)),
            "updated_at": now,
            "finished_at": now,
        }
        return sum(
            self._operate(kind, codes, OPERATOR_PARK, values, who, "park", why, note)
            for kind, codes in self._matching(selection, OPERATOR_PARK)
        )

    @patiently
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
    ) -> bool:
        """An operator's word on an unknown outcome; the source row is told; audited. False when it is not unknown."""
        now = self._clock.now()
        values: dict[str, Any] = {"due_at": null(), "uncertain": False, "updated_at": now, "finished_at": now}
        if national_code is not None:
            values |= {"national_code": national_code, "error_code": null(), "error_message": null()}
        with writing(self._engine) as connection:
            if not move(connection, kind.name, [code], transition, values):
                return False
            record(connection, [code], at=now, who=who, action="resolve", kind=kind.name, why=why)
            told: dict[str, Any] = {
                "status_phieu": int(SOURCE_STATUS[transition.target]),
                "note_log": self._note(kind, note),
            }
            tables = self._source.tables(kind)
            if national_code is not None and kind.national_code_column not in tables.missing_optional:
                told[kind.national_code_column] = cut(national_code, tables.national_code_length)
            connection.execute(update(kind.header).where(kind.code == code).values(told))
            return True

    def _matching(self, selection: Selection, transition: Transition) -> Iterator[tuple[DocumentKind, list[str]]]:
        kinds = ALL_KINDS if selection.kind is None else [KINDS[selection.kind]]
        for kind, some in product(kinds, selection_parts(selection)):
            after = ""
            while codes := self._matching_page(kind, some, transition, after):
                yield kind, codes
                after = codes[-1]

    @patiently
    def _matching_page(self, kind: DocumentKind, selection: Selection, transition: Transition, after: str) -> list[str]:
        page = (
            select(delivery.c.code)
            .where(delivery.c.kind == kind.name, delivery.c.code > after, *selected(selection), _movable(transition))
            .order_by(delivery.c.code)
            .limit(MOST_PARAMETERS)
        )
        with reading(self._engine) as connection:
            return list(connection.scalars(page))

    @patiently
    def _operate(
        self,
        kind: DocumentKind,
        codes: list[str],
        transition: Transition,
        values: dict[str, Any],
        who: str,
        action: str,
        why: str,
        note: str | None = None,
    ) -> int:
        now = self._clock.now()
        with writing(self._engine) as connection:
            if move(connection, kind.name, codes, transition, {**values, "updated_at": now}) != len(codes):
                codes = moved(connection, kind, codes, transition, now)
            if not codes:
                return 0
            record(connection, codes, at=now, who=who, action=action, kind=kind.name, why=why)
            if note is not None:
                status = int(SOURCE_STATUS[transition.target])
                told = update(kind.header).where(kind.code.in_(codes))
                connection.execute(told.values(status_phieu=status, note_log=self._note(kind, note)))
            return len(codes)

    # ---- reports ----------------------------------------------------------------------------------------

    @patiently
    def status(self, kind: DocumentKind) -> KindStatus:
        """Counts per state, source rows not yet taken up, the oldest due of facilities that are not paused, the last
        scan, and how many workers were seen lately."""
        now = self._clock.now()
        mine = delivery.c.kind == kind.name
        counts = select(delivery.c.state, func.count()).where(mine).group_by(delivery.c.state)
        oldest = select(func.min(delivery.c.due_at)).where(
            mine, delivery.c.due_at <= now, delivery.c.facility.not_in(_paused(now))
        )
        unseen = self._undiscovered(kind, asks_for_delivery(kind)).with_only_columns(func.count())
        scanned = select(heartbeat.c.seen_at).where(heartbeat.c.name == scan_heartbeat(kind))
        workers = select(func.count()).where(
            heartbeat.c.name.startswith(_worker_heartbeat(kind), autoescape=True),
            heartbeat.c.seen_at > now - SEEN_LATELY,
        )
        with reading(self._engine) as connection:
            return KindStatus(
                kind=kind.name,
                states={State(state): count for state, count in connection.execute(counts)},
                to_send=connection.scalar(unseen) or 0,
                oldest_due_at=connection.scalar(oldest),
                last_scan_at=connection.scalar(scanned),
                workers=connection.scalar(workers) or 0,
            )

    @patiently
    def audit_of(self, kind: DocumentKind, code: str) -> list[dict[str, Any]]:
        """Who did what to one delivery, oldest first: at, who, action, why."""
        entries = (
            select(audit.c.at, audit.c.who, audit.c.action, audit.c.why)
            .where(audit.c.kind == kind.name, audit.c.code == code)
            .order_by(audit.c.at)
        )
        with reading(self._engine) as connection:
            return [dict(row._mapping) for row in connection.execute(entries)]

    # ---- the parts --------------------------------------------------------------------------------------

    def _write_ledger(
        self, connection: Connection, kind: DocumentKind, settlements: Sequence[Settlement], token: str
    ) -> None:
        now = self._clock.now()
        outcomes = [{"token": token, **_ledger_values(settlement, now)} for settlement in settlements]
        connection.execute(sending.settling(kind), outcomes)

    def _write_source(self, connection: Connection, kind: DocumentKind, settlements: Sequence[Settlement]) -> None:
        has_code = kind.national_code_column not in self._source.tables(kind).missing_optional
        accepted: list[Settlement] = []
        others: list[Settlement] = []
        for each in settlements:
            (accepted if has_code and each.decision.national_code is not None else others).append(each)
        for group, with_code in ((accepted, True), (others, False)):
            if group:
                told = [self._source_values(kind, each, with_code) for each in group]
                connection.execute(sending.telling(kind, with_code=with_code), told)

    def _source_values(self, kind: DocumentKind, settlement: Settlement, with_code: bool) -> dict[str, Any]:
        values = {
            "of_code": settlement.code,
            "to_status": int(SOURCE_STATUS[settlement.decision.state]),
            "to_note": self._note(kind, settlement.note),
        }
        if with_code:
            length = self._source.tables(kind).national_code_length
            values["to_national_code"] = cut(settlement.decision.national_code or "", length)
        return values

    def _note(self, kind: DocumentKind, note: str) -> str:
        return cut(note, self._source.tables(kind).note_length or _LONGEST_NOTE)


def _claimed(connection: Connection, kind: DocumentKind, codes: Sequence[str], token: str) -> list[Claimed]:
    return [
        Claimed(
            code=row.code,
            facility=row.facility,
            revision=row.revision,
            standing=Standing(row.attempts, bool(row.uncertain)),
            first_seen_at=row.first_seen_at,
            deaths=row.deaths,
            sent=row.sent_at is not None,
            national_code=row.national_code,
        )
        for row in connection.execute(sending.claimed(kind), {"codes": codes, "token": token})
    ]


def _fence(connection: Connection, kind: DocumentKind, codes: Sequence[str], token: str) -> set[str]:
    """Lock the rows whose claim we hold, and say which those are."""
    held = {"codes": codes, "token": token}
    if connection.execute(sending.locking(kind), held).rowcount == len(codes):
        return set(codes)
    return set(connection.scalars(sending.locked(kind), held))


_DELIVERY_COLUMNS = [delivery.c[name] for name in Delivery.__dataclass_fields__]


def move(
    connection: Connection,
    kind: str,
    codes: Sequence[str],
    transition: Transition,
    values: dict[str, Any],
    *guards: ColumnElement[bool],
) -> int:
    """The guarded UPDATE behind every move. Returns how many rows it moved."""
    done = connection.execute(
        update(delivery)
        .where(delivery.c.kind == kind, delivery.c.code.in_(codes), only_if(_movable(transition), *guards))
        .values({"state": transition.target, **values})
    )
    return done.rowcount


def moved(
    connection: Connection, kind: DocumentKind, codes: Sequence[str], transition: Transition, now: datetime
) -> list[str]:
    """Which of `codes` this transaction moved: a worker may have been faster with the others."""
    columns = delivery.c
    these = select(columns.code).where(
        columns.kind == kind.name,
        columns.code.in_(codes),
        only_if(columns.state == transition.target, columns.updated_at == now),
    )
    return list(connection.scalars(these))


def scan_heartbeat(kind: DocumentKind) -> str:
    """The name under which a kind's scans are noted."""
    return f"scan:{kind.name}"


def _worker_heartbeat(kind: DocumentKind) -> str:
    return f"worker:{kind.name}:"


def requeued(now: datetime) -> dict[str, Any]:
    """What a closed or waiting delivery becomes when it is to be sent anew: see NEW_REVISION_FROM."""
    answered = delivery.c.state.in_(NEW_REVISION_FROM) & not_(delivery.c.uncertain)
    return {
        "due_at": now,
        "attempts": 0,
        "deaths": 0,
        "revision": case((answered, delivery.c.revision + 1), else_=delivery.c.revision),
        "updated_at": now,
        "finished_at": null(),
    }


def _is_due(now: datetime) -> ColumnElement[bool]:
    """Due, or written in the future: a clock that was set back must not make documents wait for it to catch up."""
    columns = delivery.c
    # That it is not null goes without saying, but not to a planner, who has a million finished deliveries to skip.
    return columns.due_at.is_not(None) & or_(columns.due_at <= now, columns.updated_at > now + CLOCK_TOLERANCE)


def _paused(now: datetime) -> Select[Any]:
    """The facilities to which nothing is sent now."""
    held = or_(holds(circuit.c.open_until, now), holds(circuit.c.probe_until, now))
    return select(circuit.c.facility).where(circuit.c.facility != PARTNER, held)


def _due_in_turn(kind: DocumentKind, now: datetime, limit: int) -> Select[Any]:
    columns = delivery.c
    turn = func.row_number().over(partition_by=columns.facility, order_by=(columns.due_at, columns.code))
    due = (
        select(columns.code, columns.deaths, columns.due_at, turn.label("turn"))
        .where(columns.kind == kind.name, _is_due(now), columns.state.in_(OFFER.sources))
        .where(columns.facility.not_in(_paused(now)))
        .subquery()
    )
    return select(due.c.code, due.c.deaths).order_by(due.c.turn, due.c.due_at, due.c.code).limit(limit)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except IntegrityError as error:
        raise RowRefused(f"The database refuses a row: {error.orig}") from error


def _movable(transition: Transition) -> ColumnElement[bool]:
    return delivery.c.state.in_(transition.sources)


def selection_parts(selection: Selection) -> list[Selection]:
    """The selection in parts whose codes one statement can bind."""
    if not selection.codes:
        return [selection]
    return [replace(selection, codes=tuple(codes)) for codes in _slices(dict.fromkeys(selection.codes))]


def selected(selection: Selection) -> Iterator[ColumnElement[bool]]:
    """The conditions under which a delivery is meant."""
    columns = delivery.c
    if selection.kind is not None:
        yield columns.kind == selection.kind
    if selection.codes:
        yield columns.code.in_(selection.codes)
    if selection.state is not None:
        yield columns.state == selection.state
    if selection.error_code is not None:
        yield columns.error_code == selection.error_code
    if selection.cause is not None:
        yield columns.cause.is_not(None) & (columns.cause == selection.cause)
    if selection.facility is not None:
        yield columns.facility == selection.facility
    if selection.date_from is not None:
        yield columns.document_date >= selection.date_from
    if selection.date_to is not None:
        yield columns.document_date <= selection.date_to


def _ledger_values(settlement: Settlement, now: datetime) -> dict[str, Any]:
    decision = settlement.decision
    return {
        "of_code": settlement.code,
        "to_state": decision.state,
        "to_facility": settlement.attempt.facility,
        "to_attempts": decision.attempts,
        "to_uncertain": decision.uncertain,
        "to_deaths": settlement.deaths,
        "to_due_at": decision.due_at,
        "to_national_code": decision.national_code,
        "to_error_code": decision.problem.code if decision.problem else None,
        "to_failed_at": now if decision.problem else None,
        "to_cause": cause_of(decision.problem) if decision.problem and decision.state in REFUSED else None,
        "to_error_message": cut(decision.problem.message, _LONGEST_NOTE) if decision.problem else None,
        "to_sha256": settlement.payload_sha256,
        "to_finished_at": now if decision.state in CLOSED else None,
        # In the future when the clock was set back since the answer, from which `due_at` was reckoned.
        "to_updated_at": max(now, settlement.attempt.started_at),
    }


def _attempt_row(entry: Attempt) -> dict[str, Any]:
    row = {name: getattr(entry, name) for name in entry.__dataclass_fields__}
    row["record"] = msgspec.json.encode(entry.record).decode()
    return row


def as_delivery(row: Row[Any]) -> Delivery:
    """A row of the columns that a Delivery has."""
    values = dict(row._mapping)
    return Delivery(**{**values, "state": State(values["state"]), "uncertain": bool(values["uncertain"])})


def _found(row: Row[Any]) -> dict[str, Any]:
    """What discovery learns of a document."""
    return {
        "code": row.code,
        "facility": short_text(row.facility, 50),
        "document_date": as_date(row.document_date),
    }


def _corrected(kind: DocumentKind) -> Update:
    """A reopened document may have been given another facility or date."""
    return (
        update(delivery)
        .where(delivery.c.kind == kind.name, delivery.c.code == bindparam("its_code"))
        .values(facility=bindparam("its_facility"), document_date=bindparam("its_document_date"))
    )


def _slices(codes: Iterable[str]) -> Iterator[list[str]]:
    remaining = iter(codes)
    while some := list(islice(remaining, MOST_PARAMETERS)):
        yield some
