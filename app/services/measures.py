"""measures: the tries of the last minutes, wherever their log rows are by now."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from app.core.clock import Clock
from app.domain.errors import LogStoreUnavailable
from app.domain.measures import AttemptMeasure
from app.services.ports import AttemptLog

log = structlog.get_logger(__name__)

WINDOW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RecentAttempts:
    """The tries that began within WINDOW. `complete` is False when the log store could not be asked."""

    by_outcome: tuple[AttemptMeasure, ...]
    complete: bool


class Measures:
    """Counts tries."""

    def __init__(self, outbox: AttemptLog, log_store: AttemptLog | None, clock: Clock) -> None:
        self._outbox = outbox
        self._log_store = log_store
        self._clock = clock

    def recent(self) -> RecentAttempts:
        """What was tried lately. A row that is moved on at this very moment may count twice."""
        since = self._clock.now() - WINDOW
        found, complete = list(self._outbox.measure(since)), True
        if self._log_store is not None:
            try:
                found += self._log_store.measure(since)
            except LogStoreUnavailable as error:
                log.warning("log_store_unavailable", error=str(error))
                complete = False
        summed: dict[tuple[str, str], AttemptMeasure] = {}
        for each in found:
            key = (each.kind, each.outcome)
            summed[key] = summed[key].plus(each) if key in summed else each
        return RecentAttempts(tuple(summed.values()), complete)
