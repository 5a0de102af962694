"""The distributed mode: beat, a scheduler's worker and one worker per kind, on Redis."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.core.config import load_settings
from app.core.progress import Progress
from app.db.engine import writing
from app.documents import ALL_KINDS, HOA_DON
from app.domain.states import State
from app.main import SCHEDULER_QUEUE, celery_app, configuration
from app.wiring import Gateway
from simulator.process import SimulatorHandle
from tests.books import assert_books_agree, fill_source, states, wait_until, wait_until_closed
from tests.e2e.conftest import Roles
from tests.redis_server import RedisServer


def test_documents_travel_through_separate_processes_and_all_books_agree(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
) -> None:
    gateway = make_gateway()
    defective = fill_source(gateway, 100)
    roles = make_roles(api_base_url=partner.url, redis_url=redis_server.url)
    roles.all()
    found = wait_until_closed(gateway, 300)
    assert found == {State.ACCEPTED: 300 - defective, State.REJECTED: defective}
    assert_books_agree(gateway, partner)
    assert partner.totals()["repeats"] == 0
    assert gateway.attempt_log.count() == 300
    assert [gateway.ledger.status(kind).workers for kind in ALL_KINDS] == [1, 1, 1]
    for kind in ALL_KINDS:
        assert roles.log(kind.queue).count("outcome=accepted") == partner.totals(kind=kind.name)["copies"]


def test_sigterm_in_mid_batch_finishes_what_is_out_and_gives_back_the_rest(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
) -> None:
    """P1, P3: a clean stop leaves nothing uncertain and nothing claimed."""
    gateway = make_gateway()
    fill_source(gateway, 60, defect_every=0)
    partner.set_faults([{"fault": "latency", "seconds": 1.0}])
    roles = make_roles(api_base_url=partner.url, redis_url=redis_server.url, send_concurrency=5, batch_size=60,
                       claim_seconds=500)  # fmt: skip
    scanning = [roles.beat(), roles.worker(SCHEDULER_QUEUE)]
    worker = roles.worker("hoa_don_queue")
    wait_until(lambda: partner.stats()["in_flight"] > 0, "a request is out")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=30) == 0
    for process in scanning:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    found = gateway.ledger.status(ALL_KINDS[2]).states
    assert found.get(State.SENDING, 0) == 0
    assert found.get(State.UNKNOWN, 0) == 0
    assert 0 < found[State.ACCEPTED] < 60
    assert found[State.QUEUED] == 60 - found[State.ACCEPTED]
    assert_books_agree(gateway, partner)


def test_killing_every_process_and_wiping_redis_needs_no_human_action(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
) -> None:
    """P1, P8."""
    gateway = make_gateway()
    fill_source(gateway, 60, defect_every=0)
    settings = {
        "api_base_url": partner.url, "redis_url": redis_server.url, "send_concurrency": 5, "claim_seconds": 4,
        "request_timeout_seconds": 3, "retry_schedule": "1s,1s,1s", "reoffer_seconds": 3,
    }  # fmt: skip
    partner.set_faults([{"fault": "latency", "seconds": 0.3}])
    first = make_roles(**settings)
    first.all()
    wait_until(lambda: partner.totals()["copies"] > 10, "some documents are at the partner")
    first.kill_all()
    redis_server.client().flushall()
    partner.clear_faults()
    make_roles(**settings).all()
    assert wait_until_closed(gateway, 180) == {State.ACCEPTED: 180}
    assert_books_agree(gateway, partner)


def test_a_frozen_redis_does_not_hang_a_scan_and_loses_nothing(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
) -> None:
    """P8."""
    gateway = make_gateway()
    fill_source(gateway, 5, defect_every=0)
    roles = make_roles(api_base_url=partner.url, redis_url=redis_server.url, broker_timeout_seconds=1)
    redis_server.freeze()
    result = roles.run("scan", "--kind", "hoa_don")
    assert result.returncode == 3, result.stderr
    assert "broker" in result.stderr
    redis_server.thaw()
    again = roles.run("scan", "--kind", "hoa_don", "--json")
    assert again.returncode == 0, again.stderr
    assert redis_server.client().llen("hoa_don_queue") == 1
    assert states(gateway) == {State.QUEUED: 5}


def test_workers_tell_each_other_nothing_through_redis(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
) -> None:
    """Each event waits for Redis: beside one that does not answer, a worker that sends them cannot stop."""
    make_gateway()
    make_roles(api_base_url=partner.url, redis_url=redis_server.url).worker(HOA_DON.queue)
    client = redis_server.client()
    wait_until(lambda: any(each["cmd"] == "brpop" for each in client.client_list()), "a worker that waits for messages")
    wait_until(lambda: client.pubsub_numpat() > 0, "a worker that can be controlled")
    assert client.pubsub_numpat() == 1


def test_scans_that_overlap_offer_and_send_everything_once(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
) -> None:
    """P2: two beats and two schedulers are harmless."""
    gateway = make_gateway()
    fill_source(gateway, 100, defect_every=0)
    roles = make_roles(api_base_url=partner.url, redis_url=redis_server.url)
    roles.all()
    roles.beat()
    roles.worker(SCHEDULER_QUEUE)
    roles.worker("hoa_don_queue")
    assert wait_until_closed(gateway, 300) == {State.ACCEPTED: 300}
    assert_books_agree(gateway, partner)
    assert partner.totals()["repeats"] == 0


def test_a_separate_worker_without_redis_is_refused_with_what_to_do(make_roles: Callable[..., Roles]) -> None:
    process = make_roles(api_base_url="http://127.0.0.1:9").worker("hoa_don_queue")
    assert process.wait(timeout=30) != 0


def test_a_bad_setting_ends_a_worker_with_a_sentence_not_a_traceback(make_roles: Callable[..., Roles]) -> None:
    roles = make_roles(api_base_url="http://127.0.0.1:9", redis_host="127.0.0.1", redis_port="many")
    assert roles.worker("hoa_don_queue").wait(timeout=30) != 0
    log = roles.log("hoa_don_queue")
    assert "REDIS_PORT (from environment) is not usable" in log
    assert "Traceback" not in log


def test_messages_carry_codes_and_nothing_else(
    make_gateway: Callable[..., Gateway], make_roles: Callable[..., Roles], redis_server: RedisServer
) -> None:
    """P8, P9: kind and codes; no payload, no name."""
    gateway = make_gateway()
    fill_source(gateway, 3, defect_every=0)
    roles = make_roles(api_base_url="http://127.0.0.1:9", redis_url=redis_server.url)
    assert roles.run("scan").returncode == 0
    with writing(gateway.engine) as connection:
        names = connection.exec_driver_sql('SELECT ho_ten_nguoi_ban FROM "HoaDonHeader"').scalars().all()
    stored = b"".join(
        message for kind in ALL_KINDS for message in redis_server.client().lrange(kind.queue, 0, -1)
    ).decode()
    assert stored.count('"task": "tasks.process_') == 3
    for name in filter(None, names):
        assert name not in stored


@pytest.mark.parametrize("queue", [SCHEDULER_QUEUE, *(kind.queue for kind in ALL_KINDS)])
def test_every_queue_that_is_routed_to_is_declared(queue: str) -> None:
    declared = {each.name for each in configuration(load_settings())["task_queues"]}
    assert queue in declared


def test_every_task_is_routed_to_a_declared_queue_and_every_tick_has_its_task() -> None:
    celery_app.loader.import_default_modules()
    configured = configuration(load_settings())
    declared = {each.name for each in configured["task_queues"]}
    ours = {name for name in celery_app.tasks if name.startswith("tasks.")}
    assert ours == set(configured["task_routes"])
    assert {route["queue"] for route in configured["task_routes"].values()} == declared
    assert {entry["task"] for entry in configured["beat_schedule"].values()} <= ours


def test_without_a_broker_the_whole_pipeline_runs_in_one_process(
    make_gateway: Callable[..., Gateway], make_roles: Callable[..., Roles], partner: SimulatorHandle
) -> None:
    """`hermes up` on the embedded default; SIGTERM ends it."""
    gateway = make_gateway()
    defective = fill_source(gateway, 30)
    roles = make_roles(api_base_url=partner.url)
    process: subprocess.Popen[bytes] = roles.start("up", "app", "up")
    assert wait_until_closed(gateway, 90) == {State.ACCEPTED: 90 - defective, State.REJECTED: defective}
    assert [gateway.ledger.status(kind).workers for kind in ALL_KINDS] == [1, 1, 1]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert_books_agree(gateway, partner)


def test_health_is_told_by_progress_and_a_frozen_worker_beside_a_full_queue_is_stuck(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
    tmp_path: Path,
) -> None:
    gateway = make_gateway()
    fill_source(gateway, 5, defect_every=0)
    settings = {"api_base_url": partner.url, "redis_url": redis_server.url}
    folders = {name: tmp_path / name for name in ("scheduler", "scanner", "worker")}
    roles = {name: make_roles(**settings, progress_folder=folder) for name, folder in folders.items()}
    assert roles["worker"].healthcheck().stderr == "not started yet\n"
    roles["scheduler"].beat()
    roles["scanner"].worker(SCHEDULER_QUEUE)
    worker = roles["worker"].worker("hoa_don_queue")
    wait_until(lambda: gateway.ledger.status(HOA_DON).states.get(State.ACCEPTED, 0) == 5, "all are delivered")
    wait_until(lambda: not Progress(folders["worker"]).unfinished, "the batch is noted as done")
    assert all(each.healthcheck().returncode == 0 for each in roles.values())

    worker.send_signal(signal.SIGSTOP)
    long_ago = time.time() - 1000
    os.utime(folders["worker"] / "taken", (long_ago, long_ago))
    os.utime(folders["worker"] / "done", (long_ago, long_ago))
    assert roles["worker"].healthcheck().returncode == 0  # idle, and nothing to do
    redis_server.client().rpush("hoa_don_queue", "a message", "another")  # Redis may hand it one before it stalls
    found = roles["worker"].healthcheck()
    assert found.returncode == 1
    assert re.search(r"though [12] messages wait", found.stderr)


def test_a_scheduler_without_redis_makes_no_progress(
    make_roles: Callable[..., Roles], redis_server: RedisServer, tmp_path: Path
) -> None:
    roles = make_roles(redis_url=redis_server.url, progress_folder=tmp_path, broker_timeout_seconds=1)
    roles.beat()
    done = tmp_path / "done"
    wait_until(done.exists, "beat has started")
    started = done.stat().st_mtime
    wait_until(lambda: done.stat().st_mtime > started, "a tick has reached Redis")
    redis_server.kill()
    wait_until(lambda: "task_failed" in roles.log("beat") or "Error" in roles.log("beat"), "beat notices")
    last = done.stat().st_mtime
    redis_server.start()
    wait_until(lambda: done.stat().st_mtime > last, "ticks reach Redis again")
