"""The list of deliveries and the page of one document through a real server: what they show, to whom, and what they
let be done; hostile codes, filters and replies."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from datetime import date
from html import unescape
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import pytest

from app.documents import HOA_DON, PHIEU_NHAP, PHIEU_XUAT
from app.domain.errors import ErrorCode, Problem
from app.domain.states import State
from app.domain.users import Role
from app.wiring import Gateway
from tests.integration.console import PASSWORD, Answer, Browser, serving
from tests.integration.test_ledger import Bench

HOSTILE = [
    "<script>alert(1)</script>",
    "' OR 1=1; DROP TABLE hermes_delivery; --",
    "{{ 7*7 }}{% raw %}",
    "\x00\x01\x1b[31m",
    "\u202e\U0001f600%s%(x)s",
    "a" * 3000,
]
ODD_CODES = ["HD/2026/01", "PN 01 #2?x=1&y", "Hóa đơn 1", "50%2F", "a/../b", "//x//", '"><b>', "\U0001f600'", "x/retry"]


@pytest.fixture
def bench(open_gateway: Callable[..., Gateway], clock: Any, put_headers: Callable[..., None]) -> Bench:
    """A ledger, and a user of each role."""
    made = Bench(lambda: open_gateway(hermes_lang="en"), clock, put_headers)
    for role in Role:
        made.gateway.access.add(role.value, role, PASSWORD, who="test")
    return made


@pytest.fixture
def browse(bench: Bench) -> Iterator[Callable[[str], Browser]]:
    """Browsers, each logged in as the user of a role."""
    with serving(bench.gateway) as port:

        def make(name: str = "viewer") -> Browser:
            browser = Browser(port)
            assert browser.log_in(name).status == 303
            return browser

        yield make


def page_of(kind: str, code: str) -> str:
    return f"/deliveries/{kind}/{quote(code, safe='')}"


def listed(answer: Answer) -> list[str]:
    """The codes on a page of the list, in their order."""
    assert answer.status == 200
    return [unescape(code) for code in re.findall(r'<a href="/deliveries/[^"]+">([^<]*)</a>', answer.text)]


def link(answer: Answer, rel: str) -> str | None:
    found = re.search(rf'href="([^"]+)" rel="{rel}"', answer.text)
    return unescape(found[1]) if found else None


# ---- the list -------------------------------------------------------------------------------------------


@pytest.fixture
def some(bench: Bench) -> Bench:
    """One delivery of each fate."""
    bench.bring(HOA_DON, "HD1", State.REJECTED)
    bench.bring(HOA_DON, "HD10", State.ACCEPTED, columns={"ma_co_so": "CS02"})
    bench.bring(PHIEU_NHAP, "PN1", State.UNKNOWN, problem=Problem(ErrorCode.TIMEOUT, "no answer"))
    bench.bring(PHIEU_XUAT, "PX1", State.WAITING, columns={"ngay_xuat": date(2026, 2, 1)})
    bench.bring(PHIEU_XUAT, "PX2", State.QUEUED)
    return bench


@pytest.mark.parametrize(
    ("query", "codes"),
    [
        ("", {"HD1", "HD10", "PN1", "PX1", "PX2"}),
        ("kind=hoa_don", {"HD1", "HD10"}),
        ("state=rejected&state=unknown", {"HD1", "PN1"}),
        ("facility=CS02", {"HD10"}),
        ("from=2026-03-01", {"HD1", "HD10", "PN1", "PX2"}),
        ("to=2026-02-28", {"PX1"}),
        ("error=timeout", {"PN1"}),
        ("failed=1", {"HD1", "PN1", "PX1"}),
        ("code=HD1", {"HD1", "HD10"}),
        ("code=+HD1+&match=exact", {"HD1"}),
        ("code=hd&kind=phieu_nhap", set()),
        ("sort=due", {"PN1", "PX1", "PX2"}),
        ("kind=&state=&facility=&from=&to=&error=&code=&match=&sort=&cursor=", {"HD1", "HD10", "PN1", "PX1", "PX2"}),
    ],
)
def test_the_address_is_the_filter(some: Bench, browse: Callable[..., Browser], query: str, codes: set[str]) -> None:
    answer = browse().get(f"/deliveries?{query}")
    assert set(listed(answer)) == codes
    if "sort" not in query or "kind" in query:
        assert (f"{len(codes)} documents" in answer.text) == bool(codes)


def test_the_form_shows_what_was_asked_for_and_the_rows_lead_to_the_documents(
    some: Bench, browse: Callable[..., Browser]
) -> None:
    page = browse().get("/deliveries?state=rejected&code=HD&sort=code&from=2026-03-01&cause=abc").text
    assert 'name="state" value="rejected" checked' in page
    assert 'name="code" value="HD"' in page
    assert 'name="from" value="2026-03-01"' in page
    assert 'name="cause" value="abc" checked' in page
    assert '<option value="date" selected>' in page  # with a period, the order is that of dates
    assert '<a href="/deliveries/hoa_don/HD1">' in browse().get("/deliveries").text


def test_pages_lead_on_and_back_and_show_everything_once(bench: Bench, browse: Callable[..., Browser]) -> None:
    bench.queue(HOA_DON, [f"HD{number:03}" for number in range(100)])
    browser, seen, answers = browse(), [], []
    path: str | None = "/deliveries?kind=hoa_don&sort=code"
    while path:
        answers.append(browser.get(path))
        seen += listed(answers[-1])
        path = link(answers[-1], "next")
    assert seen == [f"HD{number:03}" for number in range(100)]
    assert len(answers) == 3
    assert link(answers[0], "prev") is None
    back = link(answers[2], "prev")
    assert back is not None
    assert listed(browser.get(back)) == listed(answers[1])


def test_what_cannot_be_asked_for_is_said_on_the_page_with_the_form_kept(
    some: Bench, browse: Callable[..., Browser]
) -> None:
    browser = browse()
    older = link(browser.get("/deliveries?sort=code"), "next") or "/deliveries?cursor=x"
    for path, sentence in [
        ("/deliveries?from=2026-03-02&to=2026-03-01&code=HD", "The first date is after the last."),
        ("/deliveries?from=yesterday", "A date is written year-month-day"),
        ("/deliveries?kind=king", "There is no such kind of document."),
        ("/deliveries?state=great", "There is no such state."),
        (older, "The address names no place in this list."),
    ]:
        answer = browser.get(path)
        assert (answer.status, sentence in answer.text) == (422, True), path
        assert 'class="filter finder"' in answer.text
    browser.cookies["hermes_lang"] = "vi"
    assert "Không có trạng thái này." in browser.get("/deliveries?state=great").text


def test_empty_lists_teach(bench: Bench, browse: Callable[..., Browser]) -> None:
    browser = browse()
    assert "No documents yet" in browser.get("/deliveries").text
    assert "No document matches" in browser.get("/deliveries?code=HD1").text


def test_more_than_can_be_counted_quickly_is_said_so(bench: Bench, browse: Callable[..., Browser]) -> None:
    bench.queue(HOA_DON, [f"HD{number:04}" for number in range(1001)])
    browser = browse()
    assert "1,000+ documents" in browser.get("/deliveries").text
    browser.cookies["hermes_lang"] = "vi"
    assert "1.000+ phiếu" in browser.get("/deliveries").text


def test_what_is_filtered_is_taken_along_as_csv_and_workbook(some: Bench, browse: Callable[..., Browser]) -> None:
    browser = browse()
    browser.cookies["hermes_lang"] = "vi"
    answer = browser.get("/deliveries.csv?kind=hoa_don&sort=code")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="hermes-20260314-0900\.csv"', answer.headers["Content-Disposition"])
    rows = list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert rows[0][:4] == ["Loại", "Mã", "Cơ sở", "Ngày chứng từ"]
    assert [row[1] for row in rows[1:]] == ["HD1", "HD10"]
    book = browser.get("/deliveries.xlsx?state=rejected")
    assert 'filename="hermes-20260314-0900.xlsx"' in book.headers["Content-Disposition"]
    with ZipFile(io.BytesIO(book.body)) as opened:
        sheet = opened.read("xl/worksheets/sheet1.xml").decode()
    assert ("HD1<" in sheet, "PN1" in sheet, "Loại" in sheet) == (True, False, True)
    assert browser.get("/deliveries.csv?state=great").status == 422
    page = browser.get("/deliveries?kind=hoa_don&state=rejected").text
    assert 'href="/deliveries.xlsx?kind=hoa_don&amp;state=rejected"' in page


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("path", ["/deliveries", "/deliveries.csv"])
def test_hostile_filters_find_nothing_and_come_back_harmless(
    some: Bench, browse: Callable[..., Browser], path: str, value: str
) -> None:
    browser, written = browse(), quote(value, safe="")
    names = "kind state facility from to error cause failed code match sort cursor"
    for name in names.split():
        answer = browser.get(f"{path}?{name}={written}")
        assert answer.status in {200, 422}, name
        for forbidden in (b"<script>alert", b"Traceback", b"\x1b", "\u202e".encode()):
            assert forbidden not in answer.body, name
    assert len(listed(browser.get("/deliveries"))) == 5


def test_a_full_page_of_the_list_is_small(bench: Bench, browse: Callable[..., Browser]) -> None:
    codes = [f"Hóa đơn số {number:03} của cửa hàng chúng tôi" for number in range(60)]
    bench.queue(HOA_DON, codes)
    bench.claim(HOA_DON, codes)
    bench.begin_send(HOA_DON, codes)
    problem = Problem(ErrorCode.REFUSED, "<'\"&" * 200)
    bench.ledger.settle(
        HOA_DON, [bench.settlement(HOA_DON, code, State.REJECTED, problem=problem) for code in codes], "worker"
    )
    browser = browse()
    answer = browser.get("/deliveries")
    assets = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text))
    assert len(answer.body) + sum(len(browser.get(asset).body) for asset in assets) < 100_000
    assert len(listed(answer)) == 40
