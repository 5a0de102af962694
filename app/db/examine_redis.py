"""What `hermes check` asks Redis: is it there, may Hermes do there what Celery does, and would messages stay?

Commands are tried inside a transaction that is discarded: Redis says at once whether the user may give them, on those
keys, and carries none of them out.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from app.core.config import Settings
from app.core.tls import full_text, tls_fault
from app.db.redis import connected
from app.domain.diagnosis import Finding, failed, met, skipped, warning
from app.domain.errors import BrokerUnavailable

OLDEST_TESTED = (6, 2)

_FAULTS = {
    "tls_file": r"FileNotFoundError|PermissionError|IsADirectoryError|pem lib|no.certificate.or.crl|no.start.line",
    "redis_password_wrong": r"wrongpass|invalid (username-)?password",
    "redis_password_missing": r"noauth|authentication required|must be called with the client already authenticated",
    "redis_master": r"MasterNotFoundError|no master found|SlaveNotFoundError",
    "redis_db": r"db index is out of range|invalid db index",
    "redis_loading": r"loading the dataset",
    "redis_commands": r"noperm|no permissions",
    "redis_unreachable": r"refused|timed? ?out|name or service|no address|getaddrinfo|unreachable|no route",
    "redis_not_redis": r"protocol error|connection closed|connection reset|bad response",
}
_PRIORITY = "\x06\x163"
"""How kombu calls the lists of a queue's messages of another priority; it counts them all."""
_MESSAGES_MAY_GO = "allkeys-"
_REFUSED = {"NOPERM": "redis_commands", "READONLY": "redis_replica", "MISCONF": "redis_disk", "OOM": "redis_full"}


class RedisExamination:
    """Looks at the broker. Raises nothing that is Redis' fault."""

    def __init__(self, settings: Settings, queues: Iterable[str]) -> None:
        self._settings = settings
        self._queues = list(queues)

    def broker(self) -> list[Finding]:
        """Whether it answers, takes the login, and lets Hermes put messages on every queue and take them off."""
        try:
            with connected(self._settings) as redis:
                redis.ping()
                refused = _refused(redis, self._commands())
                version = _info(redis, "server").get("redis_version")
        except BrokerUnavailable as error:
            return [self._unavailable(error)]
        if refused:
            cause = refused[0][0]
            return [failed(cause, commands=", ".join(dict.fromkeys(what for why, what in refused if why == cause)))]
        return [_version(version)]

    def keeping(self) -> list[Finding]:
        """Whether messages stay in Redis when memory is short, and when it is restarted."""
        with connected(self._settings) as redis:
            memory, persistence = _info(redis, "memory"), _info(redis, "persistence")
            saves = _configured(redis, "save")
        if not memory or not persistence:
            return [skipped("untold")]
        policy = str(memory.get("maxmemory_policy", ""))
        findings = []
        if policy.startswith(_MESSAGES_MAY_GO):
            findings.append(warning("redis_evicts", policy=policy))
        if not persistence.get("aof_enabled") and saves == "":
            findings.append(warning("redis_forgets"))
        return findings or [met("redis_keeps", policy=policy or "noeviction")]

    def now(self) -> datetime | None:
        """What time Redis has; None when it may not be asked."""
        with connected(self._settings) as redis:
            try:
                seconds, microseconds = redis.time()
            except ResponseError:
                return None
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=microseconds)

    def _unavailable(self, error: Exception) -> Finding:
        text = full_text(error)
        cause = tls_fault(error) or next((each for each, it in _FAULTS.items() if re.search(it, text, re.I)), None)
        return failed(
            cause or "redis_other",
            server="Redis",
            setting="REDIS_TLS",
            master=self._settings.redis_sentinel_master,
            detail=str(error)[:200],
            commands=str(error)[:200],
        )

    def _commands(self) -> Iterator[tuple[str | int, ...]]:
        """What kombu gives for sending, taking, acknowledging and restoring a message, and `limits` for counting."""
        for queue in self._queues:
            yield "LPUSH", queue, "x"
            yield "BRPOP", queue, 1
            yield "LLEN", queue
            yield "LLEN", f"{queue}{_PRIORITY}"
            yield "SADD", f"_kombu.binding.{queue}", "x"
            yield "SMEMBERS", f"_kombu.binding.{queue}"
        yield "HSET", "unacked", "x", "x"
        yield "HGET", "unacked", "x"
        yield "HDEL", "unacked", "x"
        yield "ZADD", "unacked_index", 1, "x"
        yield "ZREM", "unacked_index", "x"
        yield "ZREVRANGEBYSCORE", "unacked_index", 1, 0
        yield "SET", "unacked_mutex", "x", "NX", "EX", 1
        yield "LLEN", "x.reply.celery.pidbox"
        yield "EVAL", "return 1", 1, "_kombu.binding.celery.pidbox"
        yield "SADD", "_kombu.binding.celery.pidbox", "x"
        yield "ZADD", "_kombu.binding_deadlines", 1, "x"
        yield "PUBLISH", "/0.celery.pidbox", "x"
        if self._settings.rate_limit or self._settings.rate_limit_per_facility:
            yield "EVAL", "return 1", 1, "LIMITS:LIMITER/hermes"


def _refused(redis: "Redis", commands: Iterable[Sequence[str | int]]) -> list[tuple[str, str]]:
    """The commands Redis would not take, each with the cause."""
    connection: Any = redis.connection_pool.get_connection()
    refused = []
    try:
        _say(connection, "MULTI")
        for command in commands:
            try:
                _say(connection, *command)
            except ResponseError as error:
                cause = next((it for word, it in _REFUSED.items() if word.lower() in _code(error).lower()), None)
                refused.append((cause or "redis_commands", f"{command[0]} {command[1]}".removesuffix(_PRIORITY)))
        _say(connection, "DISCARD")
    finally:
        redis.connection_pool.release(connection)
    return refused


def _say(connection: Any, *command: str | int) -> Any:
    connection.send_command(*command)
    return connection.read_response()


def _code(error: Exception) -> str:
    """redis-py takes the first word away and makes a class of it."""
    kinds = {"NoPermissionError": "NOPERM", "ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM"}
    return kinds.get(type(error).__name__, str(error))


def _info(redis: "Redis", section: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = redis.info(section)
    except RedisError:  # an ACL user need not be allowed to: then it cannot be told
        return {}
    return found


def _configured(redis: "Redis", name: str) -> str | None:
    try:
        found = redis.config_get(name)
    except RedisError:  # managed services hide their configuration
        return None
    value = found.get(name)
    return None if value is None else str(value)


def _version(version: object) -> Finding:
    if version is None:
        return met("redis", version="?")
    numbers = tuple(int(part) for part in re.findall(r"\d+", str(version))[:2])
    if numbers < OLDEST_TESTED:
        return warning("redis_old", version=version, needed=".".join(map(str, OLDEST_TESTED)))
    return met("redis", version=version)
