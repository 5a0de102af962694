"""The partner client on real sockets: against the simulator with every fault, and against a server that is worse.

What matters for each: the outcome's type and code, that the client itself sends exactly once (P2, P4), that what
may have arrived is never called a failure (P5), and that no secret and no person's name comes back (P9).
"""

import asyncio
import json
import os
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass, field
from datetime import date
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any, get_args

import pytest

from app.clients.classify import Reply
from app.clients.partner_api_client import PartnerAPIClient, Unreached, partner_api_client
from app.core.config import Settings, get_settings, load_settings
from app.demo.sample_data import generate
from app.documents import ALL_KINDS, KINDS
from app.domain.deliveries import Exchange
from app.domain.errors import ConfigError, ErrorCode
from app.domain.kinds import Document, idempotency_key
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Retry, Scope, Unknown
from app.partners import PROFILES, Prepared
from simulator.faults import AnyRule
from simulator.process import SimulatorHandle, running_simulator

KIND_NAMES = [kind.name for kind in ALL_KINDS]
CUSTOMER, SELLER = "Nguyễn Văn An", "Trần Thị Bình"
PASSWORD = "S3cret+P@ss"
DEADLINE_SECONDS = 20
ROOT = Path(__file__).parents[2]

_numbers = count(1)


def prepared(kind: str, **header: Any) -> tuple[Prepared, str]:
    """A good document under a code of its own, and its idempotency key."""
    sample = next(generate(kind, 1, seed=5, today=date(2026, 11, 20), defect_every=0))
    code = f"T-{next(_numbers)}"
    document = Document(kind, code, {**sample.header, KINDS[kind].code_column: code, **header}, sample.lines)
    result = PROFILES["basic"].endpoints[kind].prepare(document)
    assert isinstance(result, Prepared)
    return result, idempotency_key(kind, code, 1)


def invoice_of_persons(**header: Any) -> tuple[Prepared, str]:
    return prepared("hoa_don", **{"ho_ten_khach_hang": CUSTOMER, "ho_ten_nguoi_ban": SELLER, **header})


def code_of(document: Prepared) -> str:
    return str(document.payload.get("invoiceCode") or document.payload["billCode"])


def verdict(exchange: Exchange) -> tuple[type[Outcome], ErrorCode | None]:
    outcome = exchange.outcome
    return type(outcome), None if isinstance(outcome, Accepted) else outcome.problem.code


def message_of(exchange: Exchange) -> str:
    assert not isinstance(exchange.outcome, Accepted)
    return exchange.outcome.problem.message


def everything_said(exchange: Exchange) -> str:
    """All that an exchange tells the log, the ledger and the source row."""
    return repr(exchange.outcome) + json.dumps(exchange.record, ensure_ascii=False) + repr(exchange.record)


Connect = Callable[..., PartnerAPIClient]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """A client of the partner at an address; keyword arguments are settings."""
    async with AsyncExitStack() as stack:

        def open_one(url: str, **settings: Any) -> PartnerAPIClient:
            values = {"api_username": "partner", "api_password": "partner", "request_timeout_seconds": 10}
            chosen = load_settings(api_base_url=url, **{**values, "hermes_lang": "en", **settings})
            client = PartnerAPIClient(lambda: chosen)
            stack.push_async_callback(client.close)
            return client

        yield open_one


# --- the simulator --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def _running_partner() -> Iterator[SimulatorHandle]:
    with running_simulator() as handle:
        yield handle


@pytest.fixture
def partner(_running_partner: SimulatorHandle) -> Iterator[SimulatorHandle]:
    """A well-behaved partner; a test's faults end with it."""
    yield _running_partner
    _running_partner.clear_faults()


def requests_to(partner: SimulatorHandle) -> int:
    """Every request that ever reached the partner, wherever it went."""
    stats = partner.stats()
    return sum(stats["requests"].values()) + int(stats["stray_requests"])


async def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition whose check is a round trip."""
    deadline = monotonic() + DEADLINE_SECONDS
    while not await asyncio.to_thread(condition):
        assert monotonic() < deadline, f"not within {DEADLINE_SECONDS} s: {what}"


async def send_one(client: PartnerAPIClient, partner: SimulatorHandle, kind: str) -> tuple[Exchange, Prepared]:
    """Send a new document of the kind, and prove that exactly one request came of it."""
    document, key = prepared(kind)
    before = requests_to(partner)
    exchange = await client.submit(kind, document, key)
    assert requests_to(partner) == before + 1
    return exchange, document


@pytest.mark.parametrize("kind", KIND_NAMES)
async def test_a_good_document_is_accepted_under_the_partners_national_code(
    partner: SimulatorHandle, connect: Connect, kind: str
) -> None:
    exchange, document = await send_one(connect(partner.url), partner, kind)
    [at_partner] = partner.documents(kind=kind, code=code_of(document), payloads=True)
    [of_key] = at_partner["keys"]
    assert exchange.outcome == Accepted(of_key["accepted"][0]["national_code"])
    assert exchange.http_status == 200
    assert at_partner["copies"] == 1


async def test_each_kind_has_a_method_of_its_own(partner: SimulatorHandle, connect: Connect) -> None:
    client = connect(partner.url)
    before = partner.stats()["requests"]
    for submit, kind in (
        (client.submit_phieu_nhap, "phieu_nhap"),
        (client.submit_phieu_xuat, "phieu_xuat"),
        (client.submit_hoa_don, "hoa_don"),
    ):
        assert isinstance((await submit(*prepared(kind))).outcome, Accepted)
    assert partner.stats()["requests"] == {kind: sent + 1 for kind, sent in before.items()}


@pytest.mark.parametrize("kind", KIND_NAMES)
async def test_p4_the_same_key_is_recognised_by_the_partner(
    partner: SimulatorHandle, connect: Connect, kind: str
) -> None:
    client, (document, key) = connect(partner.url), prepared(kind)
    first, second = await client.submit(kind, document, key), await client.submit(kind, document, key)
    assert first.outcome == second.outcome
    assert partner.totals(kind=kind, code=code_of(document))["copies"] == 1


Expected = tuple[type[Outcome], ErrorCode | None, int | None]

LOST: Expected = (Unknown, ErrorCode.CONNECTION_LOST, None)
SILENT: Expected = (Unknown, ErrorCode.TIMEOUT, None)
UNREADABLE: Expected = (Unknown, ErrorCode.UNREADABLE_REPLY, 200)
SHORT = {"request_timeout_seconds": 1}

# The fault, settings of the client, what comes of it, and whether the partner has the document.
FAULTS: list[tuple[dict[str, Any], dict[str, Any], Expected, bool]] = [
    ({"fault": "latency", "seconds": 0.05}, {}, (Accepted, None, 200), True),
    ({"fault": "latency", "seconds": 1.3}, SHORT, SILENT, True),
    ({"fault": "cut-before-read"}, {}, LOST, False),
    ({"fault": "cut-after-commit"}, {}, LOST, True),
    ({"fault": "hang-before-read", "seconds": 5}, SHORT, SILENT, False),
    ({"fault": "hang-after-commit", "seconds": 5}, SHORT, SILENT, True),
    ({"fault": "half-body"}, {}, UNREADABLE, True),
    ({"fault": "html-200"}, {}, UNREADABLE, False),
    ({"fault": "html-200", "committed": True}, {}, UNREADABLE, True),
    ({"fault": "empty-200"}, {}, UNREADABLE, True),
    ({"fault": "empty-200", "committed": False}, {}, UNREADABLE, False),
    ({"fault": "garbage"}, {}, UNREADABLE, True),
    ({"fault": "garbage", "committed": False}, {}, UNREADABLE, False),
    ({"fault": "slow-body", "seconds": 0.2}, {}, (Accepted, None, 200), True),
    ({"fault": "slow-body", "seconds": 5}, SHORT, UNREADABLE, True),
    ({"fault": "huge-body", "megabytes": 3}, {}, UNREADABLE, True),
    ({"fault": "huge-body", "megabytes": 2}, {"max_response_bytes": 4 * 1024 * 1024}, (Accepted, None, 200), True),
    ({"fault": "redirect"}, {}, (Unknown, ErrorCode.WRONG_ADDRESS, 302), False),
    ({"fault": "code-in-200"}, {}, (Retry, ErrorCode.PARTNER_ERROR, 200), False),
    ({"fault": "code-in-200", "code_in_body": "503"}, {}, (Defer, ErrorCode.PARTNER_UNAVAILABLE, 200), False),
    ({"fault": "code-in-200", "code_in_body": 400}, {}, (Rejected, ErrorCode.REFUSED, 200), False),
    ({"fault": "code-in-200", "code_in_body": "401"}, {}, (Defer, ErrorCode.CREDENTIALS_REFUSED, 200), False),
]
STATUSES: dict[int, tuple[type[Outcome], ErrorCode | None]] = {
    400: (Rejected, ErrorCode.REFUSED),
    401: (Defer, ErrorCode.CREDENTIALS_REFUSED),
    403: (Defer, ErrorCode.CREDENTIALS_REFUSED),
    404: (Rejected, ErrorCode.REFUSED),
    408: (Defer, ErrorCode.PARTNER_UNAVAILABLE),
    409: (Accepted, None),
    413: (Rejected, ErrorCode.REFUSED),
    422: (Rejected, ErrorCode.REFUSED),
    425: (Defer, ErrorCode.PARTNER_UNAVAILABLE),
    429: (Defer, ErrorCode.RATE_LIMITED),
    500: (Retry, ErrorCode.PARTNER_ERROR),
    501: (Retry, ErrorCode.PARTNER_ERROR),
    502: (Unknown, ErrorCode.GATEWAY_ERROR),
    503: (Defer, ErrorCode.PARTNER_UNAVAILABLE),
    504: (Unknown, ErrorCode.GATEWAY_ERROR),
    599: (Unknown, ErrorCode.GATEWAY_ERROR),
}


@pytest.mark.parametrize(
    ("number", "rule", "settings", "expected", "recorded"),
    [
        pytest.param(number, *row, id="-".join([row[0]["fault"], *(str(v) for k, v in row[0].items() if k != "fault")]))
        for number, row in enumerate(FAULTS)
    ],
)
async def test_p5_every_fault_is_called_what_it_is_and_nothing_is_sent_twice(
    partner: SimulatorHandle,
    connect: Connect,
    number: int,
    rule: dict[str, Any],
    settings: dict[str, Any],
    expected: Expected,
    recorded: bool,
) -> None:
    partner.set_faults([rule])
    kind = KIND_NAMES[number % len(KIND_NAMES)]
    exchange, document = await send_one(connect(partner.url, **settings), partner, kind)
    assert (*verdict(exchange), exchange.http_status) == expected
    if recorded:
        await until(lambda: partner.totals(kind=kind, code=code_of(document))["copies"] == 1, "recorded once")
    else:
        assert partner.totals(kind=kind, code=code_of(document))["copies"] == 0


def test_the_table_knows_every_fault_of_the_simulator() -> None:
    rules = get_args(get_args(AnyRule)[0])
    names = {get_args(rule.model_fields["fault"].annotation)[0] for rule in rules}
    assert names == {row[0]["fault"] for row in FAULTS} | {"status"}


@pytest.mark.parametrize(("status", "expected"), STATUSES.items())
async def test_every_status_comes_back_as_its_outcome(
    partner: SimulatorHandle, connect: Connect, status: int, expected: tuple[type[Outcome], ErrorCode | None]
) -> None:
    partner.set_faults([{"fault": "status", "status": status}])
    exchange, _ = await send_one(connect(partner.url), partner, KIND_NAMES[status % len(KIND_NAMES)])
    assert (verdict(exchange), exchange.http_status) == (expected, status)


@pytest.mark.parametrize("status", [404, 405])
async def test_a_page_that_is_not_there_is_a_wrong_address_and_no_verdict_on_the_document(
    partner: SimulatorHandle, connect: Connect, status: int
) -> None:
    partner.set_faults([{"fault": "status", "status": status, "content_type": "text/html; charset=utf-8"}])
    exchange, _ = await send_one(connect(partner.url), partner, "hoa_don")
    assert verdict(exchange) == (Defer, ErrorCode.WRONG_ADDRESS)


async def test_p5_an_error_behind_which_the_document_was_recorded_leaves_it_unknown(
    partner: SimulatorHandle, connect: Connect
) -> None:
    """A gateway gives up while the partner works on: sent again under the same key, it is recognised."""
    partner.set_faults([{"fault": "status", "status": 504, "committed": True, "first_tries": 1}])
    client, (document, key) = connect(partner.url), prepared("phieu_nhap")
    assert verdict(await client.submit_phieu_nhap(document, key)) == (Unknown, ErrorCode.GATEWAY_ERROR)
    assert isinstance((await client.submit_phieu_nhap(document, key)).outcome, Accepted)
    assert partner.totals(kind="phieu_nhap", code=code_of(document))["copies"] == 1


@pytest.mark.parametrize("written", ["seconds", "http-date"])
async def test_p6_an_overloaded_partner_says_when_to_come_back(
    partner: SimulatorHandle, connect: Connect, written: str
) -> None:
    rule = {"fault": "status", "status": 503, "retry_after_seconds": 120, "retry_after_format": written}
    partner.set_faults([rule])
    exchange, _ = await send_one(connect(partner.url), partner, "hoa_don")
    assert isinstance(exchange.outcome, Defer)
    assert exchange.outcome.after is not None
    assert 115 <= exchange.outcome.after.total_seconds() <= 120


@pytest.mark.parametrize("settings", [{"api_password": "wrong"}, {"api_username": "wrong"}])
async def test_p6_wrong_credentials_are_no_verdict_on_the_document(
    partner: SimulatorHandle, connect: Connect, settings: dict[str, Any]
) -> None:
    exchange, document = await send_one(connect(partner.url, **settings), partner, "hoa_don")
    assert isinstance(exchange.outcome, Defer)
    assert exchange.outcome.scope is Scope.FACILITY
    assert verdict(exchange) == (Defer, ErrorCode.CREDENTIALS_REFUSED)
    assert partner.totals(code=code_of(document))["copies"] == 0


async def test_awkward_credentials_reach_the_partner(connect: Connect) -> None:
    username, password = "nhà thuốc", 'm:ật "khẩu" %20\\+'
    with running_simulator(username=username, password=password) as partner:
        client = connect(partner.url, api_username=username, api_password=password)
        exchange, _ = await send_one(client, partner, "hoa_don")
    assert isinstance(exchange.outcome, Accepted)


async def test_p7_a_facility_that_is_not_allowed_is_told_apart_from_the_others(connect: Connect) -> None:
    document, key = prepared("phieu_xuat")
    with running_simulator(deny_facility=[f"{document.payload['facilityCode']}=403"]) as partner:
        client = connect(partner.url)
        denied = await client.submit_phieu_xuat(document, key)
        others = await client.submit_phieu_xuat(*prepared("phieu_xuat", ma_co_so="CS-OTHER"))
    assert verdict(denied) == (Defer, ErrorCode.CREDENTIALS_REFUSED)
    assert isinstance(others.outcome, Accepted)


@pytest.mark.parametrize(("policy", "named"), [("conflict", True), ("conflict-bare", False)])
async def test_p4_what_the_partner_has_already_is_accepted(connect: Connect, policy: str, named: bool) -> None:
    with running_simulator(duplicates=policy) as partner:
        client, (document, key) = connect(partner.url), prepared("hoa_don")
        first = (await client.submit_hoa_don(document, key)).outcome
        second = (await client.submit_hoa_don(document, key)).outcome
    assert isinstance(first, Accepted)
    assert second == Accepted(first.national_code if named else None, duplicate=True)


async def test_an_acceptance_is_read_in_every_shape(connect: Connect) -> None:
    with running_simulator(reply_shape="cycle") as partner:
        client = connect(partner.url)
        exchanges = [(await send_one(client, partner, kind))[0] for kind in KIND_NAMES for _ in range(4)]
    bodies = [str(exchange.record["response"]["body"]) for exchange in exchanges]
    assert all(isinstance(exchange.outcome, Accepted) for exchange in exchanges), bodies
    assert {body[0] for body in bodies} == {"{", '"'}


async def test_a_refusal_is_readable_in_every_shape(connect: Connect) -> None:
    """The body is changed on its way: our own check would never have let such a document out."""
    document, key = prepared("phieu_nhap")
    broken = Prepared(
        document.body.replace(b'"unit":', b'"unity":', 1), "", document.payload, document.masked, document.names
    )
    with running_simulator(refusal_shape="cycle", refusal_status=422) as partner:
        client = connect(partner.url)
        exchanges = [await client.submit_phieu_nhap(broken, key) for _ in range(6)]
    assert [verdict(exchange) for exchange in exchanges] == [(Rejected, ErrorCode.REFUSED)] * 6
    assert all("thiếu đơn vị tính (unit)" in message_of(exchange) for exchange in exchanges)


@pytest.mark.parametrize("letters", [900_000, 2_000_000])
async def test_a_big_document_arrives_whole(partner: SimulatorHandle, connect: Connect, letters: int) -> None:
    document, key = prepared("phieu_nhap", ghi_chu="x" * letters)
    exchange = await connect(partner.url).submit_phieu_nhap(document, key)
    assert isinstance(exchange.outcome, Accepted)
    [at_partner] = partner.documents(kind="phieu_nhap", code=code_of(document), payloads=True)
    assert len(exchange.record["request"]["body"]) == 64 * 1024
    assert at_partner["copies"] == 1


async def test_the_probe_sends_no_document_and_tells_whether_the_credentials_are_taken(
    partner: SimulatorHandle, connect: Connect
) -> None:
    before = partner.totals()
    welcome, refused = await connect(partner.url).probe(), await connect(partner.url, api_password="wrong").probe()
    assert isinstance(welcome, Reply)
    assert isinstance(refused, Reply)
    assert welcome.status not in {401, 403}
    assert refused.status == 401
    assert partner.totals() == before


async def test_a_closed_client_opens_again_when_it_is_needed(partner: SimulatorHandle, connect: Connect) -> None:
    client = connect(partner.url)
    for _ in range(2):
        exchange, _ = await send_one(client, partner, "hoa_don")
        assert isinstance(exchange.outcome, Accepted)
        await client.close()
        await client.close()


async def test_an_exchange_says_when_it_began_and_how_long_it_took(partner: SimulatorHandle, connect: Connect) -> None:
    partner.set_faults([{"fault": "latency", "seconds": 0.3}])
    exchange, _ = await send_one(connect(partner.url), partner, "hoa_don")
    assert exchange.duration_ms >= 300
    assert exchange.started_at.utcoffset() is not None


# --- nobody there ---------------------------------------------------------------------------------

UNREACHABLE = (Defer, ErrorCode.CONNECT_FAILED)


async def test_p6_a_refused_connection_uses_up_no_attempt(connect: Connect) -> None:
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))  # bound but not listening: nobody else takes the port
        client = connect(f"http://127.0.0.1:{bound.getsockname()[1]}")
        exchange = await client.submit_hoa_don(*prepared("hoa_don"))
        probed = await client.probe()
    assert (verdict(exchange), exchange.http_status) == (UNREACHABLE, None)
    assert "response" not in exchange.record
    assert isinstance(probed, Unreached)
    assert probed.problem.code is ErrorCode.CONNECT_FAILED


async def test_p6_a_name_that_does_not_resolve_uses_up_no_attempt(connect: Connect) -> None:
    exchange = await connect("http://nowhere.invalid").submit_hoa_don(*prepared("hoa_don"))
    assert verdict(exchange) == UNREACHABLE
    assert "nowhere.invalid" in message_of(exchange)


async def test_p6_a_partner_that_does_not_take_up_the_connection_uses_up_no_attempt(connect: Connect) -> None:
    """A full backlog drops the opening packet, as a firewall does."""
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(listener.getsockname())
        client = connect(f"http://127.0.0.1:{listener.getsockname()[1]}", connect_timeout_seconds=1)
        exchange = await client.submit_hoa_don(*prepared("hoa_don"))
        for each in waiting:
            each.close()
    assert verdict(exchange) == UNREACHABLE
    assert 900 <= exchange.duration_ms < 5000


@pytest.mark.parametrize("host", ["ü" * 60 + ".vn", ("a" * 60 + ".") * 5 + "vn"], ids=["label", "name"])
async def test_p6_an_impossible_name_is_an_outcome_and_no_exception(connect: Connect, host: str) -> None:
    client = connect(f"http://{host}")
    assert verdict(await client.submit_hoa_don(*prepared("hoa_don"))) == UNREACHABLE
    looked = await client.probe()
    assert isinstance(looked, Unreached), "`hermes check` would say that the partner answered"
    assert looked.problem.code is ErrorCode.CONNECT_FAILED


async def test_p6_waiting_for_a_free_connection_is_not_sending(partner: SimulatorHandle, connect: Connect) -> None:
    """The second request never got a connection within its time: it is surely not at the partner."""
    partner.set_faults([{"fault": "hang-before-read", "seconds": 5}])
    client = connect(partner.url, send_concurrency=1, request_timeout_seconds=1)
    before = requests_to(partner)
    # Both times run out in one turn of the loop, so that the second cannot take over the connection of the first.
    asyncio.get_running_loop().call_later(0.8, sleep, 0.4)
    exchanges = await asyncio.gather(*(client.submit_hoa_don(*prepared("hoa_don")) for _ in range(2)))
    assert sorted(str(verdict(exchange)[1]) for exchange in exchanges) == ["connect_failed", "timeout"]
    assert requests_to(partner) == before + 1


# --- a server that is worse than the simulator ----------------------------------------------------

Handler = Callable[["RawConnection"], Awaitable[None]]


@dataclass
class RawConnection:
    """One accepted connection, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: "RawServer"

    async def request(self) -> tuple[bytes, bytes]:
        """The next request: head and body. Raises IncompleteReadError when the client has left."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        body = await self.reader.readexactly(int(length.split(b":")[1]))
        self.server.requests.append((head, body))
        return head, body

    async def send(self, content: bytes) -> None:
        self.writer.write(content)
        await self.writer.drain()

    async def hang(self) -> None:
        """Until the client leaves."""
        await self.reader.read()


@dataclass
class RawServer:
    """Counts what it accepts and does what the test says."""

    url: str = ""
    accepted: int = 0
    open_now: int = 0
    most_open: int = 0
    requests: list[tuple[bytes, bytes]] = field(default_factory=list)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Handler], Awaitable[RawServer]]]:
    """Starts a server that treats every connection as the test's handler does."""
    async with AsyncExitStack() as stack:

        async def start(handler: Handler) -> RawServer:
            raw = RawServer()
            running: set[asyncio.Task[None]] = set()

            async def treat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                raw.accepted += 1
                raw.open_now += 1
                raw.most_open = max(raw.most_open, raw.open_now)
                try:
                    await handler(RawConnection(reader, writer, raw))
                except (asyncio.IncompleteReadError, ConnectionError):
                    pass  # the client has left
                finally:
                    raw.open_now -= 1
                    writer.close()

            def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                task = asyncio.create_task(treat(reader, writer))
                running.add(task)
                task.add_done_callback(running.discard)

            server = await asyncio.start_server(accept, "127.0.0.1", 0)

            async def end() -> None:
                server.close()
                for task in running:
                    task.cancel()
                await asyncio.gather(*running, return_exceptions=True)

            stack.push_async_callback(end)
            raw.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            return raw

        yield start


Serve = Callable[[Handler], Awaitable[RawServer]]


def reply(body: bytes | str, status: str = "200 OK", *headers: str) -> bytes:
    content = body.encode() if isinstance(body, str) else body
    head = "".join(f"{line}\r\n" for line in (f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", *headers))
    return head.encode() + b"\r\n" + content


ACCEPTING = reply('{"ma_hoa_don_quoc_gia":"QG-1","code":200}')


def answering(content: bytes | Callable[[bytes, bytes], bytes]) -> Handler:
    """Reads requests and answers each of them alike."""

    async def handler(connection: RawConnection) -> None:
        while True:
            head, body = await connection.request()
            await connection.send(content(head, body) if callable(content) else content)

    return handler


def breaking_off(content: bytes) -> Handler:
    """Reads one request, says this much, and closes."""

    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(content)

    return handler


def falling_silent(content: bytes) -> Handler:
    """Reads one request, says this much, and nothing more."""

    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(content)
        await connection.hang()

    return handler


async def closing_at_once(_connection: RawConnection) -> None:
    """Accepts and closes without having read."""


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

BROKEN: dict[str, tuple[Handler, Expected]] = {
    "closed-before-reading": (closing_at_once, LOST),
    "closed-without-a-word": (breaking_off(b""), LOST),
    "no-http": (breaking_off(b"\x00\xff\x16\x03 hello\r\n\r\n"), LOST),
    "status-is-no-number": (breaking_off(b"HTTP/1.1 abc OK\r\n\r\n"), LOST),
    "half-a-status-line": (breaking_off(b"HTTP/1.1 2"), LOST),
    "half-the-headers": (breaking_off(HEAD + b"Content-Le"), LOST),
    "headers-too-long": (breaking_off(HEAD + b"X-A: " + b"a" * 100_000 + b"\r\n\r\n"), LOST),
    "length-is-no-number": (breaking_off(HEAD + b"Content-Length: abc\r\n\r\n"), LOST),
    "chunks-are-no-chunks": (breaking_off(HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n"), LOST),
    "shorter-than-announced": (breaking_off(HEAD + b'Content-Length: 40\r\n\r\n"QG-1"'), UNREADABLE),
    "a-chunk-is-missing": (breaking_off(HEAD + b'Transfer-Encoding: chunked\r\n\r\n6\r\n"QG-1"\r\n'), UNREADABLE),
    "gzip-is-no-gzip": (answering(reply("abc", "200 OK", "Content-Encoding: gzip")), UNREADABLE),
    "endless-body": (breaking_off(HEAD + b"\r\n" + b" " * 2_000_000), UNREADABLE),
}
FALLEN_SILENT: dict[str, tuple[Handler, dict[str, Any], Expected]] = {
    "after-reading": (falling_silent(b""), SHORT, SILENT),
    "after-the-status-line": (falling_silent(b"HTTP/1.1 200 OK\r\n"), SHORT, SILENT),
    "within-the-headers": (falling_silent(HEAD), SHORT, SILENT),
    "after-the-headers": (falling_silent(HEAD + b"Content-Length: 40\r\n\r\n"), SHORT, UNREADABLE),
    "within-the-body": (falling_silent(HEAD + b'Content-Length: 40\r\n\r\n{"ma_hoa'), SHORT, UNREADABLE),
    "for-longer-than-the-read-timeout": (
        falling_silent(b"HTTP/1.1 200 OK\r\n"),
        {"read_timeout_seconds": 1},
        SILENT,
    ),
}


async def break_one(serve: Serve, connect: Connect, handler: Handler, settings: dict[str, Any]) -> Expected:
    """What an exchange with this server comes to: sent once, whatever happens, and explained in a line."""
    server = await serve(handler)
    exchange = await connect(server.url, **settings).submit_hoa_don(*prepared("hoa_don"))
    assert server.accepted == 1
    assert len(server.requests) == (0 if handler is closing_at_once else 1)
    assert len(message_of(exchange)) < 400
    assert message_of(exchange).isprintable()
    return (*verdict(exchange), exchange.http_status)


@pytest.mark.parametrize(("handler", "expected"), BROKEN.values(), ids=BROKEN.keys())
async def test_p5_however_an_exchange_breaks_after_the_request_went_out_it_is_unknown_and_sent_once(
    serve: Serve, connect: Connect, handler: Handler, expected: Expected
) -> None:
    assert await break_one(serve, connect, handler, {}) == expected


async def test_p5_wherever_an_exchange_falls_silent_after_the_request_went_out_it_is_unknown_and_sent_once(
    serve: Serve, connect: Connect
) -> None:
    rows = FALLEN_SILENT.values()
    found = await asyncio.gather(*(break_one(serve, connect, handler, settings) for handler, settings, _ in rows))
    expected = {name: row[2] for name, row in FALLEN_SILENT.items()}
    assert dict(zip(FALLEN_SILENT, found, strict=True)) == expected


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_p5_a_partner_that_stops_reading_leaves_the_document_unknown(serve: Serve, connect: Connect) -> None:
    async def handler(connection: RawConnection) -> None:
        connection.writer.transport.pause_reading()
        await asyncio.get_running_loop().create_future()

    server = await serve(handler)
    document = prepared("phieu_nhap", ghi_chu="x" * 32_000_000)
    exchange = await connect(server.url, **SHORT).submit_phieu_nhap(*document)
    assert verdict(exchange) == (Unknown, ErrorCode.TIMEOUT)
    assert server.accepted == 1


async def test_a_silent_partner_is_waited_for_as_long_as_the_settings_say(serve: Serve, connect: Connect) -> None:
    server = await serve(falling_silent(b""))
    clients = {seconds: connect(server.url, request_timeout_seconds=seconds) for seconds in (1, 2)}
    exchanges = await asyncio.gather(*(client.submit_hoa_don(*prepared("hoa_don")) for client in clients.values()))
    for seconds, exchange in zip(clients, exchanges, strict=True):
        assert seconds * 1000 - 50 <= exchange.duration_ms < seconds * 1000 + 5000
        assert message_of(exchange) == f"no answer from the partner within {seconds} seconds"


async def test_p6_tls_to_a_plain_port_sends_nothing(serve: Serve, connect: Connect) -> None:
    received = []

    async def handler(connection: RawConnection) -> None:
        received.append(await connection.reader.read(65_536))
        await connection.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    server = await serve(handler)
    client = connect(server.url.replace("http:", "https:"), api_password=PASSWORD)
    exchange = await client.submit_hoa_don(*prepared("hoa_don"))
    assert verdict(exchange) == UNREACHABLE
    assert all(b"POST" not in hello and b"hoadon" not in hello for hello in received)


async def test_p6_a_port_that_does_not_answer_the_tls_handshake_is_out_of_reach(serve: Serve, connect: Connect) -> None:
    server = await serve(lambda connection: connection.hang())
    client = connect(server.url.replace("http:", "https:"), **SHORT)
    assert verdict(await client.submit_hoa_don(*prepared("hoa_don"))) == UNREACHABLE


async def test_a_preliminary_answer_is_not_the_answer(serve: Serve, connect: Connect) -> None:
    server = await serve(answering(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + ACCEPTING))
    exchange = await connect(server.url).submit_hoa_don(*prepared("hoa_don"))
    assert exchange.outcome == Accepted("QG-1")


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("301 Moved", Defer),
        ("302 Found", Unknown),
        ("303 See Other", Unknown),
        ("307 Temporary", Defer),
        ("308 Permanent", Defer),
    ],
)
async def test_no_redirect_is_followed(serve: Serve, connect: Connect, status: str, expected: type[Outcome]) -> None:
    server = await serve(answering(reply("", status, "Location: /hoadon")))
    exchange = await connect(server.url).submit_hoa_don(*prepared("hoa_don"))
    assert verdict(exchange) == (expected, ErrorCode.WRONG_ADDRESS)
    assert len(server.requests) == 1
    assert exchange.record["response"]["headers"] == {"location": "/hoadon"}


# --- what goes over the wire ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KIND_NAMES)
async def test_a_request_carries_what_the_profile_asks_for_and_nothing_personal_in_its_head(
    serve: Serve, connect: Connect, kind: str
) -> None:
    server = await serve(answering(reply('"QG-1"')))
    document, key = prepared(kind) if kind != "hoa_don" else invoice_of_persons()
    await connect(server.url + "/api/v1/", api_username="u", api_password=PASSWORD).submit(kind, document, key)
    [(head, body)] = server.requests
    first, *lines = head.decode("ascii").strip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    assert first == f"POST /api/v1/{PROFILES['basic'].endpoints[kind].path} HTTP/1.1"
    assert body == document.body
    assert headers["authorization"] == "Basic " + b64encode(f"u:{PASSWORD}".encode()).decode()
    assert headers["idempotency-key"] == key
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["content-length"] == str(len(document.body))
    assert headers["user-agent"].startswith("Hermes/")
    assert "cookie" not in headers


async def test_cookies_are_not_kept(serve: Serve, connect: Connect) -> None:
    server = await serve(answering(reply('"QG-1"', "200 OK", "Set-Cookie: session=1; Path=/")))
    client = connect(server.url)
    for _ in range(2):
        await client.submit_hoa_don(*prepared("hoa_don"))
    assert all(b"cookie" not in head.lower() for head, _ in server.requests)


async def test_a_proxy_of_the_environment_is_not_used(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server = await serve(answering(ACCEPTING))
    assert isinstance((await connect(server.url).submit_hoa_don(*prepared("hoa_don"))).outcome, Accepted)


async def test_one_connection_serves_many_requests_in_a_row(serve: Serve, connect: Connect) -> None:
    server = await serve(answering(ACCEPTING))
    client = connect(server.url)
    for number in range(30):
        kind = KIND_NAMES[number % 3]
        await client.submit(kind, *prepared(kind))
    assert (server.accepted, len(server.requests)) == (1, 30)


async def test_there_are_never_more_connections_than_requests_in_flight_are_allowed(
    serve: Serve, connect: Connect
) -> None:
    full = asyncio.Event()

    async def handler(connection: RawConnection) -> None:
        while True:
            await connection.request()
            if connection.server.open_now == 4:
                full.set()
            await full.wait()
            await connection.send(ACCEPTING)

    server = await serve(handler)
    client = connect(server.url, send_concurrency=4)
    exchanges = await asyncio.gather(*(client.submit_hoa_don(*prepared("hoa_don")) for _ in range(20)))
    assert all(isinstance(exchange.outcome, Accepted) for exchange in exchanges)
    assert (server.most_open, server.accepted, len(server.requests)) == (4, 4, 20)


async def test_a_connection_that_the_partner_closed_in_between_is_replaced(serve: Serve, connect: Connect) -> None:
    left = asyncio.Event()

    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(ACCEPTING)
        connection.writer.write_eof()
        await connection.hang()  # until the client has noticed
        left.set()

    server = await serve(handler)
    client = connect(server.url)
    for _ in range(3):
        left.clear()
        exchange = await client.submit_hoa_don(*prepared("hoa_don"))
        assert exchange.outcome == Accepted("QG-1")
        await asyncio.wait_for(left.wait(), DEADLINE_SECONDS)
    assert (server.accepted, len(server.requests)) == (3, 3)


@pytest.mark.parametrize("kind", KIND_NAMES)
async def test_p5_a_kept_connection_that_dies_under_a_request_is_not_tried_again(
    serve: Serve, connect: Connect, kind: str
) -> None:
    """The partner may have read it: only the ledger decides about sending again."""

    async def handler(connection: RawConnection) -> None:
        await connection.request()
        await connection.send(reply('"QG-1"'))
        await connection.request()
        connection.writer.transport.abort()

    server = await serve(handler)
    client = connect(server.url)
    first, second = [await client.submit(kind, *prepared(kind)) for _ in range(2)]
    assert first.outcome == Accepted("QG-1")
    assert verdict(second) == (Unknown, ErrorCode.CONNECTION_LOST)
    assert (server.accepted, len(server.requests)) == (1, 2)


async def test_p7_a_request_that_hangs_holds_up_no_other(serve: Serve, connect: Connect) -> None:
    async def handler(connection: RawConnection) -> None:
        while True:
            _, body = await connection.request()
            if b"CS-SLOW" in body:
                await connection.hang()
            await connection.send(ACCEPTING)

    server = await serve(handler)
    client = connect(server.url, **SHORT)
    slow = asyncio.create_task(client.submit_hoa_don(*prepared("hoa_don", ma_co_so="CS-SLOW")))
    for _ in range(20):
        assert isinstance((await client.submit_hoa_don(*prepared("hoa_don"))).outcome, Accepted)
    assert not slow.done()
    assert verdict(await slow) == (Unknown, ErrorCode.TIMEOUT)


async def test_a_cancelled_request_leaves_a_usable_client(serve: Serve, connect: Connect) -> None:
    asked = asyncio.Event()

    async def handler(connection: RawConnection) -> None:
        await connection.request()
        if not asked.is_set():
            asked.set()
            await connection.hang()
        await connection.send(ACCEPTING)

    server = await serve(handler)
    client = connect(server.url)
    task = asyncio.create_task(client.submit_hoa_don(*prepared("hoa_don")))
    await asyncio.wait_for(asked.wait(), DEADLINE_SECONDS)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance((await client.submit_hoa_don(*prepared("hoa_don"))).outcome, Accepted)


# --- secrets and persons' names (P9) --------------------------------------------------------------

TOKEN = b64encode(f"partner:{PASSWORD}".encode()).decode()


def refusing(text: str, *headers: str) -> Handler:
    return answering(reply(json.dumps({"mess": text}, ensure_ascii=False), "400 Bad Request", *headers))


ECHOES = {
    "mess": refusing(f"Khách {CUSTOMER} do {SELLER} bán: sai"),
    "other-case": refusing(f"KHÁCH {CUSTOMER.upper()} / {SELLER.lower()}"),
    "errors": answering(reply(json.dumps({"errors": {CUSTOMER: [SELLER]}}, ensure_ascii=False), "422 No")),
    "detail-list": answering(
        reply(json.dumps({"detail": [{"loc": ["body", CUSTOMER], "msg": SELLER}]}, ensure_ascii=False), "422 No")
    ),
    "html": answering(reply(f"<p>{CUSTOMER}</p><p>{SELLER}</p>", "400 Bad Request")),
    "whole-request": answering(lambda _head, body: reply(body, "400 Bad Request")),
    "whole-request-as-text": answering(
        lambda _head, body: reply(json.dumps({"mess": body.decode()}, ensure_ascii=False), "500 Oops")
    ),
    "200-without-a-code": answering(lambda _head, body: reply(body)),
    "401": answering(reply(f"{CUSTOMER} {SELLER}", "401 Unauthorized")),
}


@pytest.mark.parametrize("handler", ECHOES.values(), ids=ECHOES.keys())
@pytest.mark.parametrize("language", ["vi", "en"])
async def test_p9_a_name_that_the_partner_echoes_stays_out_of_message_and_record(
    serve: Serve, connect: Connect, handler: Handler, language: str
) -> None:
    server = await serve(handler)
    client = connect(server.url, hermes_lang=language)
    exchange = await client.submit_hoa_don(*invoice_of_persons())
    said = everything_said(exchange).lower()
    assert CUSTOMER.lower() not in said
    assert SELLER.lower() not in said
    assert "n*** v*** a***" in said


ESCAPED = json.dumps({"mess": f"{CUSTOMER}; {SELLER}"})
HIDDEN_ECHOES = {
    "escaped-json": (
        answering(reply(ESCAPED, "400 Bad Request")),
        {},
        ESCAPED[10:40],
    ),
    "squeezed-blanks": (
        refusing("Khách Nguyễn Văn An sai"),
        {"ho_ten_khach_hang": "Nguyễn  Văn An"},
        "Nguyễn Văn An",
    ),
    "cut-in-the-middle": (
        refusing("x" * 988 + " " + CUSTOMER),
        {},
        "Nguyễn Văn",
    ),
    "protocol-error": (
        breaking_off(b"HTTP/1.1 xyz Nguyen Van An\r\n\r\n"),
        {"ho_ten_khach_hang": "Nguyen Van An"},
        "Nguyen Van An",
    ),
    "kept-header": (
        refusing("sai", "X-Request-Id: Nguyen Van An"),
        {"ho_ten_khach_hang": "Nguyen Van An"},
        "Nguyen Van An",
    ),
}


@pytest.mark.parametrize(("handler", "header", "hidden"), HIDDEN_ECHOES.values(), ids=HIDDEN_ECHOES.keys())
async def test_p9_a_name_stays_out_of_message_and_record_however_the_partner_writes_it(
    serve: Serve, connect: Connect, handler: Handler, header: dict[str, str], hidden: str
) -> None:
    server = await serve(handler)
    exchange = await connect(server.url).submit_hoa_don(*invoice_of_persons(**header))
    assert not isinstance(exchange.outcome, Accepted)
    record = exchange.record
    assert hidden not in message_of(exchange)
    assert hidden not in str(record.get("response", {}).get("body"))
    assert hidden not in str(record.get("response", {}).get("headers"))


SECRET_ECHOES: dict[str, tuple[Handler, str]] = {
    "password-in-a-reason": (refusing(f"Sai mật khẩu {PASSWORD}"), PASSWORD),
    "password-in-a-page": (answering(reply(f"<p>{PASSWORD}</p>", "403 Forbidden")), PASSWORD),
    "password-in-garbage": (breaking_off(f"{PASSWORD} is wrong\r\n\r\n".encode()), PASSWORD),
    "token-in-a-reason": (refusing(f"Authorization: Basic {TOKEN}"), TOKEN),
    "whole-head-in-a-page": (answering(lambda head, _body: reply(head, "400 Bad Request")), TOKEN),
    "password-in-a-kept-header": (refusing("x", f"Location: /login?p={PASSWORD}"), PASSWORD),
}


@pytest.mark.parametrize(("handler", "secret"), SECRET_ECHOES.values(), ids=SECRET_ECHOES.keys())
@pytest.mark.parametrize("log_payloads", ["full", "masked"])
async def test_p9_a_secret_that_the_partner_echoes_stays_out_of_message_and_record(
    serve: Serve, connect: Connect, handler: Handler, secret: str, log_payloads: str
) -> None:
    server = await serve(handler)
    client = connect(server.url, api_password=PASSWORD, log_payloads=log_payloads)
    exchange = await client.submit_hoa_don(*prepared("hoa_don"))
    assert secret not in everything_said(exchange)


async def test_p9_a_secret_with_a_quote_is_masked_in_json_as_well(serve: Serve, connect: Connect) -> None:
    password = 'pa"ss\\word'
    server = await serve(refusing(f"sai {password}"))
    exchange = await connect(server.url, api_password=password).submit_hoa_don(*prepared("hoa_don"))
    assert password not in message_of(exchange)
    assert json.dumps(password)[1:-1] not in exchange.record["response"]["body"]


@pytest.mark.parametrize(
    ("log_payloads", "request_body", "names_shown"),
    [("full", True, True), ("masked", True, False), ("none", False, False)],
)
async def test_the_record_keeps_as_much_of_the_bodies_as_the_settings_say(
    serve: Serve, connect: Connect, log_payloads: str, request_body: bool, names_shown: bool
) -> None:
    server = await serve(answering(reply(f'{{"mess":"Khách {CUSTOMER} sai"}}', "400 Bad Request", "Retry-After: 5")))
    document, key = invoice_of_persons()
    exchange = await connect(server.url, log_payloads=log_payloads).submit_hoa_don(document, key)
    record = exchange.record
    assert without_body(record["request"]) == {"method": "POST", "url": f"{server.url}/hoadon", "idempotency_key": key}
    assert without_body(record["response"]) == {"status": 400, "headers": {"retry-after": "5"}, "complete": True}
    for side in ("request", "response"):
        assert ("body" in record[side]) == request_body
        assert (CUSTOMER in str(record[side])) == names_shown
    assert CUSTOMER not in message_of(exchange), "messages go into note_log and log lines whatever the setting"
    if request_body:
        sent = json.loads(record["request"]["body"])
        assert sent == json.loads(document.text(masked=not names_shown))


def without_body(side: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in side.items() if name != "body"}


async def test_a_record_is_json_whatever_the_partner_sends(serve: Serve, connect: Connect) -> None:
    server = await serve(answering(reply(b"\xff\x00\xed\xa0\x80" * 100, "400 \xff", "X-Request-Id: \x01\xff")))
    exchange = await connect(server.url).submit_hoa_don(*prepared("hoa_don"))
    assert json.dumps(exchange.record, ensure_ascii=False).encode()


# --- before the first request ---------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["api_base_url", "api_username", "api_password"])
async def test_a_client_without_an_address_or_credentials_says_which_setting_is_missing(missing: str) -> None:
    given = {"api_base_url": "http://127.0.0.1:9", "api_username": "u", "api_password": "p"}
    settings = load_settings(**{name: value for name, value in given.items() if name != missing})
    with pytest.raises(ConfigError, match=f"^{missing.upper()} is not set"):
        await PartnerAPIClient(lambda: settings).submit_hoa_don(*prepared("hoa_don"))


async def test_a_profile_that_does_not_exist_is_refused_naming_those_that_do() -> None:
    settings = load_settings(
        api_base_url="http://127.0.0.1:9", api_username="u", api_password="p", partner_profile="qqx1"
    )
    with pytest.raises(ConfigError, match=r"^PARTNER_PROFILE must be one of: basic") as refused:
        await PartnerAPIClient(lambda: settings).submit_hoa_don(*prepared("hoa_don"))
    assert "qqx1" not in str(refused.value)


async def test_the_process_client_reads_the_environment_when_it_is_first_used(
    partner: SimulatorHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"API_BASE_URL": partner.url, "API_USERNAME": "partner", "API_PASSWORD": "partner"}.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    try:
        exchange = await partner_api_client.submit_hoa_don(*prepared("hoa_don"))
    finally:
        await partner_api_client.close()
        get_settings.cache_clear()
    assert isinstance(exchange.outcome, Accepted)


def test_importing_the_client_has_no_effect(tmp_path: Path) -> None:
    """Not even with settings that make no sense: nothing is read, opened, started or written."""
    script = """
import sys, threading
sys.addaudithook(lambda event, _: sys.exit(event) if event.startswith(("socket.", "subprocess.")) else None)
from app.clients.partner_api_client import partner_api_client
assert threading.active_count() == 1, threading.enumerate()
assert partner_api_client is not None
"""
    nonsense = {name.upper(): "\x7f nonsense" for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name.upper() not in nonsense}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**kept, **nonsense, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []
