"""A look at the broker, apart from Celery."""

from redis import Redis
from redis.exceptions import RedisError

from app.domain.errors import BrokerUnavailable


def ping(url: str, timeout_seconds: float) -> str:
    """Ask Redis for its version. Raises BrokerUnavailable."""
    try:
        with Redis.from_url(url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds) as redis:
            redis.ping()
            return f"Redis {redis.info('server')['redis_version']}"
    except (RedisError, OSError) as error:
        raise BrokerUnavailable(str(error)) from error
