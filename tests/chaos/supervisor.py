"""What keeps Hermes' processes alive in a round: a service manager of thirty lines."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Self

RESTART_SECONDS = 0.3
_LOOK_SECONDS = 0.05
_ROOT = Path(__file__).resolve().parents[2]


class Service:
    """One role: `python -m …` in a process group of its own, its output in `NAME.log`."""

    def __init__(self, name: str, command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.starts = 0
        self.died_at: float | None = None
        self._command = [sys.executable, "-m", *command]
        self._folder = folder
        self._environment = environment
        self.start()

    def start(self) -> None:
        """Start it (again)."""
        with (self._folder / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.starts += 1
        self.died_at = None

    def signal(self, number: int) -> None:
        """Signal its process."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)


class Supervisor:
    """Starts a service again 0.3 s after its main process ended, whatever ended it."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        self.services: list[Service] = []
        self._folder = folder
        # Only the settings of the round: nothing of the environment of whoever runs it.
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
        self._environment = {**kept, **settings, "PYTHONPATH": str(_ROOT)}
        self._acting = Lock()
        self._ending = Event()
        self._thread = Thread(target=self._watch, name="supervisor", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()
        for service in self.services:
            service.signal(signal.SIGKILL)
            service.process.wait()

    def run(self, name: str, *command: str) -> Service:
        """Start a service and keep it running."""
        service = Service(name, command, self._folder, self._environment)
        with self._acting:
            self.services.append(service)
        return service

    @contextmanager
    def looking_away(self) -> Iterator[None]:
        """Nothing is started again within this block."""
        with self._acting:
            yield

    @property
    def restarts(self) -> int:
        """How often something had to be started again."""
        return sum(service.starts - 1 for service in self.services)

    def _watch(self) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            with self._acting:
                for service in self.services:
                    self._look_after(service)

    def _look_after(self, service: Service) -> None:
        if service.process.poll() is None:
            return
        now = time.monotonic()
        if service.died_at is None:
            service.died_at = now
        elif now - service.died_at >= RESTART_SECONDS:
            service.start()
