"""The processes that are measured: started, watched, and ended whatever happens."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

POLL_SECONDS = 0.05
READY_SECONDS = 60
END_SECONDS = 60

Settings = dict[str, object]


class Failed(Exception):
    """A measurement that proves nothing: a process failed, or documents are missing or came twice."""


class Process:
    """A running `python -m ARGUMENTS`. Its standard error goes to `log`, its standard output to `output`."""

    def __init__(self, folder: Path, name: str, arguments: tuple[str, ...], settings: Settings) -> None:
        self.log, self.output = folder / f"{name}.log", folder / f"{name}.out"
        self._arguments = arguments
        environment = {**os.environ, **{key: str(value) for key, value in settings.items()}}
        with self.log.open("wb") as log, self.output.open("wb") as output:
            # A process group of its own, so that its children can be ended with it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", *arguments], env=environment, stdout=output, stderr=log, start_new_session=True
            )

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def peak_memory(self) -> float:
        """Most resident memory so far, in MiB, of the largest among this process and its children. 0 where the
        system does not tell."""
        return max(map(_peak_memory, [self._process.pid, *_children(self._process.pid)]))

    def wait_until_ready(self) -> None:
        """Wait until a Celery worker says that it takes messages. Raises Failed."""
        deadline = time.monotonic() + READY_SECONDS
        while " ready." not in self.log.read_text(encoding="utf-8"):
            if not self.is_running or time.monotonic() > deadline:
                raise self.failure("did not get ready")
            time.sleep(POLL_SECONDS)

    def end(self) -> None:
        """Ask it to end, and wait. Raises Failed."""
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            raise self.failure("does not end") from None

    def result(self) -> tuple[Any, float]:
        """Wait for its end: the JSON value it printed, and its peak memory in MiB. Raises Failed."""
        peak = 0.0
        while self.is_running:
            peak = max(peak, self.peak_memory())
            time.sleep(POLL_SECONDS)
        if self._process.returncode != 0:
            raise self.failure(f"ended with code {self._process.returncode}")
        return json.loads(self.output.read_bytes()), peak

    def failure(self, what: str) -> Failed:
        """The error to raise, with the last of what the process said."""
        said = "\n".join(self.log.read_text(encoding="utf-8").splitlines()[-15:])
        return Failed(f"{' '.join(self._arguments)}: {what}\n{said}")

    def kill(self) -> None:
        """End it with its children, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@contextlib.contextmanager
def started(folder: Path, name: str, *arguments: str, **settings: object) -> Iterator[Process]:
    """`python -m arguments` under these settings; it does not outlive the block."""
    process = Process(folder, name, arguments, settings)
    try:
        yield process
    finally:
        process.kill()


def _peak_memory(pid: int) -> float:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return 0.0


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []
