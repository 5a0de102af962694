"""Serving the console: the address it listens on, alone or beside other work of the process."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from starlette.types import ASGIApp

from app.core.config import Settings
from app.core.progress import Progress
from app.domain.errors import ConfigError

log = structlog.get_logger(__name__)

PROGRESS_SECONDS = 10
_STOP_SECONDS = 10


def listen(settings: Settings) -> socket.socket:
    """The console's address, taken. Raises ConfigError when it may not or cannot be."""
    settings.require_safe_console()
    host, port = settings.console_host.strip("[]"), settings.console_port
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        return socket.create_server(found[0][4][:2], family=found[0][0], backlog=100)
    except OSError as error:
        raise ConfigError(
            f"CONSOLE_HOST={host} with CONSOLE_PORT={port} cannot be listened on: {error.strerror}. "
            "If another program has the port, set another CONSOLE_PORT."
        ) from error


class ConsoleServer:
    """The console on a socket. Raises ConfigError when the certificate cannot be used."""

    def __init__(self, app: ASGIApp, settings: Settings, taken: socket.socket) -> None:
        self._socket = taken
        self._progress = Progress(settings.progress_folder)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="on",
            proxy_headers=settings.console_trusted_proxies is not None,
            forwarded_allow_ips=settings.console_trusted_proxies or "",
            ssl_certfile=settings.console_tls_certificate,
            ssl_keyfile=settings.console_tls_key,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=5,
            limit_concurrency=200,
        )
        try:
            config.load()
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(f"CONSOLE_TLS_CERTIFICATE and CONSOLE_TLS_KEY cannot be used: {error}") from error
        self._server = uvicorn.Server(config)

    def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C, noting progress for a health check. Raises ConfigError."""
        try:
            self._progress.start()
        except OSError as error:
            raise ConfigError(f"PROGRESS_FOLDER cannot be written to: {error}") from error
        asyncio.run(self._serve_and_note())

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Serve in a thread of its own while the block runs."""
        thread = threading.Thread(target=self._server.run, args=([self._socket],), name="console", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.should_exit = True
            thread.join(timeout=_STOP_SECONDS)

    async def _serve_and_note(self) -> None:
        noting = asyncio.create_task(self._note())
        try:
            await self._server.serve([self._socket])
        finally:
            noting.cancel()

    async def _note(self) -> None:
        """Progress is that the event loop turns and its threads have time."""
        while True:
            await asyncio.to_thread(self._progress.finish)
            await asyncio.sleep(PROGRESS_SECONDS)
