"""What the batches of one process share: whose turn it is, and the lanes on which requests go out."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager

FIRST = 4
RISE = 2.0
LEAST_RISE_SECONDS = 0.25
REMEMBERED_ANSWERS = 500

Request = Callable[[], Awaitable[None]]


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


class Lanes:
    """Requests in flight on one event loop, never more than `most`.

    It begins with few lanes, doubles them while answers are good, and gives some up while answers are bad or take
    far longer than they used to: a partner in trouble meets few requests, one in health all that are allowed. While
    all is calm, with `reads_ahead`, as many requests again may wait for a lane; else nothing new is put before what
    came back is learnt from.
    """

    def __init__(self, most: int, *, reads_ahead: bool) -> None:
        self._most = most
        self._reads_ahead = reads_ahead
        self._limit = min(FIRST, most)
        self._calm = False
        self._waiting: deque[Request] = deque()
        self._running = 0
        self._unlearnt = 0
        self._lanes: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._usual_seconds: float | None = None
        self._next_cut = 0.0

    @property
    def calm(self) -> bool:
        """Whether the last answers were good ones."""
        return self._calm

    @property
    def limit(self) -> int:
        """How many may be in flight at present."""
        return self._limit

    async def room(self) -> int:
        """How many requests may be put: waits until it is at least one, and worth the while."""
        while len(self._waiting) > self._ahead // 2 or self._room <= 0:
            self._changed.clear()
            await self._changed.wait()
        return self._room

    def put(self, requests: Iterable[Request]) -> None:
        """Start these, in this order, as lanes become free. A request must not raise."""
        self._waiting.extend(requests)
        self._start()

    def answered(self) -> None:
        """An answer came; `learn` will tell of it."""
        self._unlearnt += 1

    def learn(self, answers: int, *, good: int = 0, bad: int = 0, seconds: float = 0.0) -> None:
        """Adapt to a group of answers that took `seconds` each. Those neither good nor bad say nothing."""
        self._unlearnt -= answers
        self._calm = good == answers
        if bad > good:
            self._limit = max(1, self._limit // 2)
        elif self._is_long(seconds, answers):
            self._give_up_some(seconds)
        else:
            self._limit = min(self._most, self._limit + good)
        self._start()
        self._changed.set()

    @property
    def _ahead(self) -> int:
        return self._limit if self._reads_ahead and self._calm else 0

    @property
    def _room(self) -> int:
        taken = self._running + len(self._waiting) + (0 if self._calm else self._unlearnt)
        return self._limit + self._ahead - taken

    def _is_long(self, seconds: float, answers: int) -> bool:
        """Whether answers take far longer than usual. What is usual follows slowly, so that a partner that stays
        slow gets its lanes back."""
        usual = seconds if self._usual_seconds is None else self._usual_seconds
        self._usual_seconds = usual + (seconds - usual) * min(1.0, answers / REMEMBERED_ANSWERS)
        return seconds > max(RISE * usual, usual + LEAST_RISE_SECONDS)

    def _give_up_some(self, seconds: float) -> None:
        """Once in the time that an answer takes: what is under way shows nothing of the last time yet."""
        now = asyncio.get_running_loop().time()
        if now >= self._next_cut:
            self._next_cut = now + seconds
            self._limit = max(min(FIRST, self._most), self._limit * 3 // 4)

    def _start(self) -> None:
        for _ in range(min(len(self._waiting), self._limit - self._running)):
            self._running += 1
            lane = asyncio.create_task(self._lane())
            self._lanes.add(lane)  # or it would be collected
            lane.add_done_callback(self._lanes.discard)

    async def _lane(self) -> None:
        try:
            while self._waiting and self._running <= self._limit:
                request = self._waiting.popleft()
                self._changed.set()
                await request()
        finally:
            self._running -= 1
            self._changed.set()
