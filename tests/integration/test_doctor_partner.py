"""What `hermes check` says of the partner and of everybody's clocks."""

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from app.clients.examine_partner import PartnerExamination
from app.clients.partner_api_client import PartnerAPIClient
from app.core.clock import SystemClock
from app.core.config import load_settings
from app.domain.diagnosis import Finding, Verdict
from app.services.clocks import compare
from tests.tls import Authority, TlsProxy

BEARABLE = timedelta(seconds=60)


class Partner:
    """Answers every POST with one status, and says what time it believes it is."""

    def __init__(self, status: int, ahead: timedelta = timedelta()) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.send_response_only(status)
                self.send_header("Date", format_datetime(datetime.now(UTC) + ahead, usegmt=True))
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nobody reads it."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def partner() -> Iterator[Callable[..., Partner]]:
    started: list[Partner] = []

    def start(status: int = 400, **how: Any) -> Partner:
        started.append(Partner(status, **how))
        return started[-1]

    yield start
    for each in started:
        each.close()


def examine(url: str, **settings: Any) -> PartnerExamination:
    given = {"api_base_url": url, "api_username": "u", "api_password": "p", **settings}
    loaded = load_settings(**given)
    return PartnerExamination(PartnerAPIClient(lambda: loaded), SystemClock())


def one(findings: list[Finding]) -> Finding:
    (found,) = findings
    return found


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, "partner"),
        (415, "partner"),
        (401, "partner_login"),
        (403, "partner_login"),
        (404, "partner_address"),
        (302, "partner_address"),
        (503, "partner_unavailable"),
    ],
)
def test_what_the_partner_answers_is_told_apart(partner: Callable[..., Partner], status: int, cause: str) -> None:
    assert one(examine(f"http://127.0.0.1:{partner(status).port}").partner()).cause == cause


def test_a_partner_that_is_not_there_is_named(closed_port: int) -> None:
    assert one(examine(f"http://127.0.0.1:{closed_port}").partner()).cause == "partner_refused"
    assert one(examine("http://nowhere.invalid").partner()).cause == "partner_name"


@pytest.mark.parametrize(
    ("certificate", "host", "cause"),
    [({}, "localhost", "tls_authority"), ({"expired": True}, "localhost", "tls_expired"),
     ({"name": "other.example.vn"}, "localhost", "tls_name")],
    ids=str,
)  # fmt: skip
def test_faults_of_tls_are_told_apart(
    partner: Callable[..., Partner],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: dict[str, Any],
    host: str,
    cause: str,
) -> None:
    authority = Authority(tmp_path)
    if cause != "tls_authority":
        real = ssl.create_default_context

        def trusting(*args: Any, **kwargs: Any) -> ssl.SSLContext:
            return real(cafile=str(authority.file))

        monkeypatch.setattr("aiohttp.connector._SSL_CONTEXT_VERIFIED", trusting())
    proxy = TlsProxy(authority.server_context(**certificate), partner().port)
    found = one(examine(f"https://{host}:{proxy.port}").partner())
    proxy.close()
    assert (found.verdict, found.cause) == (Verdict.FAILED, cause)


def test_https_to_a_server_that_does_not_speak_it_is_named(partner: Callable[..., Partner]) -> None:
    assert one(examine(f"https://127.0.0.1:{partner().port}").partner()).cause == "tls_not_spoken"


# ---- clocks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("hours", [0, 2, -7])
def test_the_partners_date_tells_how_far_ahead_it_is(partner: Callable[..., Partner], hours: int) -> None:
    ahead = timedelta(hours=hours)
    examination = examine(f"http://127.0.0.1:{partner(ahead=ahead).port}")
    examination.partner()
    assert examination.ahead is not None
    assert abs(examination.ahead - ahead) < timedelta(seconds=5)


def seconds(**ahead: float) -> dict[str, timedelta]:
    return {name: timedelta(seconds=by) for name, by in ahead.items()}


@pytest.mark.parametrize(
    ("ahead", "verdict", "cause", "by"),
    [
        ({}, Verdict.SKIPPED, "clock_alone", None),
        (seconds(Redis=0.2, partner=-0.9), Verdict.MET, "clock", None),
        (seconds(Redis=7200, MongoDB=7200.3, partner=7199.5), Verdict.FAILED, "clock_ours_zone", "-2:00:00"),
        (seconds(Redis=-5400, MongoDB=-5400), Verdict.FAILED, "clock_ours", "+1:30:00"),
        (seconds(partner=7200), Verdict.FAILED, "clock_ours_zone", "-2:00:00"),
        (seconds(Redis=0, partner=7200), Verdict.WARNING, "clock_theirs_zone", "+2:00:00"),
        (seconds(Redis=0, MongoDB=-400), Verdict.FAILED, "clock_theirs", "-0:06:40"),
        (seconds(Redis=0, MongoDB=45), Verdict.WARNING, "clock_theirs", "+45.0 s"),
        (seconds(Redis=40), Verdict.WARNING, "clock_ours", "-40.0 s"),
    ],
    ids=str,
)
def test_clocks_that_disagree_are_named_with_the_amount(
    ahead: dict[str, timedelta], verdict: Verdict, cause: str, by: str | None
) -> None:
    found = one(compare(ahead, BEARABLE, "partner"))
    assert (found.verdict, found.cause, found.values.get("by")) == (verdict, cause, by)


def test_everyone_who_is_off_is_named() -> None:
    found = compare(seconds(Redis=0, MongoDB=-400, partner=400), BEARABLE, "partner")
    assert [each.values["who"] for each in found] == ["MongoDB", "partner"]
