"""Versions beside each other: what is on the queues, and which ledger a process finds."""

import base64
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from app.db.migrate import VERSION_TABLE
from app.documents import PHIEU_NHAP
from app.domain.states import State
from app.wiring import Gateway
from simulator.process import SimulatorHandle
from tests.books import fill_source, states, wait_until
from tests.e2e.conftest import Roles
from tests.redis_server import RedisServer

NEWER = "9999"


def message(task: str, named: dict[str, Any], positional: list[Any] | None = None, **envelope: Any) -> str:
    """A message as version 0.1.0 puts it on Redis, written down by hand so that it does not change with the code."""
    identity = str(uuid4())
    embedded = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    body = json.dumps([positional or [], named, embedded]).encode()
    return json.dumps({
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py", "task": task, "id": identity, "root_id": identity, "parent_id": None, "group": None,
            "shadow": None, "eta": None, "expires": None, "retries": 0, "timelimit": [None, None],
            "argsrepr": "()", "kwargsrepr": "{}", "origin": "beat@host", "ignore_result": True,
        },
        "properties": {
            "correlation_id": identity, "reply_to": str(uuid4()), "delivery_mode": 2, "priority": 0,
            "delivery_info": {"exchange": "", "routing_key": "phieu_nhap_queue"},
            "body_encoding": "base64", "delivery_tag": str(uuid4()),
        },
        **envelope,
    })  # fmt: skip


STRANGE = {
    "a task of a later version": message("tasks.process_kiem_ke", {"codes": ["X"]}),
    "no codes": message("tasks.process_phieu_nhap", {"batch": "X"}),
    "codes that are no list": message("tasks.process_phieu_nhap", {"codes": "PN1"}),
    "codes that are no texts": message("tasks.process_phieu_nhap", {"codes": [1, None, {"a": 2}]}),
    "positional arguments": message("tasks.process_phieu_nhap", {}, [1, 2, 3]),
    "a body that is not JSON": message("tasks.process_phieu_nhap", {}, body="bm9wZQ=="),
    "another serialisation": message("tasks.process_phieu_nhap", {}, **{"content-type": "application/x-pickle"}),
    "no headers": message("tasks.process_phieu_nhap", {}, headers={}),
    "no envelope": '{"a": 1}',
    "no JSON": "garbage",
    "nothing": "",
}


def test_messages_of_version_0_1_0_are_understood_and_additions_to_them_ignored(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
) -> None:
    gateway = make_gateway()
    fill_source(gateway, 2, defect_every=0)
    roles = make_roles(api_base_url=partner.url, redis_url=redis_server.url, reoffer_seconds=1000)
    assert roles.run("scan", "--kind", "phieu_nhap").returncode == 0
    queue = redis_server.client()
    queue.delete("phieu_nhap_queue")
    with gateway.engine.connect() as connection:
        first, second = connection.execute(text("SELECT code FROM hermes_delivery ORDER BY code")).scalars()
    queue.lpush("phieu_nhap_queue", message("tasks.process_phieu_nhap", {"codes": [first]}))
    queue.lpush("phieu_nhap_queue", message("tasks.process_phieu_nhap", {"codes": [second], "priority": 1}))
    roles.worker("phieu_nhap_queue")
    wait_until(lambda: states(gateway) == {State.ACCEPTED: 2}, "both messages are worked on")


def test_p8_a_message_that_is_not_understood_is_one_line_and_the_worker_goes_on(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
) -> None:
    gateway = make_gateway()
    fill_source(gateway, 3, defect_every=0)
    roles = make_roles(api_base_url=partner.url, redis_url=redis_server.url)
    redis_server.client().lpush("phieu_nhap_queue", *STRANGE.values())
    assert roles.run("scan", "--kind", "phieu_nhap").returncode == 0
    worker = roles.worker("phieu_nhap_queue")
    wait_until(lambda: gateway.ledger.status(PHIEU_NHAP).states.get(State.ACCEPTED, 0) == 3, "the good message is done")
    log = roles.log("phieu_nhap_queue")
    assert log.count("message_not_understood") == len(STRANGE)
    assert "Traceback" not in log
    assert worker.poll() is None


def note_version(gateway: Gateway, version: str) -> None:
    with gateway.engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = :version"), {"version": version})  # noqa: S608


def content(file: Path) -> list[str]:
    with closing(sqlite3.connect(file)) as connection:
        return list(connection.iterdump())


@pytest.mark.parametrize("command", [("up",), ("sync",), ("scan",), ("status",), ("retry", "--state", "parked")])
def test_a_command_on_a_newer_ledger_refuses_and_changes_nothing(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    partner: SimulatorHandle,
    tmp_path: Path,
    command: tuple[str, ...],
) -> None:
    gateway = make_gateway()
    note_version(gateway, NEWER)
    before = content(tmp_path / "hermes.db")
    done = make_roles(api_base_url=partner.url, redis_host="127.0.0.1").run(*command)
    assert done.returncode in (2, 3), done.stderr
    assert f"The ledger has version {NEWER}, which is newer than this program. Upgrade the program." in done.stderr
    assert "Traceback" not in done.stderr
    assert content(tmp_path / "hermes.db") == before


@pytest.mark.parametrize(("version", "said"), [(NEWER, "Upgrade the program"), (None, "Run: hermes db upgrade")])
def test_a_worker_on_a_ledger_of_another_version_sends_nothing_and_says_why(
    make_gateway: Callable[..., Gateway],
    make_roles: Callable[..., Roles],
    redis_server: RedisServer,
    partner: SimulatorHandle,
    version: str | None,
    said: str,
) -> None:
    """And works as soon as the ledger is right: nobody has to start it again."""
    gateway = make_gateway()
    fill_source(gateway, 1, defect_every=0)
    with gateway.engine.connect() as connection:
        right = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608
    roles = make_roles(api_base_url=partner.url, redis_url=redis_server.url, reoffer_seconds=2)
    assert roles.run("scan", "--kind", "phieu_nhap").returncode == 0
    with gateway.engine.begin() as connection:
        if version is None:
            connection.execute(text(f"DELETE FROM {VERSION_TABLE}"))  # noqa: S608
        else:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = :v"), {"v": version})  # noqa: S608
    roles.worker("phieu_nhap_queue")
    wait_until(lambda: said in roles.log("phieu_nhap_queue"), "the worker says why")
    assert partner.totals()["copies"] == 0
    with gateway.engine.begin() as connection:
        connection.execute(text(f"DELETE FROM {VERSION_TABLE}"))  # noqa: S608
        connection.execute(text(f"INSERT INTO {VERSION_TABLE} VALUES (:v)"), {"v": right})  # noqa: S608
    roles.beat()
    roles.worker("scheduler_queue")
    wait_until(lambda: gateway.ledger.status(PHIEU_NHAP).states == {State.ACCEPTED: 1}, "it is sent")
