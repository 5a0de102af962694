"""The HTTP side: takes requests apart, asks the fault script and the partner, and answers.

Documents are posted to the paths of ``routes.py``. The ``/_simulator/…`` endpoints let tests look at
and steer the simulator; they ask for no credentials, which is why the program binds to loopback.

Works directly on aiohttp's low-level server: the handful of fixed paths needs no router, and a
simulator that is slower than the client under test would measure itself.
"""

import asyncio
import base64
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from simulator.faults import BadScriptError, FaultScript, Rule, Try, parse_rules, rules_as_json
from simulator.ledger import Ledger
from simulator.partner import KEY_HEADER, Duplicates, Partner, Verdict
from simulator.replies import (
    NO_REPLY,
    AcceptedShape,
    RefusalShape,
    Reply,
    ReplyWriter,
    json_bytes,
    message_reply,
)
from simulator.routes import KINDS, ROUTES_BY_PATH, Route
from simulator.validation import Fault, UnreadableError, read_document
from simulator.wire import drop, send_broken, whole

MAX_BODY_BYTES = 16 * 1024 * 1024
MAX_PAGE = 10_000
SHUTDOWN_SECONDS = 0.1

ABANDONED = "abandoned"
"""How an exchange is counted whose client left before the answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be chosen about a simulator; times in seconds.

    ``denied_facilities`` maps a facility code to the status (401 or 403) that its documents get.
    """

    host: str = "127.0.0.1"
    port: int = 8088
    username: str = "partner"
    password: str = field(default="partner", repr=False)
    reply_shape: AcceptedShape = AcceptedShape.OBJECT
    refusal_shape: RefusalShape = RefusalShape.MESS
    refusal_status: int = 400
    duplicates: Duplicates = Duplicates.KEY
    denied_facilities: dict[str, int] = field(default_factory=dict)
    rules: tuple[Rule, ...] = ()
    seed: int = 1
    hang_seconds: float = 2.5
    ledger_file: Path | None = None
    verbose: bool = False


class Stats:
    """Counts since the start of the process."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()
        self.requests: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self.results: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.in_flight = 0
        self.max_in_flight = 0

    def enter(self, kind: str) -> None:
        """One more request is being handled."""
        self.requests[kind] += 1
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def leave(self, answer: str) -> None:
        """A request has been handled; ``answer`` is its status, ``dropped`` or ``abandoned``."""
        self.answers[answer] += 1
        self.in_flight -= 1

    def as_json(self) -> dict[str, Any]:
        """The body of ``GET /_simulator/stats``."""
        return {
            "uptime_seconds": round(time.monotonic() - self._started_at, 3),
            "in_flight": self.in_flight,
            "max_in_flight": self.max_in_flight,
            "requests": {kind: self.requests[kind] for kind in KINDS},
            "stray_requests": self.requests["stray"],
            "answers": dict(sorted(self.answers.items())),
            "results": dict(sorted(self.results.items())),
            "faults": dict(sorted(self.faults.items())),
        }


@dataclass(slots=True)
class Exchange:
    """What is known of one request to a route, so far."""

    request: web.BaseRequest
    route: Route
    key: str
    attempt: Try
    code: str | None = None
    facility: str | None = None
    body: bytes = b""
    document: dict[str, Any] = field(default_factory=dict)
    result: str = "-"
    fault: str = "-"


class Simulator:
    """One partner: ledger, script, counters, and the handler that serves them over HTTP."""

    def __init__(self, settings: Settings) -> None:
        """Opens the ledger; raises LedgerError."""
        self._settings = settings
        self._ledger = Ledger(settings.ledger_file)
        self._replies = ReplyWriter(settings.reply_shape, settings.refusal_shape, settings.refusal_status)
        self._partner = Partner(self._ledger, self._replies, settings.duplicates)
        self._script = FaultScript(settings.rules, settings.seed)
        self._stats = Stats()
        self._credentials = _authorization_values(settings.username, settings.password)
        self._slow_work: set[asyncio.Task[Any]] = set()
        self._control: dict[str, dict[str, Callable[[web.BaseRequest], Awaitable[Reply]]]] = {
            "/_simulator/ledger": {"GET": self._get_ledger},
            "/_simulator/stats": {"GET": self._get_stats},
            "/_simulator/faults": {
                "GET": self._get_faults,
                "PUT": self._put_faults,
                "DELETE": self._delete_faults,
            },
        }

    def close(self) -> None:
        """Closes the ledger."""
        self._ledger.close()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request, or pointedly does not."""
        route = ROUTES_BY_PATH.get(request.path)
        if route is None:
            return whole(await self._control_reply(request))
        if request.method != "POST":
            return whole(message_reply(405, "Chỉ chấp nhận POST", (hdrs.ALLOW, "POST")))
        key = request.headers.get(KEY_HEADER, "")
        exchange = Exchange(request, route, key, self._script.begin(route.kind, key))
        started_at = time.monotonic()
        answer = ABANDONED
        self._stats.enter(route.kind)
        try:
            response, answer = await self._exchange(exchange)
        except ConnectionError:  # the client left while it was being written to
            response = drop(request)
        finally:
            self._stats.leave(answer)
            if self._settings.verbose:
                _log(exchange, answer, time.monotonic() - started_at)
        return response

    # --- documents ----------------------------------------------------------------------------------

    async def _exchange(self, exchange: Exchange) -> tuple[web.StreamResponse, str]:
        """Returns the response and how it is counted."""
        early = self._script.before_read(exchange.attempt)
        if early is not None:
            return await self._strike(exchange, early, NO_REPLY)
        refusal = await self._read(exchange)
        if refusal is not None:
            return _complete(refusal)
        delay, fault = self._script.after_read(exchange.attempt, exchange.code, exchange.facility)
        if delay:
            self._stats.faults["latency"] += 1
        if fault is not None and not fault.commits:
            await asyncio.sleep(delay)
            return await self._strike(exchange, fault, NO_REPLY)
        verdict = await self._receive(exchange, delay)
        if fault is None or not verdict.recorded:
            return _complete(verdict.reply)
        return await self._strike(exchange, fault, verdict.reply)

    async def _read(self, exchange: Exchange) -> Reply | None:
        """Lets the request in as far as it may come: a refusal, or None once its document is known."""
        headers = exchange.request.headers
        if headers.get(hdrs.AUTHORIZATION) not in self._credentials:
            challenge = (hdrs.WWW_AUTHENTICATE, 'Basic realm="simulator", charset="UTF-8"')
            return message_reply(401, "Sai tên đăng nhập hoặc mật khẩu", challenge)
        if not _is_utf8_json(headers.get(hdrs.CONTENT_TYPE, "")):
            return message_reply(415, "Content-Type phải là application/json, mã hóa UTF-8")
        try:
            exchange.body = await exchange.request.read()
            exchange.document = read_document(exchange.body)
        except web.HTTPRequestEntityTooLarge:
            return message_reply(413, f"Nội dung lớn hơn {MAX_BODY_BYTES // 1024 // 1024} MB")
        except UnreadableError as error:
            exchange.result = "refused"
            self._stats.results["refused"] += 1
            return self._replies.refused([Fault("body", str(error))])
        exchange.code = _string(exchange.document, exchange.route.code_field)
        exchange.facility = _string(exchange.document, "facilityCode")
        denied = self._settings.denied_facilities.get(exchange.facility or "")
        return None if denied is None else message_reply(denied, f"Cơ sở {exchange.facility} không được phép gửi")

    async def _receive(self, exchange: Exchange, delay: float) -> Verdict:
        if not delay:
            return self._decide(exchange)
        # A partner that is slow does not notice that its client has given up: the work goes on.
        work = asyncio.create_task(self._decide_later(exchange, delay))
        self._slow_work.add(work)
        work.add_done_callback(self._slow_work.discard)
        return await asyncio.shield(work)

    async def _decide_later(self, exchange: Exchange, delay: float) -> Verdict:
        await asyncio.sleep(delay)
        return self._decide(exchange)

    def _decide(self, exchange: Exchange) -> Verdict:
        verdict = self._partner.receive(exchange.route, exchange.document, exchange.body, exchange.key)
        exchange.result = verdict.result
        self._stats.results[verdict.result] += 1
        return verdict

    async def _strike(self, exchange: Exchange, fault: Rule, reply: Reply) -> tuple[web.StreamResponse, str]:
        exchange.fault = fault.fault
        self._stats.faults[fault.fault] += 1
        return await send_broken(exchange.request, fault, reply, self._settings.hang_seconds)

    # --- control ------------------------------------------------------------------------------------

    async def _control_reply(self, request: web.BaseRequest) -> Reply:
        methods = self._control.get(request.path)
        if methods is None:
            self._stats.requests["stray"] += 1
            return message_reply(404, f"Không có đường dẫn {request.path}")
        handler = methods.get(request.method)
        if handler is None:
            return _problem(405, f"allowed here: {', '.join(methods)}")
        return await handler(request)

    async def _get_ledger(self, request: web.BaseRequest) -> Reply:
        query = request.query
        unknown = sorted(set(query) - {"kind", "code", "after", "limit", "payloads"})
        if unknown:
            return _problem(400, f"unknown parameter {unknown[0]}; allowed: kind, code, after, limit, payloads")
        if query.get("kind", KINDS[0]) not in KINDS:
            return _problem(400, f"kind must be one of {', '.join(KINDS)}")
        limit = query.get("limit", "1000")
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit) <= MAX_PAGE):
            return _problem(400, f"limit must be a whole number from 1 to {MAX_PAGE}")
        if query.get("payloads", "false") not in ("true", "false"):
            return _problem(400, "payloads must be true or false")
        page = self._ledger.page_json(
            kind=query.get("kind"),
            code=query.get("code"),
            after=query.get("after"),
            limit=int(limit),
            payloads=query.get("payloads") == "true",
        )
        return Reply(200, page.encode("utf-8"))

    async def _get_stats(self, _request: web.BaseRequest) -> Reply:
        return Reply(200, json_bytes(self._stats.as_json()))

    async def _get_faults(self, _request: web.BaseRequest) -> Reply:
        return Reply(200, json_bytes({"rules": rules_as_json(self._script.rules)}))

    async def _put_faults(self, request: web.BaseRequest) -> Reply:
        try:
            rules = parse_rules(await request.read())
        except BadScriptError as error:
            return _problem(400, *error.problems)
        return self._install(rules)

    async def _delete_faults(self, _request: web.BaseRequest) -> Reply:
        return self._install([])

    def _install(self, rules: list[Rule]) -> Reply:
        self._script = FaultScript(rules, self._settings.seed)
        return Reply(200, json_bytes({"rules": rules_as_json(rules)}))


def _complete(reply: Reply) -> tuple[web.StreamResponse, str]:
    return whole(reply), str(reply.status)


def _problem(status: int, *problems: str) -> Reply:
    """An error of the control endpoints: ``{"errors": [sentence, …]}``."""
    return Reply(status, json_bytes({"errors": problems}))


def _string(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) else None


@lru_cache(maxsize=256)  # clients say the same thing every time
def _is_utf8_json(content_type: str) -> bool:
    media_type, _, parameters = content_type.lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    return media_type.strip() == "application/json" and charset in ("", "utf-8", "utf8")


def _authorization_values(username: str, password: str) -> frozenset[str]:
    """The Authorization headers that are right: clients may write non-ASCII letters in either encoding."""
    values = set()
    for encoding in ("utf-8", "latin-1"):
        with suppress(UnicodeEncodeError):
            credentials = f"{username}:{password}".encode(encoding)
            values.add("Basic " + base64.b64encode(credentials).decode("ascii"))
    return frozenset(values)


def _log(exchange: Exchange, answer: str, seconds: float) -> None:
    """One line per request, without names of persons, payloads or credentials."""
    sys.stderr.write(
        f"{exchange.attempt.kind} code={exchange.code!r} facility={exchange.facility!r} key={exchange.key!r}"
        f" -> {answer} {exchange.result} fault={exchange.fault} {seconds * 1000:.1f} ms\n"
    )


def _make_request(
    message: RawRequestMessage,
    payload: StreamReader,
    protocol: RequestHandler,
    writer: AbstractStreamWriter,
    task: asyncio.Task[None],
) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY_BYTES)


async def serve(settings: Settings, ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serves until ``stop`` is set; ``ready`` is called once with the base URL.

    Ends within a fraction of a second even while requests hang. Raises LedgerError, and OSError
    when the address cannot be bound.
    """
    simulator = Simulator(settings)
    # A hanging handler ends when its client leaves: in_flight then counts clients that wait.
    server = web.Server(simulator.handle, request_factory=_make_request, handler_cancellation=True, access_log=None)
    runner = web.ServerRunner(server, shutdown_timeout=SHUTDOWN_SECONDS)
    try:
        await runner.setup()
        await web.TCPSite(runner, settings.host, settings.port, backlog=1024).start()
        host, port = runner.addresses[0][:2]
        ready(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
        await stop.wait()
    finally:
        await runner.cleanup()
        simulator.close()
