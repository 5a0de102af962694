"""A simulator inside the test's own event loop, on a real socket, and a client that speaks to it."""

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from partner_documents import PATHS, as_body, complete

from simulator.faults import parse_rules
from simulator.server import Settings, serve

DEADLINE_SECONDS = 10.0


@dataclass
class Answer:
    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Client:
    """Posts documents as a well-behaved client would, unless told otherwise."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def send(
        self,
        kind: str = "phieu_nhap",
        document: Any = None,
        *,
        code: str = "C-1",
        key: str | None = "key-1",
        username: str = "partner",
        password: str = "partner",  # noqa: S107
        content_type: str = "application/json",
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> Answer:
        token = base64.b64encode(f"{username}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {token}", "Content-Type": content_type}
        if key is not None:
            headers["Idempotency-Key"] = key
        body = document if isinstance(document, bytes) else as_body(document or complete(kind, code))
        return await self.call("POST", PATHS[kind], body, headers, deadline_seconds)

    async def call(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> Answer:
        async with self.session.request(
            method,
            self.url + path,
            data=None if body is None else io.BytesIO(body),
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=deadline_seconds),
        ) as response:
            return Answer(response.status, response.headers, await response.read())

    async def ledger(self, query: str = "") -> Any:
        return (await self.call("GET", f"/_simulator/ledger{query}")).json

    async def stats(self) -> Any:
        return (await self.call("GET", "/_simulator/stats")).json

    async def copies(self) -> int:
        totals: dict[str, int] = (await self.ledger("?limit=1"))["totals"]
        return totals["copies"]

    async def eventually(self, holds: Callable[[], Awaitable[bool]]) -> None:
        """Waits for a condition whose check is a round trip: each turn lets the simulator work."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not await holds():
                pass


Start = Callable[..., Awaitable[Client]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a simulator with these settings (``rules`` as plain dictionaries) and gives a client for it."""
    async with AsyncExitStack() as stack:

        async def start_one(rules: list[dict[str, Any]] | None = None, **settings: Any) -> Client:
            ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            stop = asyncio.Event()
            parsed = tuple(parse_rules(json.dumps(rules or [])))
            server = asyncio.create_task(serve(Settings(port=0, rules=parsed, **settings), ready.set_result, stop))

            async def end() -> None:
                stop.set()
                await server

            stack.push_async_callback(end)
            session = await stack.enter_async_context(aiohttp.ClientSession())
            async with asyncio.timeout(DEADLINE_SECONDS):
                return Client(await ready, session)

        yield start_one
