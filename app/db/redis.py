"""A look at the broker, apart from Celery."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from redis import Redis
from redis.exceptions import RedisError

from app.core.broker import connection_pool
from app.core.config import Settings
from app.domain.errors import BrokerUnavailable


def waiting(settings: Settings, queues: Iterable[str]) -> int:
    """How many messages nobody has taken yet, all these queues together. Raises BrokerUnavailable."""
    with connected(settings) as redis:
        return sum(redis.llen(queue) for queue in queues)


@contextmanager
def connected(settings: Settings) -> "Iterator[Redis]":
    """Redis, for as long as the block lasts. Raises BrokerUnavailable."""
    try:
        with Redis.from_pool(connection_pool(settings)) as redis:
            yield redis
    except (RedisError, OSError) as error:
        raise BrokerUnavailable(str(error)) from error
