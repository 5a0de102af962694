"""The rate an operator allows, counted in memory or, shared by all processes, in Redis."""

import time
from collections.abc import Sequence

import structlog
from limits import RateLimitItem, parse
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import MovingWindowRateLimiter

from app.core.broker import connection_pool
from app.core.config import Settings

log = structlog.get_logger(__name__)

ALONE_SECONDS = 30
_PARTNER = "partner"


class SharedRateLimit:
    """`RATE_LIMIT` for the partner as a whole, `RATE_LIMIT_PER_FACILITY` for each account."""

    def __init__(self, partner: RateLimitItem | None, facility: RateLimitItem | None, storage: Storage) -> None:
        self._partner = partner
        self._facility = facility
        self._shared = MovingWindowRateLimiter(storage)
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._alone_until = 0.0

    def take(self, facilities: Sequence[str]) -> list[bool]:
        """For each request, in order, whether it may start; those that may are counted."""
        allowed = []
        exhausted = False
        for facility in facilities:
            may = not exhausted and self._hit(self._facility, facility)
            if may and not self._hit(self._partner, _PARTNER):
                may, exhausted = False, True
            allowed.append(may)
        return allowed

    def _hit(self, limit: RateLimitItem | None, name: str) -> bool:
        if limit is None:
            return True
        if time.monotonic() >= self._alone_until:
            try:
                return self._shared.hit(limit, "hermes", name)
            except StorageError as error:  # Redis is away: for a while this process keeps to the limit by itself
                log.warning("rate_limit_storage_unavailable", error=str(error.storage_error))
                self._alone_until = time.monotonic() + ALONE_SECONDS
        return self._own.hit(limit, "hermes", name)


def rate_limit(settings: Settings) -> SharedRateLimit | None:
    """The limit the settings ask for, or None."""
    if settings.rate_limit is None and settings.rate_limit_per_facility is None:
        return None
    partner = parse(settings.rate_limit) if settings.rate_limit else None
    facility = parse(settings.rate_limit_per_facility) if settings.rate_limit_per_facility else None
    return SharedRateLimit(partner, facility, _storage(settings))


def _storage(settings: Settings) -> Storage:
    if settings.broker_url is None:
        return MemoryStorage()
    # The address only names the kind of storage: the pool knows the way.
    return RedisStorage("redis://", connection_pool=connection_pool(settings), wrap_exceptions=True)
