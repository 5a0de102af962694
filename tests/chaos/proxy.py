"""A TCP proxy that misbehaves on request, for what stands between Hermes and Redis, MongoDB or the partner.

It runs on an event loop in a thread of its own; every method may be called from any thread and returns when its
effect is there.
"""

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from threading import Thread
from typing import Any, Self

from tests.redis_server import free_port

HOST = "127.0.0.1"
_CHUNK = 64 * 1024


class FaultProxy:
    """Forwards to a port of this machine until told otherwise; `heal` ends every fault."""

    def __init__(self, target_port: int) -> None:
        self.port = free_port()
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._delay_seconds = 0.0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._handlers: set[asyncio.Task[None]] = set()
        self._thread = Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.heal()
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset every connection there is; new ones are served."""
        self._do(self._cut())

    def refuse(self) -> None:
        """Reset every connection and take no new one."""
        self._do(self._refuse())

    def freeze(self) -> None:
        """Keep and take connections, forward nothing; what arrives meanwhile goes on after `heal`."""
        self._do(self._set(flowing=False))

    def delay(self, seconds: float) -> None:
        """Hold back every piece for so long, in both directions."""
        self._do(self._set(delay_seconds=seconds))

    def heal(self) -> None:
        """Behave."""
        self._do(self._heal())

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=10)

    async def _set(self, *, flowing: bool = True, delay_seconds: float = 0.0) -> None:
        self._delay_seconds = delay_seconds
        if flowing:
            self._flowing.set()
        else:
            self._flowing.clear()

    async def _heal(self) -> None:
        await self._set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _close(self) -> None:
        await self._refuse()
        self._flowing.set()
        if self._handlers:
            await asyncio.wait(self._handlers)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        self._open.add(writer)
        try:
            await self._join(reader, writer)
        except OSError:
            writer.transport.abort()  # nobody behind us: the client sees a reset, as without a proxy
        finally:
            self._open.discard(writer)
            self._handlers.discard(task)
            writer.close()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        there, back = await asyncio.open_connection(HOST, self._target_port)
        self._open.add(back)
        try:
            await asyncio.gather(self._pump(reader, back), self._pump(there, writer))
        finally:
            self._open.discard(back)
            back.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while piece := await reader.read(_CHUNK):
                await asyncio.sleep(self._delay_seconds)
                await self._flowing.wait()
                writer.write(piece)
                await writer.drain()
        with suppress(OSError):
            writer.close()
