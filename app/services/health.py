"""health: how things stand, and the story of one document."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import structlog

from app.documents import DocumentKind
from app.domain.circuit import Circuit
from app.domain.deliveries import Attempt, Delivery, KindStatus
from app.domain.errors import LogStoreUnavailable
from app.services.ports import AttemptOutbox, Circuits, LogStore, Operations

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Status:
    """How things stand; `unshipped_log_rows` counts log rows in SQL (all of them where there is no log store)."""

    kinds: tuple[KindStatus, ...]
    circuits: tuple[Circuit, ...]
    unshipped_log_rows: int
    log_store: bool


@dataclass(frozen=True, slots=True)
class Story:
    """All that is known of one document. `log_complete` is False when the log store could not be asked."""

    delivery: Delivery
    attempts: tuple[Attempt, ...]
    audit: tuple[dict[str, Any], ...]
    log_complete: bool


class Health:
    """Reads the ledger and the log."""

    def __init__(
        self, ledger: Operations, circuits: Circuits, outbox: AttemptOutbox, log_store: LogStore | None
    ) -> None:
        self._ledger = ledger
        self._circuits = circuits
        self._outbox = outbox
        self._log_store = log_store

    def status(self, kinds: Iterable[DocumentKind]) -> Status:
        """How the kinds stand now."""
        return Status(
            kinds=tuple(self._ledger.status(kind) for kind in kinds),
            circuits=tuple(self._circuits.open_ones().values()),
            unshipped_log_rows=self._outbox.count(),
            log_store=self._log_store is not None,
        )

    def story(self, kind: DocumentKind, code: str) -> Story | None:
        """The delivery of one document with its attempts, oldest first; None when it is not in the ledger."""
        delivery = self._ledger.get(kind, code)
        if delivery is None:
            return None
        # SQL first: a row shipped in between is then found in the store, never in neither.
        attempts = {each.id: each for each in self._outbox.of_document(kind.name, delivery.code)}
        complete = True
        if self._log_store is not None:
            try:
                attempts |= {each.id: each for each in self._log_store.of_document(kind.name, delivery.code)}
            except LogStoreUnavailable as error:
                log.warning("log_store_unavailable", error=str(error))
                complete = False
        ordered = sorted(attempts.values(), key=lambda each: (each.started_at, each.attempt))
        return Story(delivery, tuple(ordered), tuple(self._ledger.audit_of(kind, delivery.code)), complete)
