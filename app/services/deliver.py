"""deliver: claim, load, build, send, settle. One batch of one kind; the heart of a worker.

The right to send is noted in SQL immediately before the requests of a window leave, and outcomes are written
as they arrive, while further requests go out: a process that dies leaves few documents uncertain, and a slow
answer holds up nobody else.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event
from typing import Any, ParamSpec, TypeVar
from uuid import uuid4

import structlog

from app.core.clock import Clock
from app.core.seams import Seam, reached
from app.core.texts import say
from app.documents import DocumentKind
from app.domain.deliveries import Claimed, Exchange, Settlement
from app.domain.errors import ErrorCode, Problem
from app.domain.kinds import Document, idempotency_key
from app.domain.outcomes import Rejected, Unknown
from app.domain.states import State
from app.partners import Endpoint, Invalid, Prepared
from app.services.ports import Claims, Partner, Source
from app.services.settling import Judge

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")


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
    report: DeliverReport


class Deliver:
    """Delivers batches. `in_thread` runs a blocking call off the event loop; `stopping`, once set, lets what is
    in flight finish and gives back the rest."""

    def __init__(
        self,
        ledger: Claims,
        source: Source,
        partner: Partner,
        endpoints: Mapping[str, Endpoint],
        judge: Judge,
        clock: Clock,
        *,
        concurrency: int,
        claim_seconds: int,
        in_thread: Callable[..., Awaitable[Any]] = asyncio.to_thread,
        stopping: Event | None = None,
    ) -> None:
        self._ledger = ledger
        self._source = source
        self._partner = partner
        self._endpoints = endpoints
        self._judge = judge
        self._clock = clock
        self._claim_time = timedelta(seconds=claim_seconds)
        self._in_thread = in_thread
        self._stopping = stopping or Event()
        # Shared by all batches of this process: together they have `concurrency` requests in flight.
        self._slots = asyncio.Semaphore(concurrency)

    async def run(self, kind: DocumentKind, codes: Sequence[str]) -> DeliverReport:
        """Deliver what is still to be delivered among `codes`."""
        batch = _Batch(kind, str(uuid4()), DeliverReport(kind.name))
        if self._stopping.is_set():
            return batch.report
        expires_at = self._clock.now() + self._claim_time
        claimed = await self._sql(self._ledger.claim, kind, codes, batch.token, expires_at=expires_at)
        reached(Seam.AFTER_CLAIM)
        if claimed:
            await self._deliver(batch, claimed)
        return batch.report

    async def _deliver(self, batch: _Batch, claimed: Sequence[Claimed]) -> None:
        documents = await self._sql(self._source.load, batch.kind, [each.code for each in claimed])
        reached(Seam.AFTER_LOAD)
        ready, refused = self._build(batch.kind, claimed, documents)
        await self._settle(batch, refused)
        await self._send(batch, deque(ready))

    def _build(
        self, kind: DocumentKind, claimed: Iterable[Claimed], documents: Mapping[str, Document]
    ) -> tuple[list[Ready], list[Settlement]]:
        """Requests for the documents that can be sent, refusals for those that cannot (P7)."""
        endpoint = self._endpoints[kind.name]
        ready, refused = [], []
        for each in claimed:
            document = documents.get(each.code)
            prepared = None if document is None else endpoint.prepare(document)
            if isinstance(prepared, Prepared):
                ready.append(Ready(each, prepared))
            else:
                refused.append(self._judge.settlement(kind, each, self._refusal(prepared)))
        return ready, refused

    def _refusal(self, invalid: Invalid | None) -> Exchange:
        """An attempt that ended before anything was sent."""
        if invalid is None:
            code, record = ErrorCode.DOCUMENT_GONE, {}
            message = say(self._judge.language, code.value)
        else:
            code, message = ErrorCode.INVALID_DOCUMENT, invalid.message
            faults = [{"line": f.line, "field": f.field, "message": f.message} for f in invalid.faults]
            record = {"faults": faults}
        return Exchange(Rejected(Problem(code, message)), self._clock.now(), duration_ms=0, record=record)

    async def _send(self, batch: _Batch, waiting: deque[Ready]) -> None:
        """Keep requests in flight while there are free slots, and settle answers in groups, as they come."""
        in_flight: set[asyncio.Task[Settlement]] = set()
        try:
            while waiting or in_flight:
                if waiting:
                    in_flight |= await self._fill(batch, waiting, await self._take_slots(waiting, bool(in_flight)))
                if in_flight:
                    done, in_flight = await asyncio.wait(in_flight, return_when=asyncio.FIRST_COMPLETED)
                    await self._settle(batch, [task.result() for task in done])
        finally:
            # Only after an error of our own: what is out there is still worth an attempt to write it down.
            if in_flight:
                done, _ = await asyncio.wait(in_flight)
                await self._settle(batch, [task.result() for task in done])

    async def _take_slots(self, waiting: deque[Ready], has_work: bool) -> int:
        """How many more requests may start now. Waits for the first slot when nothing else is to be done."""
        taken = 0
        if not has_work:
            await self._slots.acquire()
            taken = 1
        while taken < len(waiting) and not self._slots.locked():
            await self._slots.acquire()
            taken += 1
        return taken

    async def _fill(self, batch: _Batch, waiting: deque[Ready], slots: int) -> set[asyncio.Task[Settlement]]:
        """Start the next window's requests, once its claims are confirmed alive (P2)."""
        if self._stopping.is_set():
            self._free(slots)
            codes = [ready.claimed.code for ready in waiting]
            waiting.clear()
            batch.report.released += await self._sql(self._ledger.release, batch.kind, codes, batch.token)
            return set()
        window = [waiting.popleft() for _ in range(slots)]
        if not window:
            return set()
        alive = await self._sql(
            self._ledger.begin_send,
            batch.kind,
            [ready.claimed.code for ready in window],
            batch.token,
            expires_at=self._clock.now() + self._claim_time,
        )
        reached(Seam.BEFORE_SEND)
        self._free(len(window) - len(alive))
        self._count_lost(batch, [ready.claimed.code for ready in window], alive)
        return {
            asyncio.create_task(self._exchange(batch.kind, ready)) for ready in window if ready.claimed.code in alive
        }

    async def _exchange(self, kind: DocumentKind, ready: Ready) -> Settlement:
        claimed, prepared = ready.claimed, ready.prepared
        key = idempotency_key(kind.name, claimed.code, claimed.revision)
        started_at = self._clock.now()
        try:
            exchange = await self._partner.submit(kind.name, prepared, key)
            reached(Seam.AFTER_ANSWER)
        except Exception as error:
            log.exception("send_failed_unexpectedly", kind=kind.name, code=claimed.code)
            detail = type(error).__name__
            problem = Problem(
                ErrorCode.CONNECTION_LOST, say(self._judge.language, ErrorCode.CONNECTION_LOST.value, detail=detail)
            )
            exchange = Exchange(Unknown(problem), started_at, duration_ms=0)
        finally:
            self._free(1)
        return self._judge.settlement(kind, claimed, exchange, prepared.sha256)

    async def _settle(self, batch: _Batch, settlements: Sequence[Settlement]) -> None:
        """Write outcomes; only those whose claim is still ours count (P3)."""
        if not settlements:
            return
        reached(Seam.BEFORE_SETTLE)
        written = await self._sql(self._ledger.settle, batch.kind, settlements, batch.token)
        reached(Seam.AFTER_SETTLE)
        self._count_lost(batch, [settlement.code for settlement in settlements], written)
        for settlement in settlements:
            if settlement.code in written:
                batch.report.states[settlement.decision.state] += 1
                _log_attempt(settlement)

    def _free(self, slots: int) -> None:
        for _ in range(slots):
            self._slots.release()

    def _count_lost(self, batch: _Batch, codes: Iterable[str], alive: set[str]) -> None:
        lost = [code for code in codes if code not in alive]
        batch.report.lost += len(lost)
        for code in lost:
            log.warning("claim_lost", kind=batch.kind.name, code=code)

    async def _sql(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        result: T = await self._in_thread(call, *args, **kwargs)
        return result


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
