"""What comes back of the requests of one batch, while others are still out."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar

A = TypeVar("A")
R = TypeVar("R")


class Answers(Generic[A, R]):
    """Answers in groups, and the requests that were held back instead of being sent."""

    def __init__(self) -> None:
        self.held_back: list[R] = []
        self.closed = False  # nothing more may be sent
        self.failure: Exception | None = None
        self._came: list[A] = []
        self._out = 0
        self._ended = False
        self._changed = asyncio.Event()

    def expect(self, requests: int) -> None:
        """So many more will be answered or held back."""
        self._out += requests

    def add(self, answer: A) -> None:
        """An answer came."""
        self._came.append(answer)
        self._out -= 1
        self._changed.set()

    def hold_back(self, request: R) -> None:
        """A request does not go out."""
        self.held_back.append(request)
        self._out -= 1
        self._changed.set()

    def lose(self, error: Exception) -> None:
        """What came of a request, nobody knows, by an error of our own."""
        self._out -= 1
        self.fail(error)
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """An error of our own: it ends the batch, when all that is out there has come back."""
        self.closed = True
        self.failure = self.failure or error

    def end(self) -> None:
        """No more are to be expected."""
        self._ended = True
        self._changed.set()

    async def groups(self, gathering_seconds: Callable[[], float]) -> AsyncIterator[list[A]]:
        """Whatever came since the last group and within a moment more, until all are there."""
        while True:
            while not self._came and (self._out or not self._ended):
                self._changed.clear()
                await self._changed.wait()
            if not self._came:
                return
            if self._out:
                await asyncio.sleep(gathering_seconds())
            group, self._came = self._came, []
            yield group
