"""What the batches of one process share: whose turn it is, and how many requests are in flight."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

FIRST = 4


class Turns:
    """Which batches of a process run at the same time: all, but one that must be alone. First come, first served: a
    batch that waits to be alone is not overtaken by those that come after it."""

    def __init__(self) -> None:
        self._door = asyncio.Lock()  # fair; kept by whoever is alone, or waits to be
        self._running = 0
        self._empty = asyncio.Event()
        self._empty.set()

    @asynccontextmanager
    async def admitted(self, *, alone: bool) -> AsyncIterator[None]:
        """Within this block the batch runs; before it, it waits for its turn."""
        if alone:
            async with self._door:
                await self._empty.wait()
                yield
            return
        async with self._door:
            self._running += 1
            self._empty.clear()
        try:
            yield
        finally:
            self._running -= 1
            if not self._running:
                self._empty.set()


class Slots:
    """How many requests are in flight on one event loop, never more than `most`: it begins with few, doubles while
    answers are good and backs off while they are bad, so that a partner in trouble meets few requests and one in
    health meets all that are allowed."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._limit = min(FIRST, most)
        self._taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """How many may be in flight at present."""
        return self._limit

    async def take(self, wanted: int, *, wait: bool) -> int:
        """Take up to `wanted` slots; with `wait`, at least one. The caller gives each back."""
        while wait and self._taken >= self._limit:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            await turn
        taken = max(0, min(wanted, self._limit - self._taken))
        self._taken += taken
        return taken

    def give_back(self, slots: int) -> None:
        """Slots that are free again."""
        self._taken -= slots
        self._wake()

    def learn(self, *, good: int, bad: int) -> None:
        """Adapt to a group of answers."""
        if bad > good:
            self._limit = max(1, self._limit // 2)
        else:
            self._limit = min(self._most, self._limit + good)
            self._wake()

    def _wake(self) -> None:
        for _ in range(min(len(self._waiting), max(0, self._limit - self._taken))):
            turn = self._waiting.popleft()
            if not turn.done():  # a cancelled batch waits no more
                turn.set_result(None)
