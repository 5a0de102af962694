"""deliver: claim, load, build, send, settle. One batch of one kind; the heart of a worker.

The right to send is noted in SQL immediately before the requests of a window leave, and outcomes are written
as they arrive, while further requests go out: a process that dies leaves few documents uncertain, and a slow
answer holds up nobody else.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from threading import Event
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

import structlog

from app.core.clock import Clock
from app.core.logging import written_together
from app.core.seams import Seam, reached
from app.core.texts import say
from app.documents import DocumentKind
from app.domain.circuit import Access
from app.domain.deliveries import Claimed, Exchange, Settlement
from app.domain.errors import DatabaseUnavailable, ErrorCode, InfrastructureError, Problem
from app.domain.kinds import Document, idempotency_key
from app.domain.outcomes import Accepted, Rejected, Unknown
from app.domain.states import State
from app.partners import Endpoint, Fault, Invalid, Prepared
from app.services.answers import Answers
from app.services.gate import Gate
from app.services.lanes import Lanes, Turns
from app.services.ports import Claims, Partner, RateLimit, Source
from app.services.settling import Judge, described, settle_apart

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


RATE_PAUSE_SECONDS = 0.05
GATHERING_SECONDS = 0.02
"""Answers that come within it are written together, while all is well: nobody waits for them."""
BUILT_AT_ONCE = 8
DATABASE_PAUSE_SECONDS = 1.0
FACILITY_COLUMN = "ma_co_so"
LONGEST_FACILITY = 50
MOST_FAULTS = 1000
"""So many of a document's faults are kept in the log; a log row must stay far below MongoDB's 16 MB."""
_LONGEST_FAULT = 500
_LONGEST_MESSAGE = 64 * 1024


@dataclass(slots=True)
class DeliverReport:
    """What became of one batch: documents per state, those given back unsent, and claims that were lost."""

    kind: str
    states: Counter[State] = field(default_factory=Counter)
    released: int = 0
    lost: int = 0

    @property
    def documents(self) -> int:
        """How many documents the batch claimed."""
        return self.states.total() + self.released + self.lost

    def add(self, other: "DeliverReport") -> None:
        """Count another batch's in."""
        self.states += other.states
        self.released += other.released
        self.lost += other.lost


@dataclass(frozen=True, slots=True)
class Ready:
    """A claimed document whose request is built."""

    claimed: Claimed
    prepared: Prepared


@dataclass(slots=True)
class _Batch:
    """One batch under way: whose it is, under which token, and what has become of it."""

    kind: DocumentKind
    token: str
    half_time: datetime  # when half of the claims' time is over
    report: DeliverReport
    answers: Answers[Settlement, "Ready"] = field(default_factory=Answers)


@dataclass(frozen=True, slots=True)
class _Begun:
    """What becomes of a window: sent now, later for the rate limit's sake, held back by the gate; `paused` when
    nothing more can be sent now."""

    started: list[Ready]
    later: list[Ready]
    held: list[Ready]
    paused: bool
    start_before: datetime  # a request that starts later may outlast its claim


class Deliver:
    """Delivers batches. `in_thread` runs a blocking call off the event loop; `stopping`, once set, lets what is
    in flight finish and gives back the rest. With `reads_ahead`, the right to send is noted for as many documents
    again as are in flight, so that a lane never waits for the database: a process that dies then leaves up to
    twice as many uncertain."""

    def __init__(
        self,
        ledger: Claims,
        source: Source,
        partner: Partner,
        endpoints: Mapping[str, Endpoint],
        judge: Judge,
        gate: Gate,
        clock: Clock,
        *,
        concurrency: int,
        claim_seconds: int,
        longest_request_seconds: int,
        grace_seconds: int = 0,
        rate_limit: RateLimit | None = None,
        looks_up: bool = False,
        reads_ahead: bool = False,
        in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
        stopping: Event | None = None,
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._partner = partner
        self._endpoints = endpoints
        self._judge = judge
        self._gate = gate
        self._clock = clock
        self._claim_time = timedelta(seconds=claim_seconds)
        self._longest_request = timedelta(seconds=longest_request_seconds)
        self._grace = timedelta(seconds=grace_seconds)
        self._rate_limit = rate_limit
        self._looks_up = looks_up
        self._in_thread = in_thread
        self._stopping = stopping or Event()
        # Shared by all batches of this process.
        self._lanes = Lanes(concurrency, reads_ahead=reads_ahead)
        self._noting = asyncio.Lock()
        self._turns = Turns()

    async def run(self, kind: DocumentKind, codes: Sequence[str]) -> DeliverReport:
        """Deliver what is still to be delivered among `codes`."""
        # What a process died with is offered by itself. Should it be what kills, nothing else must die with it.
        async with self._turns.admitted(alone=len(codes) == 1):
            half_time = self._clock.now() + self._claim_time / 2
            batch = _Batch(kind, str(uuid4()), half_time, DeliverReport(kind.name))
            claimed = [] if self._stopping.is_set() else await self._sql(self._claim, batch, codes)
            if claimed:
                reached(Seam.AFTER_CLAIM)
                await self._deliver_or_give_back(batch, claimed)
            return batch.report

    def _claim(self, batch: _Batch, codes: Sequence[str]) -> list[Claimed]:
        if self._gate.partner() is Access.PAUSED:
            self._ledger.withdraw_offer(batch.kind, codes)
            return []
        return self._ledger.claim(batch.kind, codes, batch.token, expires_at=self._clock.now() + self._claim_time)

    async def _deliver_or_give_back(self, batch: _Batch, claimed: Sequence[Claimed]) -> None:
        """An error of ours (a table that is gone, a database that went away) is not the documents' fault: what
        was not sent is given back at once instead of waiting for its claim to expire."""
        try:
            await self._deliver(batch, claimed)
        except InfrastructureError:
            with suppress(InfrastructureError):
                await self._sql(self._ledger.release, batch.kind, [each.code for each in claimed], batch.token)
            raise

    async def _deliver(self, batch: _Batch, claimed: Sequence[Claimed]) -> None:
        documents = await self._sql(self._source.load, batch.kind, [each.code for each in claimed])
        reached(Seam.AFTER_LOAD)
        unfinished = [each for each in claimed if self._is_being_written(each, documents.get(each.code))]
        if unfinished:
            await self._sql(self._wait_for_lines, batch, unfinished)
        finished = [each for each in claimed if each not in unfinished]
        ready, refused = await self._build(batch.kind, finished, documents)
        await self._settle(batch, refused)
        await self._send(batch, ready)

    def _is_being_written(self, claimed: Claimed, document: Document | None) -> bool:
        """A header may be committed before its lines: for a short time it is not taken for faulty."""
        if document is None or document.lines:
            return False
        # A document first seen in the future: the clock was set back, by little or by much.
        return abs(self._clock.now() - claimed.first_seen_at) < self._grace

    def _wait_for_lines(self, batch: _Batch, unfinished: Sequence[Claimed]) -> None:
        for each in unfinished:
            due_at = min(each.first_seen_at, self._clock.now()) + self._grace
            batch.report.released += self._ledger.release(batch.kind, [each.code], batch.token, due_at=due_at)

    async def _build(
        self, kind: DocumentKind, claimed: Iterable[Claimed], documents: Mapping[str, Document]
    ) -> tuple[list[Ready], list[Settlement]]:
        """Requests for the documents that can be sent, refusals for those that cannot (P7)."""
        endpoint = self._endpoints[kind.name]
        ready: list[Ready] = []
        refused: list[Settlement] = []
        for number, each in enumerate(claimed):
            document = documents.get(each.code)
            prepared = None if document is None else endpoint.prepare(document)
            if isinstance(prepared, Prepared):
                ready.append(Ready(_at_home(each, document), prepared))
            else:
                refused.append(self._judge.settlement(kind, each, self._refusal(prepared)))
            if number % BUILT_AT_ONCE == 0:
                await asyncio.sleep(0)  # the answers that came meanwhile
        return ready, refused

    def _refusal(self, invalid: Invalid | None) -> Exchange:
        """An attempt that ended before anything was sent."""
        if invalid is None:
            code, record = ErrorCode.DOCUMENT_GONE, {}
            message = say(self._judge.language, code.value)
        else:
            code, message = ErrorCode.INVALID_DOCUMENT, invalid.message[:_LONGEST_MESSAGE]
            record = {"faults": _kept(invalid.faults)}
        return Exchange(Rejected(Problem(code, message)), self._clock.now(), duration_ms=0, record=record)

    async def _send(self, batch: _Batch, ready: Iterable[Ready]) -> None:
        """Note the right to send, a little ahead of the requests, and settle answers in groups as they come."""
        settling = asyncio.create_task(self._settle_answers(batch))
        try:
            await self._note_and_send(batch, deque(ready))
        finally:
            # Also after an error of our own: what is out there is still worth an attempt to write it down.
            batch.answers.end()
            await settling

    async def _note_and_send(self, batch: _Batch, waiting: deque[Ready]) -> None:
        while waiting:
            # The older batch first: two that ended at the same time would leave the lanes empty.
            async with self._noting:
                begun = await self._note_window(batch, waiting)
                while waiting and not begun.later:
                    begun = await self._note_window(batch, waiting)
            if begun.later and not begun.started:
                await asyncio.sleep(RATE_PAUSE_SECONDS)

    async def _note_window(self, batch: _Batch, waiting: deque[Ready]) -> _Begun:
        """Note as many as there is room for, and give them to the lanes; give back what nobody can send now."""
        room = await self._lanes.room()
        window = [waiting.popleft() for _ in range(min(room, len(waiting)))]
        if self._gives_up(batch):
            begun = _Begun([], [], window, paused=True, start_before=self._clock.now())
        else:
            begun = await self._sql(self._begin, batch, window)
            reached(Seam.BEFORE_SEND)
            batch.answers.expect(len(begun.started))
            self._lanes.put(partial(self._exchange, batch, ready, begun) for ready in begun.started)
        waiting.extendleft(reversed(begun.later))
        if begun.paused:
            # Whoever takes these up when the pause is over finds them on the queue again.
            begun.held.extend(waiting)
            waiting.clear()
        await self._release(batch, begun.held)
        return begun

    def _gives_up(self, batch: _Batch) -> bool:
        """Whether what was not noted as sent is given back. A batch that waited long, for lanes that others use or
        for the rate limit, would lose its claims."""
        return self._stopping.is_set() or batch.answers.closed or self._clock.now() > batch.half_time

    def _begin(self, batch: _Batch, window: list[Ready]) -> _Begun:
        """Sort a window; for those that go out now, the claim is confirmed alive and noted as sent (P2)."""
        passed, held = _sorted_by(self._gate.admit([ready.claimed.facility for ready in window]), window)
        paused = bool(held) and self._gate.partner() is not Access.FREE
        later: list[Ready] = []
        if self._rate_limit is not None and passed:
            passed, later = _sorted_by(self._rate_limit.take([ready.claimed.facility for ready in passed]), passed)
        expires_at = self._clock.now() + self._claim_time
        begun = _Begun([], later, held, paused, expires_at - self._longest_request)
        if passed:
            codes = [ready.claimed.code for ready in passed]
            alive = self._ledger.begin_send(batch.kind, codes, batch.token, expires_at=expires_at)
            self._count_lost(batch, codes, alive)
            begun.started.extend(ready for ready in passed if ready.claimed.code in alive)
        return begun

    async def _release(self, batch: _Batch, held: Collection[Ready], *, noted: bool = False) -> None:
        if held:
            codes = [ready.claimed.code for ready in held]
            batch.report.released += await self._sql(self._ledger.release, batch.kind, codes, batch.token, noted=noted)

    async def _exchange(self, batch: _Batch, ready: Ready, begun: _Begun) -> None:
        """A request's turn on its lane: it goes out, unless something came up since its right to was noted."""
        if not self._may_still_start(batch, ready, begun):
            batch.answers.hold_back(ready)
            return
        try:
            settlement = await self._settlement(batch.kind, ready)
        except Exception as error:  # noqa: BLE001  or the batch would wait for it for ever
            batch.answers.lose(error)
        else:
            batch.answers.add(settlement)
            self._lanes.answered()

    def _may_still_start(self, batch: _Batch, ready: Ready, begun: _Begun) -> bool:
        if self._stopping.is_set() or batch.answers.closed or self._clock.now() > begun.start_before:
            return False
        return not self._gate.is_closed(ready.claimed.facility)

    async def _settlement(self, kind: DocumentKind, ready: Ready) -> Settlement:
        claimed, prepared = ready.claimed, ready.prepared
        key = idempotency_key(kind.name, claimed.code, claimed.revision)
        started_at = self._clock.now()
        try:
            exchange = await self._found(kind, ready) or await self._partner.submit(kind.name, prepared, key)
            reached(Seam.AFTER_ANSWER)
        except Exception as error:
            log.exception("send_failed_unexpectedly", kind=kind.name, code=claimed.code)
            detail = type(error).__name__
            problem = Problem(
                ErrorCode.CONNECTION_LOST, say(self._judge.language, ErrorCode.CONNECTION_LOST.value, detail=detail)
            )
            exchange = Exchange(Unknown(problem), started_at, duration_ms=0)
        return self._judge.settlement(kind, claimed, exchange, prepared.sha256)

    async def _found(self, kind: DocumentKind, ready: Ready) -> Exchange | None:
        """What the partner says of a document that may have arrived, where it is asked before it is sent again."""
        if not (self._looks_up and ready.claimed.standing.uncertain):
            return None
        claimed = ready.claimed
        found = await self._partner.look_up(kind.name, claimed.code, ready.prepared)
        if found is None or not isinstance(found.outcome, Accepted):
            return found
        # The partner is asked by code: under the earlier revision's national code it shows the earlier document.
        is_earlier = claimed.revision > 1 and found.outcome.national_code == claimed.national_code
        return None if is_earlier else found

    async def _settle_answers(self, batch: _Batch) -> None:
        """Write what the partner answered, group by group, and learn from it whether to go on, faster or slower."""
        async for settlements in batch.answers.groups(self._gathering_seconds):
            try:
                await self._settle(batch, settlements)
                await self._learn(settlements)
            except Exception as error:  # noqa: BLE001  whatever it is, the next group is still worth an attempt
                self._lanes.learn(len(settlements))
                batch.answers.fail(error)
        await self._release(batch, batch.answers.held_back, noted=True)
        if batch.answers.failure is not None:
            raise batch.answers.failure

    def _gathering_seconds(self) -> float:
        return GATHERING_SECONDS if self._lanes.calm else 0

    async def _learn(self, settlements: Sequence[Settlement]) -> None:
        answers = [(each.attempt.facility, each.outcome) for each in settlements]
        found = await self._sql(self._gate.report, answers)
        seconds = sum(each.attempt.duration_ms for each in settlements) / len(settlements) / 1000
        self._lanes.learn(len(settlements), good=found.calls - found.failures, bad=found.failures, seconds=seconds)

    async def _settle(self, batch: _Batch, settlements: Sequence[Settlement]) -> None:
        """Write outcomes; only those whose claim is still ours count (P3)."""
        if not settlements:
            return
        reached(Seam.BEFORE_SETTLE)
        written = await self._write(batch, settlements)
        reached(Seam.AFTER_SETTLE)
        self._count_lost(batch, [settlement.code for settlement in settlements], written)
        with written_together():
            for settlement in settlements:
                if settlement.code in written:
                    batch.report.states[settlement.decision.state] += 1
                    _log_attempt(settlement)

    async def _write(self, batch: _Batch, settlements: Sequence[Settlement]) -> set[str]:
        """Settle, and while the database is away, again for as long as the claims live: what the partner has
        accepted would otherwise be sent once more. Meanwhile nothing new is sent."""
        deadline = self._clock.now() + self._claim_time
        while True:
            try:
                return await self._sql(settle_apart, self._ledger, batch.kind, settlements, batch.token)
            except DatabaseUnavailable as error:
                batch.answers.closed = True
                if self._clock.now() >= deadline or self._stopping.is_set():
                    for settlement in settlements:
                        log.error("outcome_not_written", kind=batch.kind.name, **described(settlement))
                    raise
                log.warning("outcomes_wait_for_database", documents=len(settlements), error=str(error))
                await asyncio.sleep(DATABASE_PAUSE_SECONDS)

    def _count_lost(self, batch: _Batch, codes: Iterable[str], alive: set[str]) -> None:
        lost = [code for code in codes if code not in alive]
        batch.report.lost += len(lost)
        for code in lost:
            log.warning("claim_lost", kind=batch.kind.name, code=code)

    async def _sql(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._in_thread(call, *args, **kwargs)
        return result


def _at_home(claimed: Claimed, document: Document | None) -> Claimed:
    """The claim under the facility that the document names now: it may have been corrected since it was found."""
    facility = "" if document is None else str(document.header.get(FACILITY_COLUMN) or "")
    facility = facility[:LONGEST_FACILITY]
    return claimed if facility == claimed.facility else replace(claimed, facility=facility)


def _kept(faults: Sequence[Fault]) -> list[dict[str, Any]]:
    return [
        {"line": fault.line, "field": fault.field, "message": fault.message[:_LONGEST_FAULT]}
        for fault in faults[:MOST_FAULTS]
    ]


def _sorted_by(verdicts: Sequence[bool], window: Sequence[Ready]) -> tuple[list[Ready], list[Ready]]:
    yes = [ready for ready, may in zip(window, verdicts, strict=True) if may]
    no = [ready for ready, may in zip(window, verdicts, strict=True) if not may]
    return yes, no


def _log_attempt(settlement: Settlement) -> None:
    """The one wide line of an attempt; persons' names are masked in all it quotes (P9)."""
    attempt, decision = settlement.attempt, settlement.decision
    log.info(
        "attempt",
        kind=attempt.kind,
        code=attempt.code,
        facility=attempt.facility,
        revision=attempt.revision,
        attempt=attempt.attempt,
        outcome=attempt.outcome,
        state=decision.state.value,
        error_code=attempt.error_code and str(attempt.error_code),
        http_status=attempt.http_status,
        duration_ms=attempt.duration_ms,
        national_code=decision.national_code,
        due_at=decision.due_at and decision.due_at.isoformat(timespec="seconds"),
        reason=decision.problem and decision.problem.message,
    )
