"""A document's way through everything that can happen to it, in random order, held against the promises.

Real: database, ledger, circuits, scan, rescue, deliver, judge and replay. Played: time, the broker, the partner, the
source's own program, operators, and death. Workers run the real `Deliver`, halted before every SQL call and every
answer, so that anything may happen in between; whoever is never woken again is dead.

After every single SQL call the `Inspector` compares what was with what is and asks who may have done that. Its tables
are written from the design, not taken from `app.domain`: one misreading must not cancel out another.
"""

import asyncio
import os
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from itertools import count
from random import Random
from threading import Event
from typing import Any, NamedTuple, TypeAlias

import msgspec
import pytest
import structlog
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Engine, delete, event, insert, select, update

from app.core.config import Language, load_settings
from app.db.circuits import SqlCircuits
from app.db.engine import open_engine, reading, writing
from app.db.ledger import SqlLedger
from app.db.replays import SqlReplays
from app.db.source import SqlSource
from app.db.tables import LEDGER, attempt, circuit, delivery
from app.demo.sample_data import generate
from app.documents import PHIEU_NHAP, SOURCE, DocumentKind
from app.domain.circuit import FOR_EVER, PARTNER, CircuitPolicy
from app.domain.decide import RetryPolicy, UnknownPolicy
from app.domain.deliveries import Claimed, Exchange, Selection, Settlement
from app.domain.errors import BrokerUnavailable, ErrorCode, Problem
from app.domain.kinds import idempotency_key
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Retry, Scope, Unknown
from app.domain.retry import RetrySchedule
from app.domain.states import State
from app.partners import Prepared
from app.partners.basic import BASIC
from app.services.bulk import Pacing
from app.services.deliver import Deliver
from app.services.gate import Gate
from app.services.replay import Action, Replay, Verdict
from app.services.rescue import Rescue
from app.services.scan import Scan, ScanLimits
from app.services.settling import Judge
from tests.books import TODAY
from tests.clocks import SettableClock

EXAMPLES = os.environ.get("HERMES_HYPOTHESIS_EXAMPLES")
"""More ways than usual, and other ones each time: for whoever hunts."""

SETTINGS = settings(
    max_examples=int(EXAMPLES or 20),
    stateful_step_count=40,
    derandomize=EXAMPLES is None,
    database=None,
    report_multiple_bugs=False,
    deadline=None,
    # To explain or shrink a failure takes minutes: only for whoever hunts.
    phases=[Phase.generate] if EXAMPLES is None else [Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)

FEW_ON_A_SERVER = settings(SETTINGS, max_examples=min(SETTINGS.max_examples, 2))
"""Every statement travels there and back, and there are thousands in one example."""

KIND = PHIEU_NHAP
DOCUMENTS, WORKERS = 5, 3
FACILITIES = ("CS01", "CS02")
SCHEDULE = (timedelta(seconds=30), timedelta(minutes=10))
CLAIM_SECONDS, REQUEST_SECONDS, GRACE_SECONDS = 120, 30, 30
REOFFER = timedelta(minutes=5)
MOST_DEATHS = 3
JITTER = 0.1
LONGEST_WAIT = timedelta(hours=1) * (1 + JITTER)
CLOCK_TOLERANCE = timedelta(minutes=5)
GATE_LOOKS_EVERY = timedelta(seconds=1)
WHO = {"who": "trực đêm", "why": "thử"}

Q, S, W, U, A, R, P = (
    State.QUEUED,
    State.SENDING,
    State.WAITING,
    State.UNKNOWN,
    State.ACCEPTED,
    State.REJECTED,
    State.PARKED,
)
CLOSED = {A, R, P}
SOURCE_STATUS = {W: 2, U: 2, A: 1, R: 3, P: 3}
TO_SEND = {None, 0, 2}


class Actor(StrEnum):
    """Who can move a delivery."""

    NOBODY = "the world outside"
    SOURCE = "the source's own program"
    SCAN = "scan"
    RESCUER = "a rescuer that had stalled"
    WORKER = "worker"
    RETRY = "operator: retry"
    RESEND = "operator: resend"
    PARK = "operator: park"
    RESOLVE = "operator: resolve"


MAY_MOVE: dict[Actor, set[tuple[State | None, State]]] = {
    Actor.NOBODY: set(),
    Actor.SOURCE: set(),
    Actor.SCAN: {(None, Q), (Q, Q), (W, Q), (U, Q), (A, Q), (R, Q), (P, Q), (S, Q), (S, S), (S, U), (S, P)},
    Actor.RESCUER: {(S, U), (S, P)},
    Actor.WORKER: {(Q, Q), (Q, S), (S, S), (S, Q), (S, A), (S, R), (S, W), (S, U), (S, P)},
    Actor.RETRY: {(W, Q), (U, Q), (R, Q), (P, Q)},
    Actor.RESEND: {(A, Q)},
    Actor.PARK: {(Q, P), (W, P), (U, P), (R, P)},
    Actor.RESOLVE: {(U, A), (U, R), (U, Q)},
}

# ---- the partner --------------------------------------------------------------------------------------------


class Answer(StrEnum):
    """What can come of a request."""

    ACCEPTS = "accepts"
    REJECTS = "rejects"
    FAILS = "fails on it and says so"
    BUSY = "asks to come back later"
    LOCKED_OUT = "refuses the account"
    UNREACHABLE = "was not reached"
    UNHEARD = "accepts, and the answer is lost"
    SILENT = "does not answer; the request may still arrive"


@dataclass(slots=True, eq=False)
class Request:
    """A request on its way. `waiter` is None when nobody waits for its answer any more; `asks`: it only asks what
    the partner has under this code, whatever the revision."""

    code: str
    revision: int
    waiter: asyncio.Future[Exchange | None] | None = field(repr=False)
    asks: bool = False


class Book:
    """Which copies the partner has: by idempotency key, which it recognises (P4)."""

    def __init__(self) -> None:
        self.copies: dict[tuple[str, int], str] = {}
        self._numbers = count(1)

    def take(self, request: Request) -> Accepted:
        """Commit it, once."""
        here = (request.code, request.revision)
        if here in self.copies:
            return Accepted(self.copies[here], duplicate=True)
        self.copies[here] = f"QG-{next(self._numbers)}"
        return Accepted(self.copies[here])

    def answer(self, request: Request, answer: Answer) -> Outcome | None:
        """What its sender gets to know; None: the partner has nothing under that code."""
        known = (request.code, request.revision) in self.copies
        match answer:
            case Answer.ACCEPTS if request.asks:
                return self._latest(request.code)
            case Answer.REJECTS | Answer.UNHEARD if request.asks:
                return Unknown(Problem(ErrorCode.UNREADABLE_REPLY, "?"))
            case Answer.ACCEPTS:
                return self.take(request)
            case Answer.REJECTS:
                return self.take(request) if known else Rejected(Problem(ErrorCode.REFUSED, "sai"))
            case Answer.FAILS:
                return Retry(Problem(ErrorCode.PARTNER_ERROR, "500"))
            case Answer.BUSY:
                return Defer(Problem(ErrorCode.PARTNER_UNAVAILABLE, "503"), after=timedelta(minutes=20))
            case Answer.LOCKED_OUT:
                return Defer(Problem(ErrorCode.CREDENTIALS_REFUSED, "401"), Scope.FACILITY)
            case Answer.UNREACHABLE:
                return Defer(Problem(ErrorCode.CONNECT_FAILED, "DNS"))
            case Answer.UNHEARD:
                self.take(request)
                return Unknown(Problem(ErrorCode.CONNECTION_LOST, "mất kết nối"))
            case Answer.SILENT:
                return Unknown(Problem(ErrorCode.TIMEOUT, "không trả lời"))

    def _latest(self, code: str) -> Accepted | None:
        copies = [number for (each, _), number in sorted(self.copies.items()) if each == code]
        return Accepted(copies[-1], duplicate=True) if copies else None


# ---- our processes ------------------------------------------------------------------------------------------


class Stalled(Exception):
    """A process stopped before it settled; it may go on later."""

    def __init__(self, settlements: Sequence[Settlement], token: str) -> None:
        super().__init__()
        self.settlements = settlements
        self.token = token


@dataclass(frozen=True, slots=True)
class Settled:
    """One call of `settle`: what was to be written, and which codes it says it wrote."""

    settlements: Sequence[Settlement]
    token: str
    written: set[str]


class WatchedLedger(SqlLedger):
    """The real ledger of one process. Notes what it was asked, and lets two accidents happen: a commit that goes
    unnoticed, so that the call is repeated, and a stall before settling."""

    unnoticed = False
    stalls = False

    def __init__(self, engine: Engine, source: SqlSource, clock: SettableClock) -> None:
        super().__init__(engine, source, clock)
        self.tokens: set[str] = set()
        self.begun: Counter[str] = Counter()
        self.unsent: set[str] = set()
        self.settled: list[Settled] = []

    def claim(self, kind: DocumentKind, codes: Sequence[str], token: str, *, expires_at: datetime) -> list[Claimed]:
        self.tokens.add(token)
        return self._call(partial(super().claim, kind, codes, token, expires_at=expires_at))

    def begin_send(self, kind: DocumentKind, codes: Sequence[str], token: str, *, expires_at: datetime) -> set[str]:
        alive = self._call(partial(super().begin_send, kind, codes, token, expires_at=expires_at))
        self.begun.update(alive)
        return alive

    def release(
        self,
        kind: DocumentKind,
        codes: Sequence[str],
        token: str,
        *,
        due_at: datetime | None = None,
        noted: bool = False,
    ) -> int:
        for code in codes if noted else ():
            assert self.begun[code] > 0, "given back as unsent, though it was sent (P5)"
            self.begun[code] -= 1
            self.unsent.add(code)
        return self._call(partial(super().release, kind, codes, token, due_at=due_at, noted=noted))

    def settle(self, kind: DocumentKind, settlements: Sequence[Settlement], token: str) -> set[str]:
        if self.stalls:
            raise Stalled(settlements, token)
        written = self._call(partial(super().settle, kind, settlements, token))
        self.settled.append(Settled(settlements, token, written))
        return written

    def take_over_expired(self, kind: DocumentKind, token: str, *, limit: int, expires_at: datetime) -> list[Claimed]:
        self.tokens.add(token)
        return super().take_over_expired(kind, token, limit=limit, expires_at=expires_at)

    def _call(self, call: Callable[[], Any]) -> Any:
        found = call()
        return call() if self.unnoticed else found


class Punctual(CircuitPolicy):
    """Opens soon, since documents are few, and without chance."""

    def opens(self, calls: int, failures: int) -> bool:
        return calls >= 3 and failures >= self.share * calls

    def pause(self, level: int, asked: timedelta | None, chance: float) -> timedelta:
        return super().pause(level, asked, 0.5)


class Stage:
    """What outlives an example: one database, emptied for each, and one event loop."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.source = SqlSource(engine)
        self.loop = asyncio.new_event_loop()

    def clear(self) -> None:
        with writing(self.engine) as connection:
            for table in (*reversed(SOURCE.sorted_tables), *LEDGER.sorted_tables):
                connection.execute(delete(table))

    def run_until_halted(self) -> None:
        """Let every coroutine come to its next halt: the longest way between two is a few turns."""
        self.loop.run_until_complete(_turns(20))

    def bury(self) -> None:
        """End what still waits."""
        self.loop.run_until_complete(_end_all())


async def _turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def _end_all() -> None:
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:  # what cleans up may halt once more
        for task in tasks:
            task.cancel()
        await _turns(5)


class Worker:
    """A process with the real `Deliver`, halted before each SQL call until `work` wakes it."""

    def __init__(
        self,
        stage: Stage,
        clock: SettableClock,
        judge: Judge,
        partner: "Machine",
        name: str,
        *,
        policy: UnknownPolicy,
    ) -> None:
        self._name = name
        self._stage = stage
        self._partner = partner
        self.ledger = WatchedLedger(stage.engine, stage.source, clock)
        self.halted: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self.runs: list[asyncio.Task[Any]] = []
        self.stopping = Event()
        self._deliver = Deliver(
            self.ledger,
            stage.source,
            self,
            BASIC.endpoints,
            judge,
            make_gate(stage, clock),
            clock,
            concurrency=2,
            claim_seconds=CLAIM_SECONDS,
            longest_request_seconds=REQUEST_SECONDS,
            grace_seconds=GRACE_SECONDS,
            in_thread=self._in_thread,
            stopping=self.stopping,
            looks_up=policy is UnknownPolicy.LOOKUP,
            reads_ahead=policy is not UnknownPolicy.HOLD,
        )

    def __repr__(self) -> str:
        return self._name

    def take(self, codes: Sequence[str]) -> None:
        """A message from the queue."""
        self.runs.append(self._stage.loop.create_task(self._deliver.run(KIND, codes)))
        self._stage.run_until_halted()

    def work(self) -> None:
        """Make the next SQL call, and go on to the next halt."""
        call, answer = self.halted.popleft()
        answer.set_result(call())
        self._stage.run_until_halted()
        for run in [run for run in self.runs if run.done()]:
            self.runs.remove(run)
            run.result()  # raises what went wrong

    async def submit(self, kind: str, document: Prepared, idempotency_key: str) -> Exchange:
        """The partner's API."""
        return await self._partner.sent(self, document, idempotency_key)

    async def look_up(self, kind: str, code: str, document: Prepared) -> Exchange | None:
        """The partner's API, where it can be asked."""
        return await self._partner.asked(self, code)

    async def _in_thread(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer: asyncio.Future[Any] = self._stage.loop.create_future()
        self.halted.append((partial(call, *args, **kwargs), answer))
        return await answer


def make_gate(stage: Stage, clock: SettableClock) -> Gate:
    return Gate(SqlCircuits(stage.engine, clock), clock, probe_seconds=CLAIM_SECONDS, policy=Punctual())


# ---- the inspector ------------------------------------------------------------------------------------------


class Row(NamedTuple):
    """A row of `hermes_delivery`."""

    code: str
    facility: str
    state: State
    attempts: int
    revision: int
    due_at: datetime | None
    claim_token: str | None
    sent_at: datetime | None
    deaths: int
    uncertain: bool
    national_code: str | None
    error_code: str | None
    updated_at: datetime
    finished_at: datetime | None


class Entry(NamedTuple):
    """A row of `hermes_attempt`."""

    code: str
    outcome: str
    error_code: str | None
    revision: int
    attempt: int
    started_at: datetime
    late: bool


class Told(NamedTuple):
    """What the source row says."""

    status: int | None
    national_code: str | None


@dataclass(frozen=True, slots=True)
class Books:
    """All that is written, at one moment."""

    deliveries: dict[str, Row] = field(default_factory=dict)
    attempts: dict[str, Entry] = field(default_factory=dict)
    source: dict[str, Told] = field(default_factory=dict)
    pauses: dict[str, tuple[datetime, str]] = field(default_factory=dict)


_DELIVERIES = select(*(delivery.c[name] for name in Row._fields))
_ATTEMPTS = select(attempt)
_SOURCE = select(KIND.code, KIND.header.c.status_phieu, KIND.national_code)
_PAUSES = select(circuit.c.facility, circuit.c.open_until, circuit.c.opened_by).where(circuit.c.open_until.is_not(None))


def read_books(engine: Engine) -> Books:
    with reading(engine) as connection:
        return Books(
            {row.code: Row(*row)._replace(state=State(row.state)) for row in connection.execute(_DELIVERIES)},
            {row.id: _entry(row) for row in connection.execute(_ATTEMPTS)},
            {code: Told(status, national_code) for code, status, national_code in connection.execute(_SOURCE)},
            {facility: (until, by) for facility, until, by in connection.execute(_PAUSES)},
        )


def _entry(row: Any) -> Entry:
    late = "late" in msgspec.json.decode(row.record)
    return Entry(row.code, row.outcome, row.error_code, row.revision, row.attempt, row.started_at, late)


@dataclass(frozen=True, slots=True)
class Step:
    """Who just did something: with which tokens, to which codes at most (None: any), having settled what, and which
    of those noted as sent it has kept back."""

    actor: Actor
    tokens: Collection[str] = ()
    codes: Collection[str] | None = None
    settled: Sequence[Settled] = ()
    unsent: Collection[str] = ()


class Inspector:
    """Compares what was with what is. Every assertion stands for a promise."""

    def __init__(self, engine: Engine, clock: SettableClock, book: Book, policy: UnknownPolicy) -> None:
        self._engine = engine
        self._clock = clock
        self._book = book
        self._policy = policy
        self.books = Books()
        self.sound = True
        self.keys: dict[str, tuple[str, int]] = {}
        self.confirmed: set[tuple[str, int]] = set()
        """Revisions that the ledger called accepted, or an operator decided: only these may be followed by another."""
        self.resolved: set[tuple[str, int]] = set()
        self.paused: dict[str, tuple[datetime, int]] = {}
        """Operators' pauses: since when, and how often the clock had been set back by then."""
        self.answers: dict[int, tuple[str, Outcome]] = {}
        self.set_back = 0

    def look(self, step: Step) -> int:
        """Check what the step did; returns how many deliveries it changed."""
        self.sound = False
        was, now = self.books, read_books(self._engine)
        assert was.deliveries.keys() <= now.deliveries.keys()
        moved = {code for code, row in now.deliveries.items() if was.deliveries.get(code) != row}
        entries = self._check_log(step, was, now, moved)
        for code in moved:
            self._check_move(step, was, was.deliveries.get(code), now.deliveries[code], entries.get(code))
        self._check_source(step, was, now, moved)
        for row in now.deliveries.values():
            self._note(row)
            self._check_standing(row)
        self._check_pauses(now)
        self.books = now
        self.sound = True
        return len(moved)

    def sending(self, key: str) -> tuple[str, int]:
        """A request leaves: which document's revision it carries."""
        code, revision = self.keys[key]
        self.check_copies(code, revision)
        return code, revision

    def check_copies(self, code: str, revision: int) -> None:
        """Earlier copies at the partner were closed by its word or a person's before this one was made (P4)."""
        earlier = {each for each in self._book.copies if each[0] == code and each[1] < revision}
        assert earlier <= self.confirmed, "a second copy of what was never called accepted"

    def _note(self, row: Row) -> None:
        self.keys[idempotency_key(KIND.name, row.code, row.revision)] = (row.code, row.revision)
        if row.state is A:
            self.confirmed.add((row.code, row.revision))

    def _check_log(self, step: Step, was: Books, now: Books, moved: set[str]) -> dict[str, Entry]:
        """One entry per settled outcome, also of those that came too late; returns those that changed something."""
        new = {name: entry for name, entry in now.attempts.items() if name not in was.attempts}
        assert was.attempts.items() <= now.attempts.items()
        tried = [settlement.attempt.id for call in step.settled for settlement in call.settlements]
        assert sorted(new) == sorted(tried)
        for call in step.settled:
            written = {each.code for each in call.settlements if not new[each.attempt.id].late}
            assert call.written == written, "a late answer passes for a written one"
            assert written <= moved
        counted = Counter(entry.code for entry in new.values() if not entry.late)
        assert all(number == 1 for number in counted.values())
        return {entry.code: entry for entry in new.values() if not entry.late}

    def _check_move(self, step: Step, books: Books, was: Row | None, now: Row, entry: Entry | None) -> None:
        edge = (was.state if was else None, now.state)
        assert edge in MAY_MOVE[step.actor], f"{step.actor} moved {edge}"
        assert step.codes is None or now.code in step.codes
        assert now.updated_at == self._clock.now() or step.actor in {Actor.SCAN, Actor.WORKER}
        if was is None:
            assert (now.revision, now.attempts, now.uncertain, now.deaths) == (1, 0, False, 0)
            return
        if was.state is S:
            self._check_claim_allows(step, was)
        if now.state is S:
            self._check_claim(step, was, now)
        elif entry is not None:
            self._check_outcome(step, was, now, entry)
        elif now.state is Q and (was.state in CLOSED or step.actor in {Actor.RETRY, Actor.RESEND, Actor.RESOLVE}):
            assert step.actor is not Actor.SCAN or books.source[now.code].status in TO_SEND
            self._check_fresh(was, now)
        else:
            self._check_kept(step, was, now)

    def _check_claim_allows(self, step: Step, was: Row) -> None:
        """Only the holder moves what it holds, until the claim expires (P2, P3)."""
        if was.claim_token in step.tokens:
            return
        assert step.actor is Actor.SCAN
        assert self._is_past(was), "a live claim was taken"

    def _check_claim(self, step: Step, was: Row, now: Row) -> None:
        assert now.claim_token in step.tokens
        assert self._same(was, now, "attempts", "revision", "uncertain")
        assert now.due_at == self._clock.now() + timedelta(seconds=CLAIM_SECONDS)
        taken_over = was.claim_token not in {None, now.claim_token}
        assert now.deaths == was.deaths + taken_over
        if was.state is Q:
            assert now.sent_at is None
        elif not taken_over:  # begin_send
            assert was.due_at is not None
            assert was.due_at > self._clock.now(), "sent under an expired claim"
            assert now.sent_at == self._clock.now()
            assert not self._is_paused(now.facility), "sent although an operator paused it"

    def _check_outcome(self, step: Step, was: Row, now: Row, entry: Entry) -> None:
        """The table of outcomes: state, attempts, when it is due, and what remains uncertain (P5, P6)."""
        if step.actor is Actor.WORKER:
            self._check_is_what_came(step, was, entry)
        died = entry.error_code == ErrorCode.WORKER_LOST
        assert died == (step.actor in {Actor.SCAN, Actor.RESCUER})
        counts = was.sent_at is not None if died else entry.outcome != "defer"
        assert now.attempts == was.attempts + counts
        assert (entry.revision, entry.attempt) == (now.revision, now.attempts)
        assert now.revision == was.revision
        given_up = died and now.deaths >= MOST_DEATHS
        uncertain = was.uncertain or (entry.outcome == "unknown" and (was.sent_at is not None))
        used_up = now.attempts > len(SCHEDULE)
        held = used_up or given_up or self._policy is UnknownPolicy.HOLD
        match entry.outcome:
            case "accepted":
                expected = (A, False, False)
            case "rejected":
                expected = (R, uncertain, False)
            case "defer":
                expected = (U if uncertain else W, uncertain, True)
            case _ if uncertain:
                expected = (U, True, not held)
            case _:
                expected = (P, False, False) if used_up or given_up else (W, False, True)
        assert (now.state, now.uncertain, now.due_at is not None) == expected
        if now.due_at is not None:
            self._check_delay(now, entry)

    def _check_is_what_came(self, step: Step, was: Row, entry: Entry) -> None:
        if was.sent_at is None:
            assert entry.outcome == "rejected"
            assert entry.error_code in {ErrorCode.INVALID_DOCUMENT, ErrorCode.DOCUMENT_GONE}
            return
        (outcome,) = (each.outcome for call in step.settled for each in call.settlements if each.code == was.code)
        code, given = self.answers.pop(id(outcome))
        assert (code, given.name) == (was.code, entry.outcome)

    def _check_delay(self, now: Row, entry: Entry) -> None:
        """As long as the schedule or the partner says, from the answer on; never longer from now on."""
        assert now.due_at is not None
        if entry.outcome == "defer":
            shortest = timedelta(minutes=20 if entry.error_code == ErrorCode.PARTNER_UNAVAILABLE else 0)
            longest = LONGEST_WAIT
        else:
            shortest, longest = (SCHEDULE[now.attempts - 1] * share for share in (1 - JITTER, 1 + JITTER))
        assert min(self._clock.now(), entry.started_at) + shortest <= now.due_at
        assert now.due_at <= max(self._clock.now(), now.updated_at) + longest, "due too late"

    def _check_fresh(self, was: Row, now: Row) -> None:
        """A fresh schedule; a new idempotency key only when nothing of the old revision may be under way."""
        assert (now.attempts, now.deaths, now.uncertain) == (0, 0, was.uncertain)
        assert now.revision == was.revision + (was.state in {A, R} and not was.uncertain)

    def _check_kept(self, step: Step, was: Row, now: Row) -> None:
        assert self._same(was, now, "attempts", "revision")
        assert now.uncertain == (was.uncertain and step.actor is not Actor.RESOLVE)
        if was.state is S:
            assert was.sent_at is None or was.code in step.unsent, "given back although it may have been sent"
            assert now.deaths == was.deaths + (step.actor is Actor.SCAN)

    def _check_source(self, step: Step, was: Books, now: Books, moved: set[str]) -> None:
        """What settles tells the source row in the same breath; nothing else touches it."""
        if step.actor is Actor.SOURCE:
            return
        assert was.source.keys() == now.source.keys()
        for code, told in now.source.items():
            row = now.deliveries.get(code)
            if code in moved and row is not None and row.state in SOURCE_STATUS:
                assert told.status == SOURCE_STATUS[row.state]
                assert row.state is not A or row.national_code is None or told.national_code == row.national_code
            else:
                assert told == was.source[code]

    def _check_standing(self, row: Row) -> None:
        now = self._clock.now()
        assert (row.claim_token is not None) == (row.state is S)
        assert row.sent_at is None or row.state is S
        assert (row.finished_at is not None) == (row.state in CLOSED)
        assert not (row.state is A and row.uncertain)
        if row.state in CLOSED:
            assert row.due_at is None
        elif row.due_at is None:
            assert row.state is U, "forgotten"
            used_up = row.attempts > len(SCHEDULE)
            assert used_up or row.deaths >= MOST_DEATHS or self._policy is UnknownPolicy.HOLD
        else:
            latest = max(now, row.updated_at) + LONGEST_WAIT
            assert row.due_at <= latest, f"due in the far future: {row}"
        here = (row.code, row.revision)
        has_it = here in self._book.copies or here in self.resolved or self._was_misled(row)
        assert row.state is not A or has_it, "the partner has it not"
        if here in self._book.copies and here not in self.resolved:
            out = row.state is S and row.sent_at is not None
            assert row.state is A or row.uncertain or out, "the partner has a copy and nobody suspects it (P5)"

    def _was_misled(self, row: Row) -> bool:
        """A person decided on a revision while its request was still out, and it arrived: what the partner shows
        under the code is then taken for the next revision, where it is asked."""
        arrived = {each for each in self.resolved & self._book.copies.keys() if each[0] == row.code}
        return self._policy is UnknownPolicy.LOOKUP and any(revision < row.revision for _, revision in arrived)

    def _check_pauses(self, now: Books) -> None:
        for facility in self.paused:
            assert now.pauses.get(facility) == (FOR_EVER, WHO["who"]), "an operator's pause is gone"

    def _is_paused(self, facility: str) -> bool:
        """Whether an operator paused it so long ago that every gate has seen it."""
        for name in (PARTNER, facility):
            since, set_back = self.paused.get(name, (self._clock.now(), self.set_back))
            if set_back == self.set_back and self._clock.now() - since >= GATE_LOOKS_EVERY:
                return True
        return False

    def _is_past(self, row: Row) -> bool:
        """Due, or written when the clock was wrong."""
        assert row.due_at is not None
        now = self._clock.now()
        return row.due_at <= now or row.updated_at > now + CLOCK_TOLERANCE

    @staticmethod
    def _same(was: Row, now: Row, *names: str) -> bool:
        return all(getattr(was, name) == getattr(now, name) for name in names)


# ---- the machine --------------------------------------------------------------------------------------------

picks = st.integers(0, 11)
"""Which of several; taken modulo their number."""


class Quality(StrEnum):
    """What a source document is like."""

    GOOD = "good"
    DEFECTIVE = "defective"
    LINELESS = "without lines"


Works: TypeAlias = list[tuple[int, Answer]]

answers = st.sampled_from([Answer.ACCEPTS, Answer.ACCEPTS, Answer.UNHEARD, *Answer])
qualities = st.sampled_from([Quality.GOOD, Quality.GOOD, Quality.GOOD, *Quality])
seconds_on = st.sampled_from([1, 31, 125, 310, 650, 4000, 90_000])
seconds_back = st.sampled_from([90, 280, 400, 7200, 200_000])
facilities = st.sampled_from([*FACILITIES, PARTNER])
works = st.lists(st.tuples(picks, answers), max_size=6)
"""What the workers and the partner do meanwhile."""


class Machine(RuleBasedStateMachine):
    """Everything that can happen, in any order. Few rules with many ways each, and work goes on in all of them:
    Hypothesis leaves out some rules of every example, and none may be without its workers."""

    def __init__(self, stage: Stage, policy: UnknownPolicy) -> None:
        super().__init__()
        self._stage = stage
        stage.clear()
        self._clock = SettableClock()
        self._book = Book()
        self._inspector = Inspector(stage.engine, self._clock, self._book, policy)
        retry = RetryPolicy(RetrySchedule(SCHEDULE), policy)
        self._judge = Judge(retry, Language.VI, self._clock, Random(1))  # noqa: S311  repeatable jitter
        self._scanner = WatchedLedger(stage.engine, stage.source, self._clock)
        self._rescue = Rescue(self._scanner, self._judge, self._clock, CLAIM_SECONDS)
        limits = ScanLimits(batch=2, queued=4, reoffer_after=REOFFER)
        pacing = Pacing(SqlReplays(stage.engine, self._clock), self._clock)
        self._scan = Scan(self._scanner, self._rescue, pacing, make_gate(stage, self._clock), self._clock, limits)
        circuits = SqlCircuits(stage.engine, self._clock)
        self._replay = Replay(SqlLedger(stage.engine, stage.source, self._clock), circuits, Language.VI)
        self._names = count(1)
        self._workers = [self._new_worker() for _ in range(WORKERS)]
        self._buried: list[Worker] = []
        self._messages: deque[tuple[str, ...]] = deque()
        self._broker_is_up = True
        self._wire: list[Request] = []
        self._stalled: list[Stalled] = []
        self._quality: dict[str, Quality] = {}
        self._samples = list(generate(KIND.name, DOCUMENTS, seed=1, today=TODAY, defect_every=0))

    @initialize(several=st.lists(qualities, min_size=2, max_size=DOCUMENTS), works=works)
    def documents_are_written(self, several: list[Quality], works: Works) -> None:
        for number, quality in enumerate(several):
            self._write(number, quality)
        self.work_goes_on(works)

    @rule(works=works)
    def work_goes_on(self, works: Works) -> None:
        """Messages are taken, workers come to their next halt, the partner answers; when nothing is to be done, time
        passes until the next scan."""
        for pick, answer in works:
            ways: list[Callable[[], None]] = [partial(self._work, worker) for worker in self._workers if worker.halted]
            ways += [partial(self._answer, request, answer) for request in self._wire if request.waiter is not None]
            if self._messages:
                ways.append(partial(self._take_message, pick))
            self._go(ways or [self._tick_a_minute_later], pick)

    @rule(pick=picks, which=picks, quality=qualities, status=st.sampled_from([0, 2, None]), works=works)
    def the_source_changes(self, pick: int, which: int, quality: Quality, status: int | None, works: Works) -> None:
        there = sorted(self._inspector.books.source)
        absent = [number for number in range(DOCUMENTS) if _code(number) not in there]
        ways: list[Callable[[], None]] = []
        if there:
            code = self._any(there, which)
            ways += [partial(self._reopen, code, status)] * 2
            ways += [partial(self._edit, code, quality), partial(self._delete, code)]
        if absent:
            ways += [partial(self._write, self._any(absent, which), quality)] * 2
        self._go(ways, pick)
        self.work_goes_on(works)

    @rule(answer=answers)
    def a_scan_and_whole_deliveries(self, answer: Answer) -> None:
        self._tick()
        worker = self._new_worker()
        while self._messages:
            worker.take(self._messages.popleft())
            self._finish(worker, answer)

    @rule(seconds=seconds_on, works=works)
    def time_passes(self, seconds: int, works: Works) -> None:
        self._clock.move(seconds=seconds)
        self._tick()
        self.work_goes_on(works)

    @rule(seconds=seconds_back, works=works)
    def the_clock_is_set_back(self, seconds: int, works: Works) -> None:
        self._clock.move(seconds=-seconds)
        self._inspector.set_back += 1
        self.work_goes_on(works)

    @rule(pick=picks, which=picks, answer=answers, works=works)
    def an_accident_happens(self, pick: int, which: int, answer: Answer, works: Works) -> None:
        at_work = [worker for worker in self._workers if worker.runs]
        halted = [worker for worker in at_work if worker.halted]
        ways: list[Callable[[], None]] = [self._tick_without_broker, self._tick_whose_messages_are_lost]
        ways.append(self._discover_and_die)
        if at_work:
            ways.append(partial(self._bury, self._any(at_work, which)))
            ways.append(self._any(at_work, which).stopping.set)
        if halted:
            ways.append(partial(self._work, self._any(halted, which), unnoticed=True))
        if self._wire:
            ways.append(partial(self._answer, self._any(self._wire, which), answer))
        if self._messages:
            ways.append(self._messages.clear)
            ways.append(partial(self._take_message, which, redelivered=True))
        if self._in(S):
            ways.append(self._rescue_and_stall)
        if self._stalled:
            ways.append(partial(self._go_on_rescuing, which, unnoticed=answer is Answer.UNHEARD))
        self._go(ways, pick)
        self.work_goes_on(works)

    @rule(pick=picks, which=picks, verdict=st.sampled_from(Verdict), facility=facilities, works=works)
    def an_operator_acts(self, pick: int, which: int, verdict: Verdict, facility: str, works: Works) -> None:
        ways: list[Callable[[], None]] = [partial(self._pause, facility)]
        if self._inspector.books.pauses:
            ways += [partial(self._resume, self._any(self._inspector.books.pauses, which))] * 4
        if self._inspector.books.deliveries:
            code = self._any(self._inspector.books.deliveries, which)
            ways += [partial(self._retry, (code,)), partial(self._retry, ()), partial(self._park, code)]
        if self._in(A):
            ways.append(partial(self._send_again, self._any(self._in(A), which)))
        if self._in(U):
            ways += [partial(self._resolve, self._any(self._in(U), which), verdict, facility or None)] * 2
        self._go(ways, pick)
        self.work_goes_on(works)

    @invariant()
    def nothing_moves_by_itself(self) -> None:
        self._look(Step(Actor.NOBODY))

    def teardown(self) -> None:
        try:
            if self._inspector.sound:
                self._everything_comes_to_its_end()
        finally:
            self._stage.bury()

    # the source's own program

    def _write(self, number: int, quality: Quality) -> None:
        header = {
            **self._samples[number].header,
            KIND.code_column: _code(number),
            "ma_co_so": FACILITIES[number % len(FACILITIES)],
            "status_phieu": 0,
        }
        with writing(self._stage.engine) as connection:
            connection.execute(insert(KIND.header), [header])
        self._edit(_code(number), quality)

    def _edit(self, code: str, quality: Quality) -> None:
        lines = [{**line, KIND.code_column: code} for line in self._samples[_number(code)].lines]
        if quality is Quality.DEFECTIVE:
            lines[0]["so_luong"] = 0
        with writing(self._stage.engine) as connection:
            connection.execute(delete(KIND.lines).where(KIND.line_code == code))
            if quality is not Quality.LINELESS:
                connection.execute(insert(KIND.lines), lines)
        self._quality[code] = quality
        self._look(Step(Actor.SOURCE))

    def _delete(self, code: str) -> None:
        with writing(self._stage.engine) as connection:
            connection.execute(delete(KIND.lines).where(KIND.line_code == code))
            connection.execute(delete(KIND.header).where(KIND.code == code))
        self._look(Step(Actor.SOURCE))

    def _reopen(self, code: str, status: int | None) -> None:
        with writing(self._stage.engine) as connection:
            connection.execute(update(KIND.header).where(KIND.code == code).values(status_phieu=status))
        self._look(Step(Actor.SOURCE))

    # scan and rescue

    def _tick(self) -> None:
        self._scan.run(KIND, self)
        self._look_at_scanner()

    def _tick_a_minute_later(self) -> None:
        self._clock.move(minutes=1)
        self._tick()

    def _tick_without_broker(self) -> None:
        self._broker_is_up = False
        with suppress(BrokerUnavailable):
            self._scan.run(KIND, self)
        self._broker_is_up = True
        self._look_at_scanner()

    def _tick_whose_messages_are_lost(self) -> None:
        before = list(self._messages)
        self._tick()
        self._messages = deque(before)

    def _discover_and_die(self) -> None:
        self._scanner.discover(KIND, 100)
        self._look_at_scanner()

    def _rescue_and_stall(self) -> None:
        self._scanner.stalls = True
        try:
            self._rescue.run(KIND)
        except Stalled as stalled:
            self._stalled.append(stalled)
        finally:
            self._scanner.stalls = False
        self._look_at_scanner()

    def _go_on_rescuing(self, which: int, *, unnoticed: bool) -> None:
        stalled = self._stalled.pop(which % len(self._stalled))
        self._scanner.unnoticed = unnoticed
        self._scanner.settle(KIND, stalled.settlements, stalled.token)
        self._scanner.unnoticed = False
        self._look_at_scanner(Actor.RESCUER, {stalled.token})

    def offer(self, kind: DocumentKind, codes: Sequence[str]) -> None:
        """The queue."""
        if not self._broker_is_up:
            raise BrokerUnavailable("played")
        self._messages.append(tuple(codes))

    def waiting_messages(self, kind: DocumentKind) -> int:
        """The queue's length."""
        return len(self._messages)

    def _look_at_scanner(self, actor: Actor = Actor.SCAN, tokens: Collection[str] = ()) -> None:
        settled, self._scanner.settled = self._scanner.settled, []
        self._look(Step(actor, tokens or self._scanner.tokens, settled=settled))

    # workers

    def _new_worker(self) -> Worker:
        name = f"worker {next(self._names)}"
        return Worker(self._stage, self._clock, self._judge, self, name, policy=self._judge.policy.unknown)

    def _take_message(self, which: int, *, redelivered: bool = False) -> None:
        codes = self._messages[0] if redelivered else self._messages.popleft()
        self._workers[which % WORKERS].take(codes)

    def _work(self, worker: Worker, *, unnoticed: bool = False) -> None:
        worker.ledger.unnoticed = unnoticed
        worker.work()
        settled, worker.ledger.settled = worker.ledger.settled, []
        unsent, worker.ledger.unsent = worker.ledger.unsent, set()
        self._look(Step(Actor.WORKER, worker.ledger.tokens, settled=settled, unsent=unsent))
        if worker.stopping.is_set() and not worker.runs and worker in self._workers:
            self._bury(worker)

    def _bury(self, worker: Worker) -> None:
        """It does nothing more; what it sent may still arrive. Another starts in its place."""
        self._buried.append(worker)
        self._workers[self._workers.index(worker)] = self._new_worker()

    def _finish(self, worker: Worker, answer: Answer) -> None:
        """All that a worker has begun, with one answer to every request."""
        others = list(self._wire)
        while worker.runs:
            if worker.halted:
                self._work(worker)
            else:
                self._answer(next(each for each in self._wire if each not in others and each.waiter), answer)

    # the partner

    def sent(self, worker: Worker, document: Prepared, key: str) -> asyncio.Future[Exchange]:
        """A worker sends a document."""
        code, revision = self._inspector.sending(key)
        assert document.payload["invoiceCode"] == code
        assert worker.ledger.begun[code] > 0, "sent without having noted it (P2)"
        worker.ledger.begun[code] -= 1
        return self._on_its_way(code, revision, asks=False)

    def asked(self, worker: Worker, code: str) -> asyncio.Future[Exchange | None]:
        """A worker asks what has become of a document."""
        assert worker.ledger.begun[code] > 0
        return self._on_its_way(code, self._inspector.books.deliveries[code].revision, asks=True)

    def _on_its_way(self, code: str, revision: int, *, asks: bool) -> asyncio.Future[Any]:
        waiter: asyncio.Future[Any] = self._stage.loop.create_future()
        self._wire.append(Request(code, revision, waiter, asks))
        return waiter

    def _answer(self, request: Request, answer: Answer) -> None:
        outcome = self._book.answer(request, answer)
        self._inspector.check_copies(request.code, request.revision)
        waiter, request.waiter = request.waiter, None
        if answer is not Answer.SILENT or request.asks:
            self._wire.remove(request)
        if waiter is not None:
            if outcome is not None:
                self._inspector.answers[id(outcome)] = (request.code, outcome)
            waiter.set_result(outcome and Exchange(outcome, self._clock.now(), duration_ms=1))
            self._stage.run_until_halted()
        self._look(Step(Actor.NOBODY))

    # operators

    def _retry(self, codes: tuple[str, ...]) -> None:
        moved = self._replay.run(Action.RETRY, Selection(kind=KIND.name, codes=codes), **WHO)
        assert self._look(Step(Actor.RETRY, codes=codes or None)) == moved

    def _send_again(self, code: str) -> None:
        selection = Selection(kind=KIND.name, codes=(code,), state=State.ACCEPTED)
        assert self._replay.run(Action.RETRY, selection, **WHO) == 1
        assert self._look(Step(Actor.RESEND, codes={code})) == 1

    def _park(self, code: str) -> None:
        moved = self._replay.run(Action.PARK, Selection(kind=KIND.name, codes=(code,)), **WHO)
        assert self._look(Step(Actor.PARK, codes={code})) == moved

    def _resolve(self, code: str, verdict: Verdict, national_code: str | None) -> None:
        here = (code, self._inspector.books.deliveries[code].revision)
        if verdict is not Verdict.RESEND:
            self._inspector.resolved.add(here)
            self._inspector.confirmed.add(here)
        given = national_code if verdict is Verdict.ACCEPTED else None
        assert self._replay.resolve(KIND, code, verdict, national_code=given, **WHO)
        assert self._look(Step(Actor.RESOLVE, codes={code})) == 1
        expected = {Verdict.ACCEPTED: A, Verdict.REJECT: R, Verdict.RESEND: Q}[verdict]
        assert self._inspector.books.deliveries[code].state is expected

    def _pause(self, facility: str) -> None:
        self._replay.pause(facility, **WHO)
        self._inspector.paused[facility] = (self._clock.now(), self._inspector.set_back)
        self._look(Step(Actor.NOBODY))

    def _resume(self, facility: str) -> None:
        self._inspector.paused.pop(facility, None)
        assert self._replay.resume(facility, **WHO)
        self._look(Step(Actor.NOBODY))

    # in the end

    def _everything_comes_to_its_end(self) -> None:
        """P1: all processes die, the broker is wiped, the partner is well and operators have let go: within hours
        every document has its answer or waits for a person."""
        self._messages.clear()
        for facility in list(self._inspector.paused):
            self._resume(facility)
        hoped = set(self._to_be_accepted())
        for _ in range(60):
            if not self._open():
                break
            self._clock.move(minutes=5)
            self.a_scan_and_whole_deliveries(Answer.ACCEPTS)
        assert self._open() == [], f"not sent within five hours; paused: {self._inspector.books.pauses}"
        for code, row in self._inspector.books.deliveries.items():
            assert code not in hoped or row.state is A, f"{code} is {row.state}"

    def _to_be_accepted(self) -> Iterator[str]:
        """Good documents that ask to be sent and that no dead worker holds."""
        books = self._inspector.books
        for code, told in books.source.items():
            row = books.deliveries.get(code)
            if self._quality[code] is not Quality.GOOD or (row is not None and row.state is S):
                continue
            if row is None or row.state in CLOSED:
                if told.status in TO_SEND:
                    yield code
            elif row.due_at is not None:
                yield code

    def _open(self) -> list[str]:
        books = self._inspector.books
        due = [row.code for row in books.deliveries.values() if row.due_at is not None]
        waiting = {code for code, row in books.deliveries.items() if row.state not in CLOSED}
        asking = {code for code, told in books.source.items() if told.status in TO_SEND}
        return due + sorted(asking - waiting)

    # the parts

    def _look(self, step: Step) -> int:
        return self._inspector.look(step)

    def _in(self, *states: State) -> list[str]:
        return [code for code, row in self._inspector.books.deliveries.items() if row.state in states]

    def _go(self, ways: Sequence[Callable[[], None]], pick: int) -> None:
        way = ways[pick % len(ways)]
        note(f"  {_described(way)}")
        way()

    @staticmethod
    def _any(several: Iterable[Any], which: int) -> Any:
        options = list(several)
        return options[which % len(options)]


def _described(way: Any) -> str:
    """One of the ways, as it is read in a failing example."""
    if not isinstance(way, partial):
        return str(way.__name__)
    return f"{way.func.__name__}({', '.join(map(str, way.args))}{way.keywords or ''})"


def _code(number: int) -> str:
    return f"PN-{number}"


def _number(code: str) -> int:
    return int(code.removeprefix("PN-"))


@pytest.fixture
def stage(ready_url: str) -> Iterator[Stage]:
    engine = open_engine(load_settings(source_database_url=ready_url))
    if engine.dialect.name == "sqlite":

        @event.listens_for(engine, "connect")
        def _no_power_cuts_here(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA synchronous=OFF")

    made = Stage(engine)
    yield made
    made.loop.close()
    engine.dispose()


def settings_on(stage: Stage) -> settings:
    return SETTINGS if stage.engine.dialect.name == "sqlite" or EXAMPLES else FEW_ON_A_SERVER


@pytest.mark.parametrize("policy", UnknownPolicy)
def test_whatever_happens_in_whatever_order_the_promises_hold(
    stage: Stage, policy: UnknownPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P1 to P6."""
    monkeypatch.setattr("app.services.deliver.GATHERING_SECONDS", 0)  # a worker halts only before a call
    with structlog.testing.capture_logs():
        run_state_machine_as_test(lambda: Machine(stage, policy), settings=settings_on(stage))
