"""`PartnerAPIClient`: the only code that talks to the partner.

One pooled session per process, opened on first use and so always after a fork. The client never retries:
every exchange comes back as one outcome, and SQL alone owns what happens next. It knows for each request
whether it may have left this machine; that is what separates "surely not accepted" from "unknown" (P5).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from typing import Any
from urllib.parse import quote

import aiohttp
from aiohttp.abc import AbstractStreamWriter
from yarl import URL

from app import __version__
from app.clients.auth import basic_authorization
from app.clients.classify import Reading, Reply, classify
from app.core.clock import Clock, SystemClock
from app.core.config import LogPayloads, Settings, get_settings, reveal
from app.core.texts import say
from app.domain.deliveries import Exchange
from app.domain.errors import ConfigError, ErrorCode, Problem
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Unknown
from app.domain.redact import mask_names, mask_secrets, printable
from app.partners import PROFILES, Endpoint, Prepared, Profile

KEEPALIVE_SECONDS = 15
"""Idle connections are dropped before usual servers drop them, so that few sends meet a closing connection."""

LONGEST_LOGGED_BODY = 64 * 1024
_STREAMED_FROM = 1024 * 1024
_JSON = "application/json; charset=utf-8"
_FAILURES = (TimeoutError, aiohttp.ClientError, OSError, UnicodeError)
_NOT_CONNECTED = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL, UnicodeError)
_KEPT_HEADERS = ("content-type", "retry-after", "location", "x-request-id")


@dataclass(frozen=True, slots=True)
class Unreached:
    """No reply: why, for a person, and the error that says it to programs."""

    problem: Problem
    error: Exception


class _Watched(aiohttp.Payload):
    """A body that knows whether its first byte may have left. Headers alone make no document."""

    has_left = False

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body."""
        self.has_left = True
        await super().write(writer)  # type: ignore[safe-super] # both bodies have one

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Write the body, up to its announced length."""
        self.has_left = True
        await super().write_with_length(writer, content_length)


class _Bytes(_Watched, aiohttp.BytesPayload):
    """A body written at once."""


class _Stream(_Watched, aiohttp.BytesIOPayload):
    """A body written bit by bit, so that a large one does not keep the event loop from the others."""


class PartnerAPIClient:
    """Sends documents to the partner. Construction does nothing; `close` ends what the first request opened.

    All methods are coroutines of one event loop. No partner behaviour raises: it is in the outcome.
    Raises ConfigError when API_BASE_URL, API_USERNAME or API_PASSWORD is not set.
    """

    def __init__(self, settings: Callable[[], Settings] = get_settings, clock: Clock | None = None) -> None:
        self._read_settings = settings
        self._clock = clock or SystemClock()
        self._session: aiohttp.ClientSession | None = None

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._read_settings()

    @property
    def profile(self) -> Profile:
        """The partner's profile. Raises ConfigError when PARTNER_PROFILE names none."""
        try:
            return PROFILES[self.settings.partner_profile]
        except KeyError:
            raise ConfigError(f"PARTNER_PROFILE must be one of: {', '.join(PROFILES)}.") from None

    async def submit_phieu_nhap(self, document: Prepared, idempotency_key: str) -> Exchange:
        """Send one goods receipt."""
        return await self.submit("phieu_nhap", document, idempotency_key)

    async def submit_phieu_xuat(self, document: Prepared, idempotency_key: str) -> Exchange:
        """Send one goods issue."""
        return await self.submit("phieu_xuat", document, idempotency_key)

    async def submit_hoa_don(self, document: Prepared, idempotency_key: str) -> Exchange:
        """Send one sales invoice."""
        return await self.submit("hoa_don", document, idempotency_key)

    async def submit(self, kind: str, document: Prepared, idempotency_key: str) -> Exchange:
        """Send one document of any kind the profile has an endpoint for."""
        return await self._make_request(self.profile.endpoints[kind], document, idempotency_key)

    async def look_up(self, kind: str, code: str, document: Prepared) -> Exchange | None:
        """Ask what the partner has under `code`; None when it says 404: it has nothing. Whatever is no clear yes
        leaves the outcome as unknown as it was. `document` tells which names to mask."""
        endpoint = self.profile.endpoints[kind]
        if endpoint.lookup_path is None:
            raise ConfigError(f"PARTNER_PROFILE={self.profile.name} cannot look up.")
        path = endpoint.lookup_path.format(code=quote(code, safe=""))
        exchange = await self._exchange("GET", path, endpoint, document, None)
        match exchange.outcome:
            case Rejected() if exchange.http_status == 404:  # the partner's own 404, not a wrong address
                return None
            case Accepted(national_code=national_code):
                return replace(exchange, outcome=Accepted(national_code, duplicate=True))
            case Rejected(problem=problem):
                return replace(exchange, outcome=Unknown(problem))
            case _:
                return exchange

    async def probe(self) -> Reply | Unreached:
        """Whether the partner answers and takes our credentials: an empty POST to its first endpoint.

        No document can come of it, unlike of `{}`; and unlike a GET it gets as far as the credentials do. A
        Reply of any status but 401 and 403 means that they were not refused.
        """
        url = self._url(next(iter(self.profile.endpoints.values())).path)
        headers = {"Content-Type": _JSON}
        try:
            async with self._open().post(_parsed(url), data=b"", headers=headers, allow_redirects=False) as response:
                return Reply(response.status, response.headers, *await self._read(response))
        except _FAILURES as error:
            return Unreached(self._failure(error, sent=not isinstance(error, _NOT_CONNECTED)).problem, error)

    async def close(self) -> None:
        """Close the pooled connections; a later request opens new ones."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _make_request(self, endpoint: Endpoint, document: Prepared, idempotency_key: str) -> Exchange:
        return await self._exchange(endpoint.method, endpoint.path, endpoint, document, idempotency_key)

    async def _exchange(
        self, method: str, path: str, endpoint: Endpoint, document: Prepared, idempotency_key: str | None
    ) -> Exchange:
        """One request; with an idempotency key it carries the document, without it only asks."""
        started_at, start = self._clock.now(), time.perf_counter()
        url = self._url(path)
        sending: dict[str, Any] = {}
        body: _Watched | None = None
        if idempotency_key is not None:
            body = _body(document.body)
            sending = {"data": body, "headers": {"Idempotency-Key": idempotency_key}}
        reply: Reply | None = None
        try:
            async with self._open().request(method, _parsed(url), allow_redirects=False, **sending) as response:
                reply = Reply(response.status, response.headers, *await self._read(response))
            outcome = self._classified(reply, endpoint, document)
        except _FAILURES as error:
            sent = not isinstance(error, _NOT_CONNECTED) if body is None else body.has_left
            outcome = self._failure(error, sent=sent, names=document.names)
        request = {"method": method, "url": url}
        if idempotency_key is not None:
            request["idempotency_key"] = idempotency_key
        return Exchange(
            outcome=outcome,
            started_at=started_at,
            duration_ms=round((time.perf_counter() - start) * 1000),
            http_status=reply.status if reply else None,
            record=self._record(request, document, reply),
        )

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            self._session = self._new_session()
        return self._session

    def _new_session(self) -> aiohttp.ClientSession:
        settings = self.settings
        settings.require("api_base_url", "api_username", "api_password")
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.send_concurrency, keepalive_timeout=KEEPALIVE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Authorization": self._authorization(),
                "Accept": "application/json",
                "User-Agent": f"Hermes/{__version__}",
            },
            timeout=aiohttp.ClientTimeout(
                total=settings.request_timeout_seconds,
                sock_connect=settings.connect_timeout_seconds,
                sock_read=settings.read_timeout_seconds,
            ),
        )

    def _url(self, path: str) -> str:
        return f"{self.settings.api_base_url}/{path}"

    async def _read(self, response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
        """The body up to the limit, and whether that is all of it. A body that breaks off is a reply, too."""
        body = bytearray()
        try:
            async for chunk in response.content.iter_any():
                body += chunk
                if len(body) > self.settings.max_response_bytes:
                    response.close()
                    return bytes(body[: self.settings.max_response_bytes]), False
        except (TimeoutError, aiohttp.ClientError, OSError):
            return bytes(body), False
        return bytes(body), True

    def _classified(self, reply: Reply, endpoint: Endpoint, document: Prepared) -> Outcome:
        reading = Reading(
            endpoint.national_code_field,
            self.settings.hermes_lang,
            self._clock.now(),
            clean=lambda text: self._clean(text, document.names),
        )
        return classify(reply, reading)

    def _failure(self, error: Exception, *, sent: bool, names: tuple[str, ...] = ()) -> Defer | Unknown:
        detail = _describe(error, lambda text: self._clean(text, names))
        if not sent:
            return Defer(self._problem(ErrorCode.CONNECT_FAILED, detail=detail))
        if isinstance(error, TimeoutError):
            return Unknown(self._problem(ErrorCode.TIMEOUT, seconds=self.settings.request_timeout_seconds))
        return Unknown(self._problem(ErrorCode.CONNECTION_LOST, detail=detail))

    def _problem(self, code: ErrorCode, **values: object) -> Problem:
        return Problem(code, say(self.settings.hermes_lang, code.value, **values))

    def _clean(self, text: str, names: tuple[str, ...]) -> str:
        """`text` without secrets and without these persons' names (P9)."""
        return mask_names(mask_secrets(text, self._secrets()), names)

    def _secrets(self) -> tuple[str, ...]:
        return *self.settings.secrets, self._authorization().removeprefix("Basic ")

    def _authorization(self) -> str:
        return basic_authorization(self.settings.api_username or "", reveal(self.settings.api_password) or "")

    def _record(self, request: dict[str, str], document: Prepared, reply: Reply | None) -> dict[str, Any]:
        keep = self.settings.log_payloads
        if keep is not LogPayloads.NONE and "idempotency_key" in request:
            request["body"] = document.text(masked=keep is LogPayloads.MASKED)[:LONGEST_LOGGED_BODY]
        if reply is None:
            return {"request": request}
        names = document.names if keep is LogPayloads.MASKED else ()
        kept = {
            name: printable(self._clean(reply.headers[name], document.names))
            for name in _KEPT_HEADERS
            if name in reply.headers
        }
        response: dict[str, Any] = {"status": reply.status, "headers": kept, "complete": reply.complete}
        if keep is not LogPayloads.NONE:
            text = self._clean(reply.body[: 2 * LONGEST_LOGGED_BODY].decode("utf-8", "replace"), names)
            response["body"] = text[:LONGEST_LOGGED_BODY]
        return {"request": request, "response": response}


def _describe(error: Exception, clean: Callable[[str], str]) -> str:
    text = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return printable(clean(text[:5000]))[:200]


def _body(body: bytes) -> _Watched:
    if len(body) < _STREAMED_FROM:
        return _Bytes(body, content_type=_JSON)
    return _Stream(BytesIO(body), content_type=_JSON)


@lru_cache(maxsize=64)
def _parsed(url: str) -> URL:
    return URL(url)


partner_api_client = PartnerAPIClient()
"""The process's client: configured from the environment when it is first used."""
