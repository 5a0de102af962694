"""rescue: claims whose worker died. What surely never went out is queued again; the rest is unknown (P5)."""

from datetime import timedelta
from uuid import uuid4

import structlog

from app.core.clock import Clock
from app.documents import DocumentKind
from app.domain.deliveries import Claimed
from app.services.ports import ExpiredClaims
from app.services.settling import Judge, settle_apart

log = structlog.get_logger(__name__)

AT_ONCE = 500


class Rescue:
    """Part of every scan."""

    def __init__(self, ledger: ExpiredClaims, judge: Judge, clock: Clock, claim_seconds: int) -> None:
        self._ledger = ledger
        self._judge = judge
        self._clock = clock
        self._claim_time = timedelta(seconds=claim_seconds)

    def run(self, kind: DocumentKind) -> int:
        """Rescue all expired claims of a kind; returns how many."""
        rescued = self._ledger.release_expired(kind)
        token = str(uuid4())
        while taken := self._take_over(kind, token):
            lost = [self._judge.settlement_after_death(kind, claimed) for claimed in taken]
            settle_apart(self._ledger, kind, lost, token)
            rescued += len(taken)
        if rescued:
            log.warning("claims_rescued", kind=kind.name, documents=rescued)
        return rescued

    def _take_over(self, kind: DocumentKind, token: str) -> list[Claimed]:
        expires_at = self._clock.now() + self._claim_time
        return self._ledger.take_over_expired(kind, token, limit=AT_ONCE, expires_at=expires_at)
