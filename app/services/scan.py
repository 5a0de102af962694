"""scan: find what has to be sent and put its codes on the queue. Reads no payloads, sends nothing.

Ticks may overlap, repeat or run on two machines: every step is a guarded UPDATE, and an offer is only a hint.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import structlog

from app.core.clock import Clock
from app.core.seams import Seam, reached
from app.documents import DocumentKind
from app.domain.circuit import Access
from app.domain.errors import BrokerUnavailable
from app.services.gate import Gate
from app.services.ports import Offers, Queue, Releases
from app.services.rescue import Rescue

MOST_TAKEN = 10_000
"""Documents taken at once where they need no queue."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ScanReport:
    """What one scan of one kind did."""

    kind: str
    rescued: int
    discovered: int
    offered: int


@dataclass(frozen=True, slots=True)
class ScanLimits:
    """How much one scan may do. `batch` codes go into one message; with `queued` documents or `messages` messages
    on the queue, nothing more is offered (back-pressure)."""

    batch: int
    queued: int
    discovered: int = 50_000
    reoffer_after: timedelta = timedelta(minutes=5)

    @property
    def messages(self) -> int:
        """Bounds the stale messages that pile up while no worker runs and documents are offered again."""
        return 1000 + self.queued // self.batch


class Scan:
    """Rescue, release what bulk replays may send now, discover, offer."""

    def __init__(
        self, ledger: Offers, rescue: Rescue, replays: Releases, gate: Gate, clock: Clock, limits: ScanLimits
    ) -> None:
        self._ledger = ledger
        self._rescue = rescue
        self._replays = replays
        self._gate = gate
        self._clock = clock
        self._limits = limits

    def run(self, kind: DocumentKind, queue: Queue) -> ScanReport:
        """One tick of one kind."""
        rescued = self._rescue.run(kind)
        self._replays.run()
        discovered = self._ledger.discover(kind, self._limits.discovered)
        reached(Seam.AFTER_DISCOVER)
        offered = self._offer(kind, queue)
        self._ledger.beat(f"scan:{kind.name}")
        report = ScanReport(kind.name, rescued, discovered, offered)
        log.info("scanned", kind=kind.name, rescued=rescued, discovered=discovered, offered=offered)
        return report

    def due(self, kind: DocumentKind) -> Iterator[list[str]]:
        """Rescue and discover, then batches of due codes until nothing is due or the partner is paused: for
        delivery without a broker."""
        self._rescue.run(kind)
        self._replays.run()
        while batches := self._discover_and_take(kind):
            while batches:
                yield from batches
                batches = self._take(kind, MOST_TAKEN)
        self._ledger.beat(f"scan:{kind.name}")

    def seconds_to_next(self, kind: DocumentKind, within: timedelta) -> float | None:
        """How long until the next queued document is due, when that is soon; None otherwise."""
        due_at = self._ledger.next_due(kind)
        if due_at is None or self._gate.partner() is not Access.FREE:
            return None
        wait = due_at - self._clock.now()
        return wait.total_seconds() if timedelta(0) < wait <= within else None

    def _discover_and_take(self, kind: DocumentKind) -> list[list[str]]:
        self._ledger.discover(kind, self._limits.discovered)
        return self._take(kind, MOST_TAKEN)

    def _offer(self, kind: DocumentKind, queue: Queue) -> int:
        limits = self._limits
        if queue.waiting_messages(kind) >= limits.messages:
            return 0
        offered = 0
        batches = self._take(kind, limits.queued - self._ledger.count_offered(kind, limits.queued))
        for position, codes in enumerate(batches):
            reached(Seam.BEFORE_OFFER)
            try:
                queue.offer(kind, codes)
            except BrokerUnavailable:
                for unpublished in batches[position:]:
                    self._ledger.withdraw_offer(kind, unpublished)
                raise
            reached(Seam.AFTER_OFFER)
            offered += len(codes)
        return offered

    def _take(self, kind: DocumentKind, room: int) -> list[list[str]]:
        """Due codes in batches, marked as offered. While the partner is paused nothing is taken; when the pause is
        over, one document tries. One that a process died with goes alone."""
        access = self._gate.partner()
        room = {Access.FREE: room, Access.PROBE: min(room, 1), Access.PAUSED: 0}[access]
        if room <= 0:
            return []
        due = self._ledger.offer_due(kind, room, reoffer_at=self._clock.now() + self._limits.reoffer_after)
        together = [each.code for each in due if not each.alone]
        size = self._limits.batch
        batches = [together[start : start + size] for start in range(0, len(together), size)]
        return batches + [[each.code] for each in due if each.alone]
