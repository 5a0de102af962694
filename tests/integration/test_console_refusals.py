"""Refusals, replays, reconciliation and figures in the console, through a real server."""

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from html import unescape
from io import BytesIO
from itertools import product
from typing import Any
from urllib.parse import quote
from zipfile import ZipFile

import pytest
from sqlalchemy import insert

from app.core.config import Language
from app.db.tables import delivery, tally
from app.documents import HOA_DON, PHIEU_NHAP, PHIEU_XUAT
from app.domain.causes import cause_of
from app.domain.deliveries import Selection
from app.domain.errors import ErrorCode, Problem
from app.domain.listing import AuditFilter
from app.domain.replays import Pace, ReplayState
from app.domain.states import State
from app.domain.users import Role
from tests.integration.console import PASSWORD, Browser, serving
from tests.integration.test_ledger import Bench

KIND = PHIEU_NHAP.labels[Language.EN]
HOSTILE = ["<script>alert(1)</script>", "' OR 1=1; --", "\x00\x1b[31m", "\u202e\U0001f600", "9" * 5000, "%(count)s {0}"]


@pytest.fixture
def bench(open_gateway: Callable[..., Any], clock: Any, put_headers: Callable[..., None]) -> Bench:
    """A ledger, with one user of the console of each role."""
    made = Bench(lambda: open_gateway(hermes_lang="en"), clock, put_headers)
    for role in Role:
        made.gateway.access.add(role.value, role, PASSWORD, who="test")
    return made


@pytest.fixture
def browse(bench: Bench) -> Iterator[Callable[[str], Browser]]:
    """A browser, logged in as the user who is named."""
    with serving(bench.gateway) as port:

        def make(name: str) -> Browser:
            browser = Browser(port)
            assert browser.log_in(name).status == 303
            return browser

        yield make


def refuse(bench: Bench, codes: list[str], message: str = "thuốc chưa có", **columns: Any) -> str:
    """Invoices that are rejected for a cause; returns it."""
    problem = Problem(ErrorCode.REFUSED, message)
    for code in codes:
        bench.bring(HOA_DON, code, State.REJECTED, columns=columns, problem=problem)
    return next(each.cause for each in bench.gateway.refusals.groups().groups if each.example_code == codes[-1])


def put_refused(bench: Bench, causes: dict[str, str]) -> None:
    """Many rejected invoices at once: code → message."""
    now = bench.clock.now()
    usual = {"kind": "hoa_don", "facility": "CS01", "state": State.REJECTED, "attempts": 1, "revision": 1, "deaths": 0,
             "uncertain": False, "updated_at": now, "first_seen_at": now, "error_code": "refused"}  # fmt: skip
    rows = [
        {**usual, "code": code, "error_message": text, "cause": cause_of(Problem(ErrorCode.REFUSED, text))}
        for code, text in causes.items()
    ]
    with bench.engine.begin() as connection:
        connection.execute(insert(delivery), rows)


def audited(bench: Bench, action: str) -> list[tuple[str, str, str]]:
    """Who, what and why of the entries of an action."""
    rows = bench.gateway.lists.audit(AuditFilter(action=action), size=100).rows
    return [(each.who, each.code, each.why) for each in rows]


# ---- refusals -------------------------------------------------------------------------------------------


def test_refusals_stand_by_cause_with_count_facilities_trend_and_example(
    bench: Bench, browse: Callable[[str], Browser]
) -> None:
    cause = refuse(bench, ["HD1", "HD2"], "lô 123 hết hạn", ma_co_so="CS07")
    bench.bring(PHIEU_NHAP, "PN1", State.PARKED, problem=Problem(ErrorCode.PARTNER_ERROR, "lỗi 500"))
    bench.bring(PHIEU_NHAP, "PN2", State.UNKNOWN, problem=Problem(ErrorCode.TIMEOUT, "quá 30 giây"), due_at=None)
    page = browse("viewer").get("/errors").text
    assert page.index("lô # hết hạn") < min(page.index("lỗi #"), page.index("quá # giây"))
    assert "<strong>2</strong>" in page
    assert "CS07" in page
    assert 'href="/deliveries/hoa_don/HD2"' in page
    assert f'href="/deliveries?error=refused&amp;cause={cause}"' in page
    assert re.search(
        r'aria-label="[^"]*14 Mar 2026: 2"><path class="base"[^>]*/><path class="days" d="M131 0h8v40', page
    )
    assert "/replays/new" not in page
    assert f'href="/replays/new?cause={cause}"' in browse("operator").get("/errors").text


def test_without_refusals_the_page_says_what_will_stand_there(browse: Callable[[str], Browser]) -> None:
    assert "Nothing is refused." in browse("viewer").get("/errors").text


def test_a_partner_s_words_are_shown_as_words(bench: Bench, browse: Callable[[str], Browser]) -> None:
    refuse(bench, ["HD1"], '<script>alert(1)</script> "><img src=x> \u202e')
    browser = browse("operator")
    cause = bench.gateway.refusals.groups().groups[0].cause
    bench.gateway.replays.create("<b>x</b>/'\"", replays_of(cause), Pace(1), who="<i>", why="<u>why</u>")
    for path in ("/errors", "/replays", f"/replays/one?name={quote('<b>x</b>/' + chr(39) + chr(34))}"):
        answer = browser.get(path)
        assert answer.status == 200
        for element in ("<script>alert", "<img src=x", "<b>x", "<i>", "<u>why", "\u202e"):
            assert element not in answer.text, (path, element)


def test_many_causes_stay_a_small_page_that_says_so(bench: Bench, browse: Callable[[str], Browser]) -> None:
    words = ["".join(chr(97 + int(digit)) for digit in f"{number:03}") for number in range(45)]
    put_refused(bench, {f"HD{number:03}": f"{word} {'rất dài ' * 200}" for number, word in enumerate(words)})
    browser, path, seen = browse("operator"), "/errors", []
    while path:
        answer = browser.get(path)
        assert len(answer.body) < 60_000
        seen += re.findall(r'/deliveries/hoa_don/(HD\d+)"', answer.text)
        further = re.search(r'href="([^"]+)" rel="next"', answer.text)
        path = unescape(further[1]) if further else ""
    assert sorted(seen) == [f"HD{number:03}" for number in range(45)]
    assert "20 of 45 causes." in browser.get("/errors").text
    assert browser.get("/errors?skip=60").status == 422


# ---- replays --------------------------------------------------------------------------------------------


def replays_of(cause: str) -> Selection:
    return Selection(cause=cause)


def order(**fields: str) -> dict[str, str]:
    """A form filled in as it should be."""
    return {"name": "lô 20/11", "why": "đã sửa", "per_minute": "60", "while_queued": "", "confirmed": "true"} | fields


def test_a_group_is_replayed_from_its_page(bench: Bench, browse: Callable[[str], Browser]) -> None:
    cause = refuse(bench, ["HD1", "HD2"])
    refuse(bench, ["HD3"], "khác hẳn")
    browser = browse("operator")
    page = browser.get(f"/replays/new?cause={cause}").text
    assert "2 documents match now" in page
    assert "<strong>thuốc chưa có</strong>" in page
    hidden = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', page.partition('action="/replays"')[2]))
    hidden.pop("form_token")
    assert hidden["cause"] == cause
    done = browser.post("/replays", **hidden, **order())
    assert (done.status, done.leads_to) == (303, "/replays/one?name=l%C3%B4+20%2F11")
    (made,) = bench.gateway.replays.all()
    assert (made.documents, made.per_minute, made.most_queued, made.who) == (2, 60, None, "operator")
    assert audited(bench, "replay") == [("operator", "lô 20/11", "đã sửa")]
    shown = browser.get(done.leads_to).text
    assert "0 of 2 had their turn" in shown
    assert "60 a minute" in shown
    assert re.findall(r'href="/deliveries/hoa_don/(\w+)"', shown) == ["HD1", "HD2"]
    assert "lô 20/11" in browser.get("/replays").text


NONSENSE: list[tuple[dict[str, str], str]] = [
    ({"name": " "}, "named after its incident"),
    ({"name": "x" * 101}, "named after its incident"),
    ({"why": " "}, "Say why"),
    ({"confirmed": ""}, "Tick that"),
    ({"per_minute": ""}, "Say how fast"),
    ({"per_minute": "0"}, "A pace is a number"),
    ({"per_minute": "many"}, "one of the values cannot be used"),
    ({"per_minute": "9" * 5000}, "one of the values cannot be used"),
    ({"kind": ""}, "Nothing narrows"),
    ({"kind": "phieu_xuat"}, "there is nothing to replay"),
    ({"kind": "x"}, "no such kind"),
    ({"state": "x"}, "no such state"),
    ({"date_from": "yesterday"}, "year, month and day"),
    ({"date_to": "9999-12-31"}, "year, month and day"),
    ({"date_from": "2026-03-02", "date_to": "2026-03-01"}, "first day is after"),
]


def test_an_order_that_makes_no_sense_gets_a_sentence_and_changes_nothing(
    bench: Bench, browse: Callable[[str], Browser]
) -> None:
    refuse(bench, ["HD1"])
    browser = browse("operator")
    for fields, says in NONSENSE:
        answer = browser.post("/replays", **order(**{"kind": "hoa_don", **fields}))
        assert (answer.status, says in unescape(answer.text)) == (422, True), fields
    assert bench.gateway.replays.all() == []


def test_a_name_is_taken_once_and_what_was_filled_in_stays(bench: Bench, browse: Callable[[str], Browser]) -> None:
    refuse(bench, ["HD1"])
    browser = browse("operator")
    assert browser.post("/replays", **order(kind="hoa_don")).status == 303
    again = browser.post("/replays", **order(kind="hoa_don", why="noch einmal"))
    assert (again.status, "Choose another name" in again.text) == (422, True)
    assert 'name="why" required maxlength="1000" value="noch einmal"' in again.text


def test_accepted_documents_are_replayed_only_when_asked_for_twice_and_by_day(
    bench: Bench, browse: Callable[[str], Browser]
) -> None:
    bench.bring(HOA_DON, "HD1", State.ACCEPTED)
    browser = browse("operator")
    days = {"date_from": "2026-03-14", "date_to": "2026-03-14"}
    assert "accepted_again" in browser.get("/replays/new?state=accepted").text
    for fields in (
        {"kind": "hoa_don", **days},
        {"kind": "hoa_don", "accepted_again": "true", **days},
        {"state": "accepted", **days},
        {"state": "accepted", "accepted_again": "true"},
    ):
        assert browser.post("/replays", **order(**fields)).status == 422
    assert bench.gateway.replays.all() == []
    twice = browser.post("/replays", **order(state="accepted", accepted_again="true", **days))
    assert twice.status == 303
    assert bench.gateway.replays.all()[0].documents == 1


def test_an_unknown_outcome_in_the_set_is_said(bench: Bench, browse: Callable[[str], Browser]) -> None:
    bench.bring(HOA_DON, "HD1", State.UNKNOWN)
    browser = browse("operator")
    assert "the partner may have them already" in browser.get("/replays/new?kind=hoa_don").text
    assert "the partner may have them already" not in browser.get("/replays/new?state=rejected").text


def test_a_replay_is_paused_resumed_and_aborted_with_a_reason(bench: Bench, browse: Callable[[str], Browser]) -> None:
    cause = refuse(bench, ["HD1"])
    bench.gateway.replays.create("a/b", replays_of(cause), Pace(1), who="lan", why="x")
    browser = browse("operator")
    page = browser.get("/replays/one?name=a/b").text
    assert ("Pause…" in page, "Abort…" in page, "Resume…" in page) == (True, True, False)
    assert browser.post("/replays/pause", name="a/b", why=" ").status == 422
    assert browser.post("/replays/resume", name="a/b", why="too early").status == 422
    states = []
    for step in ("pause", "resume", "abort"):
        assert browser.post(f"/replays/{step}", name="a/b", why=f"so {step}").leads_to == "/replays/one?name=a%2Fb"
        states.append(bench.gateway.replays.all()[0].state)
        assert audited(bench, f"replay_{step}") == [("operator", "a/b", f"so {step}")]
    assert states == [ReplayState.PAUSED, ReplayState.RUNNING, ReplayState.ABORTED]
    assert "Pause…" not in browser.get("/replays/one?name=a/b").text
    assert browser.post("/replays/destroy", name="a/b", why="x").status == 422
    assert browser.post("/replays/pause", name="nobody's", why="x").status == 422


def test_a_viewer_sees_replays_and_changes_none(bench: Bench, browse: Callable[[str], Browser]) -> None:
    cause = refuse(bench, ["HD1"])
    bench.gateway.replays.create("x", replays_of(cause), Pace(1), who="lan", why="x")
    browser = browse("viewer")
    page = browser.get("/replays/one?name=x")
    assert (page.status, "Pause…" in page.text) == (200, False)
    assert "/replays/new" not in browser.get("/replays").text
    for path in ("/replays", "/replays/pause", "/replays/abort"):
        assert browser.post(path, name="x", why="x").status == 403
    assert browser.get("/replays/new").status == 403
    assert bench.gateway.replays.all()[0].state is ReplayState.RUNNING


def test_progress_is_polled_and_tells_what_became_of_the_set(bench: Bench, browse: Callable[[str], Browser]) -> None:
    put_refused(bench, {f"HD{number:03}": "thuốc chưa có" for number in range(60)})
    cause = bench.gateway.refusals.groups().groups[0].cause
    bench.gateway.replays.create("x y", replays_of(cause), Pace(20), who="lan", why="x")
    bench.clock.forward(minutes=1)
    bench.gateway.scan._replays.run()
    browser = browse("viewer")
    page = browser.get("/replays/one?name=x%20y").text
    poll = re.search(r'hx-get="(/replays/progress[^"]*)"', page)
    assert poll is not None
    part = browser.get(poll[1]).text
    assert "<html" not in part
    assert "20 of 60 had their turn" in part
    assert '<rect class="under_way" x="0" y="0" width="20"' in part
    further = re.search(r'href="([^"]+)" rel="next"', page)
    assert further is not None
    assert re.findall(r"/hoa_don/(HD\d+)", browser.get(unescape(further[1])).text) == [
        f"HD{n:03}" for n in range(50, 60)
    ]


# ---- reconciliation -------------------------------------------------------------------------------------


@pytest.fixture
def books(bench: Bench) -> Bench:
    """A delivered, a refused, a never seen, a gone receipt of one day; a new one of a week ago; one without a date."""
    bench.bring(PHIEU_NHAP, "PN-OK", State.ACCEPTED)
    bench.bring(PHIEU_NHAP, "PN-BAD", State.REJECTED, problem=Problem(ErrorCode.REFUSED, "<b>sai</b>"))
    bench.put(PHIEU_NHAP, ["PN-OLD"], status_phieu=1)
    bench.put(PHIEU_NHAP, ["PN-LAST"], ngay_nhap=datetime(2026, 3, 7), ma_co_so="CS/2&3")  # noqa: DTZ001
    bench.put(PHIEU_NHAP, ["PN-UNDATED"], status_phieu=7, ngay_nhap=None)
    bench.bring(PHIEU_NHAP, "PN-GONE", State.REJECTED)
    bench.run("DELETE FROM \"PhieuNhapHeader\" WHERE ma_phieu = 'PN-GONE'")
    return bench


def figures(page: str) -> list[list[str]]:
    """The cells of the rows per day, facility and kind."""
    table = page.partition("list balances")[2].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2])
    return [[re.sub(r"<[^>]*>", "", cell) for cell in re.findall(r"<td.*?</td>", row)] for row in rows]


def test_the_last_seven_days_are_reconciled_with_sums(books: Bench, browse: Callable[[str], Browser]) -> None:
    page = browse("viewer").get("/reconciliation").text
    assert "3 of 4 documents from 8 Mar 2026 to 14 Mar 2026 have not arrived." in page
    assert figures(page) == [
        ["14 Mar 2026", "CS01", KIND, "3", "1", "0", "1", "1", "1"],
        ["without a date", "CS01", KIND, "1", "0", "0", "0", "1", "0"],
    ]
    sums = re.findall(r"<td[^>]*>(\d+)</td>", page.partition("<tfoot>")[2].partition("</tfoot>")[0])
    assert sums == ["4", "1", "0", "1", "2", "1"]


def test_a_reconciliation_is_narrowed_by_period_facility_kind_and_what_is_missing(
    books: Bench, browse: Callable[[str], Browser]
) -> None:
    books.bring(PHIEU_XUAT, "PX1", State.ACCEPTED)
    browser = browse("viewer")
    week = "/reconciliation?date_from=2026-03-01&date_to=2026-03-14"
    assert [row[1] for row in figures(browser.get(f"{week}&facility=CS/2%263").text)] == ["CS/2&amp;3"]
    assert "All 1 documents" in browser.get(f"{week}&kind=phieu_xuat").text
    missing = figures(browser.get(f"{week}&open_only=true").text)
    assert [row[0] for row in missing] == ["14 Mar 2026", "7 Mar 2026", "without a date"]
    assert "Nothing is missing" in browser.get(f"{week}&kind=phieu_xuat&open_only=true").text
    assert "has no document" in browser.get(f"{week}&facility=CS09").text


def test_behind_every_figure_stand_its_documents(books: Bench, browse: Callable[[str], Browser]) -> None:
    browser = browse("viewer")
    page = browser.get("/reconciliation?date_from=2026-03-07").text
    links = {unescape(link) for link in re.findall(r'<td class="\w+" data-label="[^"]+"><a href="([^"]+)"', page)}
    found = {link: set(re.findall(r"PN-[A-Z]+(?=<)", browser.get(link).text)) for link in links}
    day = "/reconciliation/phieu_nhap/2026-03-14"
    assert found == {
        f"{day}/delivered?facility=CS01": {"PN-OK"},
        f"{day}/refused?facility=CS01": {"PN-BAD"},
        f"{day}/never_seen?facility=CS01": {"PN-OLD"},
        f"{day}/gone?facility=CS01": {"PN-GONE"},
        "/reconciliation/phieu_nhap/2026-03-07/waiting?facility=CS%2F2%263": {"PN-LAST"},
        "/reconciliation/phieu_nhap/undated/never_seen?facility=CS01": {"PN-UNDATED"},
    }
    refused = browser.get(f"{day}/refused?facility=CS01").text
    assert 'href="/deliveries/phieu_nhap/PN-BAD"' in refused
    assert "&lt;b&gt;sai&lt;/b&gt;" in refused
    assert "No documents" in browser.get(f"{day}/delivered?facility=CS02").text


def test_the_inspector_s_workbook_has_the_same_figures(books: Bench, browse: Callable[[str], Browser]) -> None:
    browser = browse("viewer")
    browser.cookies["hermes_lang"] = "vi"
    answer = browser.get("/reconciliation.xlsx?date_from=2026-03-07&date_to=2026-03-14")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="doi-soat_2026-03-07_2026-03-14.xlsx"'
    with ZipFile(BytesIO(answer.body)) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert "Hermes chưa từng thấy" in sheet
    assert "CS/2&amp;3" in sheet
    assert sheet.count("<row ") == 4


def test_many_shops_stay_a_small_page_with_all_in_the_sums(bench: Bench, browse: Callable[[str], Browser]) -> None:
    for number in range(120):
        bench.put(PHIEU_NHAP, [f"PN{number}"], ma_co_so=f"CS{number:03}", status_phieu=number % 2)
    browser, path, seen = browse("viewer"), "/reconciliation", []
    while path:
        answer = browser.get(path)
        assert len(answer.body) < 50_000
        assert "120 of 120 documents" in answer.text
        seen += [row[1] for row in figures(answer.text)]
        further = re.search(r'href="([^"]+)" rel="next"', answer.text)
        path = unescape(further[1]) if further else ""
    assert seen == [f"CS{number:03}" for number in range(120)]
    assert "Rows 1 to 50 of 120" in browser.get("/reconciliation").text


def test_many_documents_behind_a_figure_are_paged(bench: Bench, browse: Callable[[str], Browser]) -> None:
    bench.put(PHIEU_NHAP, [f"PN&{number:03}" for number in range(230)], status_phieu=1)
    browser, path, seen = browse("viewer"), "/reconciliation/phieu_nhap/2026-03-14/never_seen?facility=CS01", []
    while path:
        page = browser.get(path).text
        seen += re.findall(r"<code>PN&amp;(\d+)</code>", page)
        further = re.search(r'href="([^"]+)" rel="next"', page)
        path = unescape(further[1]) if further else ""
    assert seen == [f"{number:03}" for number in range(230)]


@pytest.mark.parametrize("path", ["/reconciliation", "/reconciliation.xlsx"])
def test_an_impossible_period_is_a_sentence(browse: Callable[[str], Browser], path: str) -> None:
    browser = browse("viewer")
    for asked, says in (
        ("date_from=2026-03-02&date_to=2026-03-01", "first day is after"),
        ("date_from=2024-01-01&date_to=2026-03-01", "at most 366 days"),
        ("date_from=gestern", "year, month and day"),
        ("date_to=9999-12-31", "year, month and day"),
        ("kind=x", "no such kind"),
    ):
        answer = browser.get(f"{path}?{asked}")
        assert (answer.status, says in answer.text) == (422, True), asked


# ---- figures on the overview ----------------------------------------------------------------------------


def test_the_overview_plots_the_last_day_and_week_and_says_the_same_in_tables(
    bench: Bench, browse: Callable[[str], Browser]
) -> None:
    bench.clock.moment = datetime(2026, 3, 11, 16, 30, tzinfo=UTC)  # 23:30 in Viet Nam
    bench.bring(HOA_DON, "HD1", State.REJECTED)
    bench.clock.moment = datetime(2026, 3, 14, 2, 15, tzinfo=UTC)  # 09:15
    bench.bring(HOA_DON, "HD2", State.ACCEPTED)
    bench.bring(PHIEU_NHAP, "PN1", State.ACCEPTED)
    bench.bring(HOA_DON, "HD3", State.WAITING)
    page = browse("viewer").get("/overview").text
    day, week = (part.partition("</figure>")[0] for part in page.split('<figure class="plot">')[1:])
    assert cells(day) == [["09:00 14 Mar 2026", "2", "0", "1"]]
    assert cells(week) == [["11 Mar 2026", "0", "1", "0"], ["14 Mar 2026", "2", "0", "1"]]
    paths = dict(re.findall(r'<path class="(\w+)" d="([^"]*)"', day))
    assert (paths["rejected"], paths["accepted"][:7], paths["again"][:5]) == ("", "M231 42", "M231 ")
    assert re.findall(r"<span>([^<]+)</span>", week)[:7] == [f"{number} Mar" for number in range(8, 15)]
    today = page.partition("Accepted today")[2].partition("</tr>")[0]
    assert re.findall(r"<td>(\d+)</td>", today) == ["1", "0", "1", "2"]


def cells(part: str) -> list[list[str]]:
    """The rows of a table's body."""
    rows = re.findall(r"<tr>(.*?)</tr>", part.partition("<tbody>")[2])
    return [[re.sub(r"<[^>]*>", "", each) for each in re.findall(r"<t[hd].*?</t[hd]>", row)] for row in rows]


def test_a_busy_week_and_a_quiet_one_stay_a_small_overview(bench: Bench, browse: Callable[[str], Browser]) -> None:
    assert "Nothing was sent in this time." in browse("viewer").get("/").text
    busy = {"accepted": 12_345_678, "rejected": 1, "again": 99_999}
    start = bench.clock.now().replace(minute=0)
    rows = [
        {"id": f"{back}-{kind}", "kind": kind, "hour": start - timedelta(hours=back), **busy}
        for back, kind in product(range(170), ("phieu_nhap", "phieu_xuat", "hoa_don"))
    ]
    with bench.engine.begin() as connection:
        connection.execute(insert(tally), rows)
    with serving(bench.gateway) as port:
        browser = Browser(port)
        browser.log_in("viewer")
        answer = browser.get("/")
    assert "at most 37,337,034 in an hour" in answer.text
    assert len(answer.body) < 45_000


# ---- hostile input --------------------------------------------------------------------------------------


def test_hostile_addresses_and_forms_get_a_page_and_change_nothing(
    bench: Bench, browse: Callable[[str], Browser]
) -> None:
    refuse(bench, ["HD1"])
    browser = browse("admin")
    for value in HOSTILE:
        attack(browser, value)
    assert bench.gateway.replays.all() == []


def test_hostile_names_and_reasons_are_kept_and_shown_as_words(bench: Bench, browse: Callable[[str], Browser]) -> None:
    refuse(bench, ["HD1"])
    browser = browse("operator")
    for value in HOSTILE:
        made = browser.post("/replays", **order(kind="hoa_don", name=value[:90], why=value[:900]))
        assert made.status == 303, value
        for path in (made.leads_to, "/replays", "/audit"):
            answer = browser.get(path)
            assert answer.status == 200, (path, value)
            assert b"<script>alert" not in answer.body
            assert b"\x1b" not in answer.body


def attack(browser: Browser, value: str) -> None:
    """Send a value wherever one can be sent."""
    written = quote(value, safe="")
    choice = ("kind", "state", "error_code", "cause", "facility", "date_from", "date_to")
    answers = [browser.get(f"/replays/new?{name}={written}") for name in choice]
    answers += [browser.get(path + written) for path in GETS]
    answers += [browser.post("/replays", **order(**{"kind": "hoa_don", name: value})) for name in choice]
    answers += [browser.post(f"/replays/{step}", name=value, why=value) for step in ("pause", written)]
    for answer in answers:
        assert answer.status in {200, 404, 422}
        assert b"<script>alert" not in answer.body
        assert b"Traceback" not in answer.body
        assert b"\x1b" not in answer.body or answer.body.startswith(b"PK")


RECONCILED = "/reconciliation/hoa_don/2026-03-14/refused"
GETS = [
    *(f"/reconciliation{what}{name}=" for what, name in product(("?", ".xlsx?"), ("date_from", "facility", "kind"))),
    f"{RECONCILED}?facility=",
    f"{RECONCILED}?after=",
    "/reconciliation/hoa_don/2026-03-14/",
    "/errors?skip=",
    "/replays/one?name=",
    "/replays/one?name=x&after=",
    "/replays/progress?name=",
]
