"""The list of deliveries and the page of one document through a real server: what they show, to whom, and what they
let be done; hostile codes, filters and replies."""

import csv
import io
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from html import unescape
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import pytest
from sqlalchemy import insert, select, update

from app.db.tables import attempt
from app.documents import HOA_DON, PHIEU_NHAP, PHIEU_XUAT
from app.domain.errors import ErrorCode, Problem
from app.domain.listing import AuditFilter
from app.domain.states import State
from app.domain.users import Role
from app.partners import Prepared
from app.web.pages.deliveries import PAGE_SIZE
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
ODD_CODES += [".", "..", "..."]


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
    assert len(listed(answer)) == PAGE_SIZE


# ---- one document ---------------------------------------------------------------------------------------

NAME = "Nguyễn Văn An"
LINE = {"ma_thuoc": "T1", "ten_thuoc": "Panadol", "so_lo": "L1", "han_dung": date(2030, 1, 2), "so_luong": 5,
        "don_gia": Decimal("12500.50"), "don_vi_tinh": "Hộp"}  # fmt: skip


def bring(bench: Bench, state: State, reply: dict[str, Any] | None = None, **decision: Any) -> None:
    """An invoice HD1 with a line, sent as the log keeps it in clear, and answered so."""
    bench.queue(HOA_DON, ["HD1"], ho_ten_khach_hang=NAME)
    with bench.engine.begin() as connection:
        connection.execute(insert(HOA_DON.lines).values(ma_hoa_don="HD1", **LINE))
    if state is State.QUEUED:
        return
    endpoint = bench.gateway.client.profile.endpoints["hoa_don"]
    prepared = endpoint.prepare(bench.gateway.source.load(HOA_DON, ["HD1"])["HD1"])
    assert isinstance(prepared, Prepared)
    bench.claim(HOA_DON, ["HD1"])
    bench.begin_send(HOA_DON, ["HD1"])
    given = bench.settlement(HOA_DON, "HD1", state, **decision)
    record = {
        "request": {"method": "POST", "url": "http://partner/hoadon", "body": prepared.text(masked=False)},
        "response": reply or {"status": 400, "headers": {}, "body": '{"mess":"sai số lô","a":{"b":1.10}}'},
    }
    bench.ledger.settle(HOA_DON, [replace(given, attempt=replace(given.attempt, record=record))], "worker")


def done_to(bench: Bench, action: str) -> list[tuple[str, str, str]]:
    """Who did it, to what, why."""
    found = bench.gateway.lists.audit(AuditFilter(action=action)).rows
    return [(each.who, each.code, each.why) for each in found]


def state_of(bench: Bench, code: str = "HD1") -> State:
    delivery = bench.ledger.get(HOA_DON, code)
    assert delivery is not None
    return delivery.state


def whole_size(browser: Browser, answer: Answer) -> int:
    assets = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text))
    return len(answer.body) + sum(len(browser.get(asset).body) for asset in assets)


def test_a_document_tells_its_state_its_tries_and_what_is_in_the_source(
    bench: Bench, browse: Callable[..., Browser]
) -> None:
    bring(bench, State.REJECTED)
    browser = browse()
    page = unescape(browser.get(page_of("hoa_don", "HD1")).text)
    for shown in ("<h1>HD1</h1>", "<strong>rejected</strong>", "sai số lô", "<code>refused</code>",
                  "Correct the document in the source program", "Panadol", "12,500.5", "2 Jan 2030",
                  '"mess": "sai số lô",\n  "a": {\n    "b": 1.10', "url: http://partner/hoadon",
                  "Nothing: the same would be sent.", "/audit?kind=hoa_don&code=HD1"):  # fmt: skip
        assert shown in page, shown
    assert "Nguyễn" not in page
    assert "N*** V*** A***" in page
    assert "<form" not in page[page.index("<main") :]  # a viewer looks
    with bench.engine.begin() as connection:
        connection.execute(update(HOA_DON.lines).values(so_luong=7, don_gia=-1))
    page = browser.get(page_of("hoa_don", "HD1")).text
    assert '<a href="#line-1">Line 1</a>' in page
    assert '<td class="wrong amount">-1</td>' in page
    with bench.engine.begin() as connection:
        connection.execute(update(HOA_DON.lines).values(don_gia=1))
    assert "<td><del>5</del></td><td><ins>7</ins></td>" in browser.get(page_of("hoa_don", "HD1")).text
    browser.cookies["hermes_lang"] = "vi"
    page = browser.get(page_of("hoa_don", "HD1")).text
    assert '<th scope="col" class="amount">Số lượng</th>' in page
    assert "<strong>bị từ chối</strong>" in page


def test_the_due_time_of_what_goes_on_by_itself_is_said(bench: Bench, browse: Callable[..., Browser]) -> None:
    bring(bench, State.WAITING)
    page = browse().get(page_of("hoa_don", "HD1")).text
    assert "Hermes goes on by itself" in page
    assert re.search(r"Next: <time[^>]*>10:00:00 14 Mar 2026", page)


@pytest.mark.parametrize("code", ODD_CODES)
def test_any_code_has_a_page_to_which_the_list_leads_and_on_which_it_can_be_acted(
    bench: Bench, browse: Callable[..., Browser], code: str
) -> None:
    bench.bring(HOA_DON, code, State.REJECTED)
    browser = browse("operator")
    lists = browser.get("/deliveries")
    assert listed(lists) == [code]
    leads = re.search(r'href="(/deliveries/hoa_don/[^"]+)"', lists.text)
    assert leads is not None
    path = unescape(leads[1])
    page = browser.get(path)
    assert f"<h1>{code}</h1>" in unescape(page.text)
    assert f'<form method="post" action="{leads[1]}"' in page.text
    answer = browser.post(path, do="retry", why="x", sure="yes")
    assert answer.leads_to == f"{path}{'&' if '?' in path else '?'}done=retry"
    assert "It will be sent at once" in browser.get(answer.leads_to).text
    assert state_of(bench, code) is State.QUEUED
    back = re.search(r'name="back_to" value="([^"]*)"', page.text)
    assert back is not None
    changed = browser.post("/language", choice="vi", back_to=unescape(back[1]))
    assert changed.leads_to == path
    stranger = Browser(browser.port)
    wanted = stranger.get(stranger.get(path).leads_to)
    after_login = re.search(r'name="back_to" value="([^"]*)"', wanted.text)
    assert after_login is not None
    assert unescape(after_login[1]) == path


def test_what_is_not_in_the_ledger_is_said_and_what_is_no_kind_is_refused(
    bench: Bench, browse: Callable[..., Browser]
) -> None:
    browser = browse("operator")
    answer = browser.get(page_of("hoa_don", "<b>HD1</b>"))
    assert (answer.status, "Hermes has not taken up" in answer.text, "<b>HD1" in answer.text) == (404, True, False)
    assert browser.post(page_of("hoa_don", "HD1"), do="retry", why="x", sure="yes").status == 404
    assert browser.get(page_of("king", "HD1")).status == 422
    assert browser.get(page_of("hoa_don", "x" * 300)).status == 422


ACTIONS = [
    (State.WAITING, "now", {}, State.QUEUED, "retry"),
    (State.REJECTED, "retry", {}, State.QUEUED, "retry"),
    (State.PARKED, "retry", {}, State.QUEUED, "retry"),
    (State.ACCEPTED, "again", {}, State.QUEUED, "retry"),
    (State.WAITING, "park", {}, State.PARKED, "park"),
    (State.UNKNOWN, "park", {}, State.PARKED, "park"),
    (State.UNKNOWN, "accepted", {"national_code": "QG-7"}, State.ACCEPTED, "resolve"),
    (State.UNKNOWN, "resend", {}, State.QUEUED, "resolve"),
    (State.UNKNOWN, "reject", {}, State.REJECTED, "resolve"),
]


@pytest.mark.parametrize(("state", "do", "more", "after", "action"), ACTIONS, ids=lambda each: str(each))
def test_an_operator_acts_with_a_reason_after_a_question(
    bench: Bench, browse: Callable[..., Browser], state: State, do: str, more: dict[str, str], after: State, action: str
) -> None:
    bring(bench, state)
    browser, path = browse("operator"), page_of("hoa_don", "HD1")
    assert f'name="do" value="{do}"' in browser.get(path).text
    asked = browser.post(path, do=do, why=" <b>lô</b> mới ", **more)
    assert (asked.status, state_of(bench)) == (200, state)
    given = dict(re.findall(r'name="(\w+)" value="([^"]*)"', asked.text[asked.text.index("<main") :]))
    assert (given["sure"], unescape(given["why"])) == ("yes", "<b>lô</b> mới")
    del given["form_token"]
    answer = browser.post(path, **{name: unescape(value) for name, value in given.items()})
    assert answer.leads_to == f"{path}?done={do}"
    assert state_of(bench) is after
    assert done_to(bench, action) == [("operator", "HD1", "<b>lô</b> mới")]
    page = browser.get(answer.leads_to).text
    assert 'role="status"' in page
    assert "&lt;b&gt;lô&lt;/b&gt; mới" in page
    if do == "accepted":
        assert "<code>QG-7</code>" in page


@pytest.mark.parametrize("do", [action[1] for action in ACTIONS] + ["names"])
def test_viewers_and_forged_forms_change_nothing(bench: Bench, browse: Callable[..., Browser], do: str) -> None:
    bring(bench, State.UNKNOWN)
    fields = {"do": do, "why": "x", "sure": "yes", "national_code": "QG-7"}
    viewer, operator = browse("viewer"), browse("operator")
    viewer.get("/password")
    operator.get(page_of("hoa_don", "HD1"))
    assert viewer.post(page_of("hoa_don", "HD1"), **fields).status == 403
    assert operator.post(page_of("hoa_don", "HD1"), token=viewer.token, **fields).status == 403
    assert operator.post(page_of("hoa_don", "HD1"), token="", **fields).status == 403
    assert state_of(bench) is State.UNKNOWN
    assert bench.gateway.lists.audit(AuditFilter(code="HD1")).rows == ()


def test_without_reason_or_national_code_nothing_is_done(bench: Bench, browse: Callable[..., Browser]) -> None:
    bring(bench, State.UNKNOWN)
    browser, path = browse("operator"), page_of("hoa_don", "HD1")
    for fields, sentence in [
        ({"do": "resend", "why": "  "}, "Give a reason"),
        ({"do": "accepted", "why": "x"}, "Enter the national code"),
        ({"do": "accepted", "why": "x", "national_code": "x" * 251}, "at most 250"),
        ({"do": "names", "why": ""}, "Give a reason"),
        ({"do": "sing", "why": "x"}, "There is no such action."),
    ]:
        answer = browser.post(path, sure="yes", **fields)
        assert (answer.status, sentence in answer.text) == (422, True), fields
    assert state_of(bench) is State.UNKNOWN
    assert bench.gateway.lists.audit(AuditFilter(code="HD1")).rows == ()


def test_what_went_on_meanwhile_is_not_undone(bench: Bench, browse: Callable[..., Browser]) -> None:
    bring(bench, State.ACCEPTED)
    browser, path = browse("operator"), page_of("hoa_don", "HD1")
    assert "in another state by now" in browser.post(path, do="retry", why="x").text
    for do in ("retry", "park", "resend", "reject", "accepted"):
        answer = browser.post(path, do=do, why="x", sure="yes", national_code="QG-8")
        assert answer.leads_to == f"{path}?done=nothing"
        assert "Nothing was changed" in browser.get(answer.leads_to).text
    assert state_of(bench) is State.ACCEPTED
    assert bench.gateway.lists.audit(AuditFilter(code="HD1")).rows == ()


def test_names_are_shown_once_to_who_gives_a_reason_and_that_is_audited(
    bench: Bench, browse: Callable[..., Browser]
) -> None:
    bring(bench, State.REJECTED, {"status": 400, "body": f"khách {NAME.upper()}"})
    browser, path = browse("operator"), page_of("hoa_don", "HD1")
    assert "Nguyễn" not in browser.get(path).text
    shown = browser.post(path, do="names", why="đối chiếu đơn")
    assert shown.status == 200
    assert shown.headers["Cache-Control"] == "no-store"
    assert NAME in shown.text
    assert NAME.upper() in shown.text
    assert done_to(bench, "names") == [("operator", "HD1", "đối chiếu đơn")]
    again = browser.get(path).text
    assert "Nguyễn" not in again
    assert "names shown" in again


HOSTILE_REPLIES = {
    "script": '{"mess":"<script>alert(1)</script>","x":"</pre><img src=x onerror=alert(1)>"}',
    "endless": "<a href='x'>\"&\U0001f600" * 800_000,
    "deep": "[" * 30_000,
    "nested": "[" * 900 + "1," * 20_000 + "1" + "]" * 900,
    "deep object": '{"a":' * 500 + "1" + "}" * 500,
    "not utf-8": b"\xff\xfe\x00\x1b[31m\xed\xa0\x80".decode("utf-8", "replace"),
    "backwards": "\u202egnp.exe\u2066",
    "lone surrogate": '{"a":"\\ud800"}',
}


@pytest.mark.parametrize("reply", HOSTILE_REPLIES.values(), ids=HOSTILE_REPLIES)
def test_a_hostile_reply_neither_runs_nor_bloats_the_page(
    bench: Bench, browse: Callable[..., Browser], reply: str
) -> None:
    problem = Problem(ErrorCode.REFUSED, reply[:2000])
    headers = {"location": "javascript:alert(1)", "content-type": reply[:3000]}
    bring(bench, State.REJECTED, {"status": 400, "headers": headers, "body": reply}, problem=problem)
    browser = browse("operator")
    answer = browser.get(page_of("hoa_don", "HD1"))
    assert answer.status == 200
    for forbidden in (b"<script>alert", b"<img src=x", b"\x1b", "\u202e".encode(), "\u2066".encode(), b"<a href='x'"):
        assert forbidden not in answer.body
    assert whole_size(browser, answer) < 100_000
    assert "What people did" in answer.text
    if len(reply) > 20_000:
        assert "This is its beginning" in answer.text


def test_a_document_of_any_length_and_history_has_a_page_of_bounded_size(
    bench: Bench, browse: Callable[..., Browser]
) -> None:
    bring(bench, State.REJECTED, {"status": 400, "body": "<'\"" * 20_000})
    with bench.engine.begin() as connection:
        rows = [{"ma_hoa_don": "HD1", **LINE, "so_lo": "", "ten_thuoc": "<thuốc>" * 60} for _ in range(500)]
        connection.execute(insert(HOA_DON.lines), rows)
        log_row = dict(connection.execute(select(attempt)).one()._mapping)
        connection.execute(insert(attempt), [{**log_row, "id": str(number)} for number in range(60)])
    browser = browse("operator")
    answer = browser.get(page_of("hoa_don", "HD1"))
    assert answer.status == 200
    assert whole_size(browser, answer) < 100_000
    assert re.search(r"\d+ more lines are not shown", answer.text)
    assert re.search(r"\d+ earlier tries are not shown", answer.text)
    assert re.search(r"\d+ more are not shown", answer.text)


def test_a_document_that_is_gone_from_the_source_still_tells_its_story(
    bench: Bench, browse: Callable[..., Browser]
) -> None:
    bring(bench, State.REJECTED)
    with bench.engine.begin() as connection:
        connection.execute(HOA_DON.lines.delete())
        connection.execute(HOA_DON.header.delete())
    page = browse().get(page_of("hoa_don", "HD1")).text
    assert "The source has no such document any more" in page
    assert "sai số lô" in page


def test_the_overview_leads_to_what_needs_a_person(bench: Bench, browse: Callable[..., Browser]) -> None:
    bring(bench, State.REJECTED)
    browser = browse()
    page = browser.get("/").text
    assert 'href="/errors"' in page
    assert listed(browser.get("/deliveries?state=rejected")) == ["HD1"]
