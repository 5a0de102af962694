"""Redis as the settings name it: one server, with or without TLS, or the one that Sentinels point to.

The one place that knows how to get there. Whoever talks to Redis apart from Celery takes `connection_pool`; Celery
takes the address from the settings and the rest from `transport_options`.
"""

from typing import Any

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel

from app.core.config import Settings, reveal, split_sentinels


def connection_pool(settings: Settings) -> ConnectionPool:
    """Connections to Redis, opened on first use; every wait is bounded by BROKER_TIMEOUT_SECONDS. Behind Sentinels
    each new connection asks them anew. The settings must name a broker."""
    address = settings.broker_url
    assert address is not None  # noqa: S101  asked only where there is one
    if not address.startswith("sentinel:"):
        return ConnectionPool.from_url(address, **_patience(settings))
    sentinel = Sentinel(_nodes(settings), sentinel_kwargs=_to_sentinels(settings))
    master: Redis = sentinel.master_for(settings.redis_sentinel_master, **_to_master(address, settings))
    return master.connection_pool


def transport_options(settings: Settings) -> dict[str, Any]:
    """What Celery's transport needs besides the address."""
    options: dict[str, Any] = {
        **_patience(settings),
        "socket_keepalive": True,
        "retry_on_timeout": False,
        "health_check_interval": settings.broker_timeout_seconds,
    }
    if (settings.broker_url or "").startswith("sentinel:"):
        options |= {"master_name": settings.redis_sentinel_master, "sentinel_kwargs": _to_sentinels(settings)}
    return options


def _patience(settings: Settings) -> dict[str, Any]:
    # A frozen Redis must not hang a scan: every command ends within the timeout.
    timeout = settings.broker_timeout_seconds
    return {"socket_timeout": timeout, "socket_connect_timeout": timeout}


def _nodes(settings: Settings) -> list[tuple[str, int]]:
    return split_sentinels(settings.redis_sentinels or "")


def _to_master(address: str, settings: Settings) -> dict[str, Any]:
    """The Sentinels tell host and port; user, password, database and TLS are the master's own."""
    first = address.split(";", maxsplit=1)[0]
    scheme = "rediss" if settings.redis_tls else "redis"
    options: dict[str, Any] = dict(parse_url(scheme + first.removeprefix("sentinel")))
    for known_otherwise in ("host", "port", "connection_class"):
        options.pop(known_otherwise, None)
    return options | _patience(settings) | {"ssl": settings.redis_tls}


def _to_sentinels(settings: Settings) -> dict[str, Any]:
    # One that does not answer is not asked again: the next one is.
    options = _patience(settings) | {"retry": Retry(NoBackoff(), 0)}
    if settings.redis_sentinel_password is not None:
        options |= {
            "username": settings.redis_sentinel_username,
            "password": reveal(settings.redis_sentinel_password),
        }
    if settings.redis_tls:
        options |= {"ssl": True, **settings.tls_options}
    return options
