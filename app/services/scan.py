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
from app.domain.errors import BrokerUnavailable
from app.services.ports import Offers, Queue
from app.services.rescue import Rescue

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
    """Rescue, discover, offer."""

    def __init__(self, ledger: Offers, rescue: Rescue, clock: Clock, limits: ScanLimits) -> None:
        self._ledger = ledger
        self._rescue = rescue
        self._clock = clock
        self._limits = limits

    def run(self, kind: DocumentKind, queue: Queue) -> ScanReport:
        """One tick of one kind."""
        rescued = self._rescue.run(kind)
        discovered = self._ledger.discover(kind, self._limits.discovered)
        reached(Seam.AFTER_DISCOVER)
        offered = self._offer(kind, queue)
        self._ledger.beat(f"scan:{kind.name}")
        report = ScanReport(kind.name, rescued, discovered, offered)
        log.info("scanned", kind=kind.name, rescued=rescued, discovered=discovered, offered=offered)
        return report

    def due(self, kind: DocumentKind) -> Iterator[list[str]]:
        """Rescue and discover, then batches of due codes until nothing is due: for delivery without a broker."""
        self._rescue.run(kind)
        while codes := self._discover_and_next(kind):
            while codes:
                yield codes
                codes = self._next(kind, self._limits.batch)
        self._ledger.beat(f"scan:{kind.name}")

    def _offer(self, kind: DocumentKind, queue: Queue) -> int:
        limits = self._limits
        if queue.waiting_messages(kind) >= limits.messages:
            return 0
        room = limits.queued - self._ledger.count_offered(kind, limits.queued)
        offered = 0
        while offered < room and (codes := self._next(kind, min(limits.batch, room - offered))):
            reached(Seam.BEFORE_OFFER)
            try:
                queue.offer(kind, codes)
            except BrokerUnavailable:
                self._ledger.withdraw_offer(kind, codes)
                raise
            reached(Seam.AFTER_OFFER)
            offered += len(codes)
        return offered

    def _discover_and_next(self, kind: DocumentKind) -> list[str]:
        self._ledger.discover(kind, self._limits.queued)
        return self._next(kind, self._limits.batch)

    def _next(self, kind: DocumentKind, limit: int) -> list[str]:
        reoffer_at = self._clock.now() + self._limits.reoffer_after
        return self._ledger.offer_due(kind, limit, reoffer_at=reoffer_at)
