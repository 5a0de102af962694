"""A look at the broker, apart from Celery."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

from app.domain.errors import BrokerUnavailable


def ping(url: str, timeout_seconds: float) -> str:
    """Ask Redis for its version. Raises BrokerUnavailable."""
    with _connected(url, timeout_seconds) as redis:
        redis.ping()
        return f"Redis {redis.info('server')['redis_version']}"


def waiting(url: str, timeout_seconds: float, queues: Iterable[str]) -> int:
    """How many messages nobody has taken yet, all these queues together. Raises BrokerUnavailable."""
    with _connected(url, timeout_seconds) as redis:
        return sum(redis.llen(queue) for queue in queues)


@contextmanager
def _connected(url: str, timeout_seconds: float) -> "Iterator[Redis]":
    try:
        with Redis.from_url(url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds) as redis:
            yield redis
    except (RedisError, OSError) as error:
        raise BrokerUnavailable(str(error)) from error
