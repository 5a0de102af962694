"""What holds for every answer: security headers, bodies of bounded length, no traceback to the outside.

Plain ASGI around the whole application, so that nothing gets past it.
"""

from collections.abc import Callable

import structlog
from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send

from app.web.errors import error_page

log = structlog.get_logger(__name__)

LONGEST_BODY = 64 * 1024

HEADERS = {
    # Nothing inline and nothing from anywhere else: what a partner or a document says can never become a program.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class BodyTooLong(Exception):
    """A body went on for longer than any form of ours."""


class Hardening:
    """The outermost layer."""

    def __init__(self, app: FastAPI, is_secure: Callable[[Request], bool]) -> None:
        self._app = app
        self._is_secure = is_secure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request({**scope, "app": self._app})
        headers = HEADERS | ({"Strict-Transport-Security": "max-age=31536000"} if self._is_secure(request) else {})
        started = False

        async def send_hardened(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                answered = MutableHeaders(scope=message)
                for name, value in headers.items():
                    answered[name] = value
                answered.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            if _declared_length(request) > LONGEST_BODY:
                raise BodyTooLong
            await self._app(scope, _bounded(receive), send_hardened)
        except BodyTooLong:
            if not started:
                await error_page(request, 413)(scope, receive, send_hardened)
        except Exception:  # process boundary: the reader gets a page, the log the traceback
            log.exception("console_error", method=request.method, route=_route(scope))
            if not started:
                await error_page(request, 500)(scope, receive, send_hardened)


def _declared_length(request: Request) -> int:
    declared = request.headers.get("content-length", "0")
    return int(declared) if declared.isdigit() and declared.isascii() else 0


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def receive_bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > LONGEST_BODY:
            raise BodyTooLong
        return message

    return receive_bounded


def _route(scope: Scope) -> str:
    """The route's pattern rather than the address, which may hold a token."""
    return str(getattr(scope.get("route"), "path", "?"))
