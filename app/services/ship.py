"""ship: move log rows from SQL to the log store. A transactional outbox: insert with a fixed `_id`, then delete;
dying in between repeats the insert, which changes nothing (P8)."""

from datetime import timedelta

import structlog

from app.core.clock import Clock
from app.core.seams import Seam, reached
from app.services.ports import AttemptOutbox, LogStore

log = structlog.get_logger(__name__)

AT_ONCE = 500


class Ship:
    """Moves rows where there is a log store; drops those past retention where there is none."""

    def __init__(
        self,
        outbox: AttemptOutbox,
        log_store: LogStore | None,
        clock: Clock,
        retention_days: int,
        *,
        most: int = 100_000,
    ) -> None:
        self._outbox = outbox
        self._log_store = log_store
        self._clock = clock
        self._retention = timedelta(days=retention_days)
        self._most = most

    def run(self) -> int:
        """One tick; returns how many rows left SQL. Raises LogStoreUnavailable: the rows stay where they are."""
        moved = self._drop_old() if self._log_store is None else self._move(self._log_store)
        if moved:
            log.info("log_rows_shipped" if self._log_store else "log_rows_expired", rows=moved)
        return moved

    def _move(self, log_store: LogStore) -> int:
        moved = 0
        while moved < self._most and (rows := self._outbox.oldest(AT_ONCE)):
            log_store.insert(rows)
            reached(Seam.SHIP_BEFORE_DELETE)
            self._outbox.delete([row.id for row in rows])
            moved += len(rows)
        return moved

    def _drop_old(self) -> int:
        dropped = 0
        while dropped < self._most and (rows := self._outbox.delete_before(self._clock.now() - self._retention)):
            dropped += rows
        return dropped
