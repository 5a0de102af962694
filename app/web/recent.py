"""A value that many may ask for at once and that is dear to find out: read at most every few seconds."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """What `read` returned no longer than `seconds` ago. One thread reads, the others wait for it."""

    def __init__(self, read: Callable[[], T], seconds: float) -> None:
        self._read = read
        self._seconds = seconds
        self._lock = Lock()
        self._kept: tuple[float, T] | None = None

    def get(self) -> T:
        """The value; raises what `read` raises."""
        with self._lock:
            now = time.monotonic()
            if self._kept is None or now - self._kept[0] >= self._seconds:
                self._kept = (now, self._read())
            return self._kept[1]

    def forget(self) -> None:
        """Something was changed: read anew next time."""
        with self._lock:
            self._kept = None
