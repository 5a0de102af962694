"""The JSON API through a real server: who may, what it tells and does, and what hostile requests get."""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import APIRouter
from sqlalchemy import insert, update

from app.documents import HOA_DON, PHIEU_NHAP, PHIEU_XUAT
from app.domain.deliveries import Selection
from app.domain.errors import ErrorCode, Problem
from app.domain.listing import AuditFilter
from app.domain.replays import Pace
from app.domain.states import State
from app.domain.tokens import prefix_of
from app.domain.users import Role
from app.web.api.application import create_api, operations
from app.web.api.description import least_role
from app.web.api.shapes import value
from app.wiring import Gateway
from tests.integration.console import PASSWORD, Browser, serving
from tests.integration.program import Answer, Program, at
from tests.integration.test_console_deliveries import ACTIONS as PAGE_ACTIONS
from tests.integration.test_console_deliveries import HOSTILE, NAME, ODD_CODES, bring
from tests.integration.test_ledger import Bench

WHY = {"reason": "đã gọi điện"}
REJECT = {"verdict": "reject", **WHY}
ORDER = {"name": "again", "selection": {"kind": "hoa_don"}, "pace": {"per_minute": 60}, **WHY}


@pytest.fixture
def bench(open_gateway: Callable[..., Gateway], clock: Any, put_headers: Callable[..., None]) -> Bench:
    """A ledger, and a user of each role."""
    made = Bench(lambda: open_gateway(hermes_lang="en"), clock, put_headers)
    for role in Role:
        made.gateway.access.add(role.value, role, None, who="test")
    return made


@pytest.fixture
def port(bench: Bench) -> Iterator[int]:
    """A running console."""
    with serving(bench.gateway) as found:
        yield found


@pytest.fixture
def program(bench: Bench, port: int) -> Callable[..., Program]:
    """Programs, each with a token of a role, and of a user of that role."""

    def make(role: str | None = "viewer") -> Program:
        if role is None:
            return Program(port)
        made = bench.gateway.tokens.create(role, Role(role), "test", days=30, who="test")
        return Program(port, made.text)

    return make


def done(bench: Bench, action: str) -> list[tuple[str, str, str]]:
    """Who did it, to what, why: without the token's prefix."""
    found = bench.gateway.lists.audit(AuditFilter(action=action)).rows
    return [(re.sub(r"/[0-9a-f]{8}$", "/token", each.who), each.code, each.why) for each in found]


def is_problem(answer: Answer) -> bool:
    """Whether a refusal has the form that all have."""
    said = answer.json
    return (
        answer.headers["Content-Type"] == "application/problem+json"
        and {"type", "title", "status", "detail"} <= set(said)
        and said["status"] == answer.status
    )


# ---- who may --------------------------------------------------------------------------------------------

DOCUMENT = "/deliveries/{kind}/{code:path}"
MATRIX: list[tuple[str, str, str, Role, dict[str, Any] | None, set[int]]] = [
    ("GET", "/status", "/status", Role.VIEWER, None, {200}),
    ("GET", "/tallies", "/tallies?hours=168", Role.VIEWER, None, {200}),
    ("GET", "/deliveries", "/deliveries?count=true", Role.VIEWER, None, {200}),
    ("GET", DOCUMENT, at("hoa_don", "HD1"), Role.VIEWER, None, {200}),
    ("POST", f"{DOCUMENT}/rebuild", at("hoa_don", "HD1", "rebuild"), Role.OPERATOR, WHY, {200, 409}),
    ("POST", f"{DOCUMENT}/resend", at("hoa_don", "HD1", "resend"), Role.OPERATOR, WHY, {409}),
    ("POST", f"{DOCUMENT}/park", at("hoa_don", "HD1", "park"), Role.OPERATOR, WHY, {200, 409}),
    ("POST", f"{DOCUMENT}/resolve", at("hoa_don", "HD1", "resolve"), Role.OPERATOR, REJECT, {409}),
    ("GET", "/refusals", "/refusals", Role.VIEWER, None, {200}),
    ("GET", "/refusals/{cause}/trend", "/refusals/abc/trend", Role.VIEWER, None, {200}),
    ("GET", "/replays", "/replays", Role.VIEWER, None, {200}),
    ("POST", "/replays", "/replays", Role.OPERATOR, ORDER, {201, 409}),
    ("GET", "/replays/{name:path}", "/replays/lots", Role.VIEWER, None, {200}),
    ("POST", "/replays/{name:path}/pause", "/replays/lots/pause", Role.OPERATOR, WHY, {200, 409}),
    ("POST", "/replays/{name:path}/resume", "/replays/lots/resume", Role.OPERATOR, WHY, {200, 409}),
    ("POST", "/replays/{name:path}/abort", "/replays/lots/abort", Role.OPERATOR, WHY, {200, 409}),
    ("GET", "/reconciliation", "/reconciliation", Role.VIEWER, None, {200}),
    ("GET", "/reconciliation/{kind}/{day}/{fate}", "/reconciliation/hoa_don/undated/gone?facility=CS01", Role.VIEWER,
     None, {200}),
    ("GET", "/circuits", "/circuits", Role.VIEWER, None, {200}),
    ("POST", "/circuits/resume", "/circuits/resume", Role.OPERATOR, {"facility": "CS09", **WHY}, {409}),
    ("GET", "/audit", "/audit", Role.VIEWER, None, {200}),
    ("GET", "/users", "/users", Role.ADMIN, None, {200}),
    ("POST", "/users/{name}/disable", "/users/gone/disable", Role.ADMIN, None, {200}),
    ("POST", "/users/{name}/enable", "/users/gone/enable", Role.ADMIN, None, {200}),
    ("GET", "/exports/deliveries.csv", "/exports/deliveries.csv", Role.VIEWER, None, {200}),
    ("GET", "/exports/deliveries.xlsx", "/exports/deliveries.xlsx?kind=hoa_don", Role.VIEWER, None, {200}),
    ("GET", "/exports/reconciliation.xlsx", "/exports/reconciliation.xlsx", Role.VIEWER, None, {200}),
]  # fmt: skip
"""Every operation: its method and path, an address of it, who may at least, what is sent, and what that gets."""


@pytest.fixture
def furnished(bench: Bench) -> Bench:
    """Something that every address of the matrix names."""
    bring(bench, State.REJECTED)
    bench.bring(HOA_DON, "HD2", State.PARKED)
    bench.gateway.access.add("gone", Role.VIEWER, None, who="test")
    order = {"who": "test", "why": "test"}
    bench.gateway.replays.create("lots", Selection(kind="hoa_don"), Pace(60), **order)
    return bench


def test_every_operation_has_its_row_in_the_matrix_and_its_role() -> None:
    found = {(method, each.path): least_role(each) for each in operations() for method in each.methods or ()}
    assert found == {(method, path): role for method, path, _, role, _, _ in MATRIX}


@pytest.mark.parametrize("who", [None, *Role])
def test_every_operation_is_for_those_roles_alone_that_it_names(
    furnished: Bench, program: Callable[..., Program], who: Role | None
) -> None:
    caller = program(who.value if who else None)
    before = furnished.everything_but_the_log()
    for method, path, address, role, body, statuses in MATRIX:
        answer = caller.get(address) if method == "GET" else caller.post(address, **(body or {}))
        wanted = {401} if who is None else statuses if who.includes(role) else {403}
        assert answer.status in wanted, (method, path, answer.body)
        assert answer.status < 400 or is_problem(answer)
    if who is None:
        assert furnished.everything_but_the_log() == before


def test_an_operation_that_does_not_say_who_may_use_it_is_refused() -> None:
    router = APIRouter()
    router.get("/open")(lambda: "everybody")
    with pytest.raises(RuntimeError, match="/open does not say who may use it"):
        operations([router])


def test_a_browser_s_session_is_nobody_here(bench: Bench, port: int) -> None:
    bench.gateway.access.set_password("admin", PASSWORD, who="test")
    browser = Browser(port)
    assert browser.log_in("admin").status == 303
    for headers in ({}, {"X-Form-Token": browser.token}):
        assert browser.send("GET", "/api/v1/users", headers=headers).status == 401
        assert browser.send("POST", "/api/v1/users/viewer/disable", headers=headers).status == 401


NOT_GOOD = (
    "", "Bearer", "Bearer ", "Bearer x", "Basic YWRtaW46eA==", "Token x", "Bearer hermes_00000000_" + "A" * 43,
    "Bearer " + "é" * 60, "Bearer " + "x" * 5000,
)  # fmt: skip


def test_without_a_good_token_nobody_learns_anything(program: Callable[..., Program]) -> None:
    caller = program(None)
    for shown in NOT_GOOD:
        answer = caller.send("GET", "/status", headers={"Authorization": shown.encode().decode("latin-1")})
        assert (answer.status, is_problem(answer)) == (401, True), shown
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_ends_at_once_when_it_is_revoked_expires_or_its_owner_goes(
    bench: Bench, program: Callable[..., Program], clock: Any
) -> None:
    revoked, orphan, lowered, late = program("operator"), program("viewer"), program("admin"), program("operator")
    bench.gateway.access.add("boss", Role.ADMIN, None, who="test")
    assert [each.get("/status").status for each in (revoked, orphan, lowered)] == [200] * 3
    bench.gateway.tokens.revoke(prefix_of(revoked.token or "") or "", who="test")
    bench.gateway.access.set_disabled("viewer", True, who="test")
    bench.gateway.access.set_role("admin", Role.VIEWER, who="test")
    assert [each.get("/users").status for each in (revoked, orphan, lowered)] == [401, 401, 403]
    clock.forward(days=30)
    assert late.get("/status").status == 401


def test_wrong_tokens_are_slowed_down(program: Callable[..., Program]) -> None:
    wrong, right = program(None), program()
    wrong.token = "wrong"
    assert {wrong.get("/status").status for _ in range(40)} == {401}
    answer = wrong.get("/status")
    assert (answer.status, answer.headers["Retry-After"], is_problem(answer)) == (429, "300", True)
    assert right.get("/status").status == 429


# ---- the frame --------------------------------------------------------------------------------------------


def test_the_description_needs_no_token_and_names_nothing_of_this_installation(port: int, bench: Bench) -> None:
    answer = Program(port).get("/openapi.json")
    assert answer.status == 200
    assert answer.json == json.loads(json.dumps(create_api(None).openapi()))
    assert Program(port).get("/docs").status == 404


def test_every_answer_is_guarded_and_kept_by_nobody(program: Callable[..., Program]) -> None:
    for path in ("/status", "/openapi.json", "/nowhere"):
        headers = program().get(path).headers
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert not [name for name in headers if name.lower().startswith("access-control")]
        assert "Set-Cookie" not in headers


def test_a_page_of_another_site_gets_no_leave(program: Callable[..., Program]) -> None:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = program().send("OPTIONS", "/circuits/resume", headers=headers)
    assert answer.status == 405
    assert "Access-Control-Allow-Origin" not in answer.headers


NOT_UNDERSTOOD: list[tuple[str, str, Any, dict[str, str], int]] = [
    ("GET", "/nowhere", None, {}, 404),
    ("DELETE", "/deliveries", None, {}, 405),
    ("GET", "/deliveries/king/HD1", None, {}, 422),
    ("GET", f"/deliveries/hoa_don/{'x' * 300}", None, {}, 422),
    ("GET", "/deliveries/hoa_don/", None, {}, 404),
    ("GET", "/deliveries/hoa_don/a%0Ab", None, {}, 404),
    ("POST", "/circuits/resume", "{", {"Content-Type": "application/json"}, 400),
    ("POST", "/circuits/resume", b'{"reason": "\xff"}', {"Content-Type": "application/json"}, 400),
    ("POST", "/circuits/resume", '{"reason": "\\ud800"}', {"Content-Type": "application/json"}, 422),
    ("POST", "/circuits/resume", '{"reason": "x"}', {"Content-Type": "text/plain"}, 422),
    ("POST", "/circuits/resume", "reason=x", {"Content-Type": "application/x-www-form-urlencoded"}, 422),
    ("POST", "/circuits/resume", None, {}, 422),
    ("POST", "/circuits/resume", "[" * 30_000, {"Content-Type": "application/json"}, 400),
    ("POST", "/circuits/resume", '"' + "x" * 70_000 + '"', {"Content-Type": "application/json"}, 413),
]


def test_what_is_not_understood_is_refused_in_one_form(program: Callable[..., Program]) -> None:
    caller = program("operator")
    for method, path, body, headers, status in NOT_UNDERSTOOD:
        answer = caller.send(method, path, body, headers)
        assert (answer.status, is_problem(answer)) == (status, True), (method, path, answer.body)
        assert b"Traceback" not in answer.body


NO_SENSE: list[tuple[dict[str, Any], str]] = [
    ({"limit": 0}, "query.limit"),
    ({"limit": 501}, "query.limit"),
    ({"kind": "king"}, "query.kind"),
    ({"state": ["rejected", "lost"]}, "query.state.1"),
    ({"states": "rejected"}, "query.states"),
    ({"date_from": "20261124"}, "query.date_from"),
    ({"date_from": "2026-02-30"}, "query.date_from"),
    ({"date_from": "2026-03-02", "date_to": "2026-03-01"}, "query.date_from"),
    ({"error_code": "nonsense"}, "query.error_code"),
    ({"sort": "price"}, "query.sort"),
    ({"cursor": "x"}, "query.cursor"),
    ({"cursor": "W10"}, "query.cursor"),
    ({"code": "x" * 51}, "query.code"),
]


def test_a_filter_that_makes_no_sense_is_named(program: Callable[..., Program]) -> None:
    caller = program()
    for asked, where in NO_SENSE:
        answer = caller.get("/deliveries", **asked)
        assert (answer.status, answer.wrong) == (422, [where]), asked


def test_with_the_database_away_the_api_says_so(bench: Bench, program: Callable[..., Program]) -> None:
    caller = program()
    with bench.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE hermes_token RENAME TO hermes_token_away")
    answer = caller.get("/status")
    assert (answer.status, is_problem(answer), "hermes_token" in str(answer.body)) == (503, True, False)


def test_an_error_of_our_own_shows_nothing_of_the_inside(
    bench: Bench, program: Callable[..., Program], monkeypatch: pytest.MonkeyPatch
) -> None:
    caller = program("admin")

    def fail() -> None:
        raise ZeroDivisionError("geheim")

    monkeypatch.setattr(bench.gateway.users, "all", fail)
    answer = caller.get("/users")
    assert (answer.status, is_problem(answer), "geheim" in str(answer.body)) == (500, True, False)
    assert answer.headers["Cache-Control"] == "no-store"


# ---- looking ----------------------------------------------------------------------------------------------


@pytest.fixture
def some(bench: Bench) -> Bench:
    """One delivery of each fate."""
    bench.bring(HOA_DON, "HD1", State.REJECTED)
    bench.bring(HOA_DON, "HD10", State.ACCEPTED, columns={"ma_co_so": "CS02"})
    bench.bring(PHIEU_NHAP, "PN1", State.UNKNOWN, problem=Problem(ErrorCode.TIMEOUT, "no answer"))
    bench.bring(PHIEU_XUAT, "PX1", State.WAITING, columns={"ngay_xuat": date(2026, 2, 1)})
    bench.bring(PHIEU_XUAT, "PX2", State.QUEUED)
    return bench


FILTERED: list[tuple[dict[str, Any], set[str]]] = [
    ({}, {"HD1", "HD10", "PN1", "PX1", "PX2"}),
    ({"kind": "hoa_don"}, {"HD1", "HD10"}),
    ({"state": ["rejected", "unknown"]}, {"HD1", "PN1"}),
    ({"facility": "CS02"}, {"HD10"}),
    ({"date_from": "2026-03-01"}, {"HD1", "HD10", "PN1", "PX2"}),
    ({"date_to": "2026-02-28"}, {"PX1"}),
    ({"error_code": "timeout"}, {"PN1"}),
    ({"ever_failed": "true"}, {"HD1", "PN1", "PX1"}),
    ({"code_prefix": "HD1"}, {"HD1", "HD10"}),
    ({"code": "HD1"}, {"HD1"}),
    ({"sort": "due"}, {"PN1", "PX1", "PX2"}),
]


def test_the_query_is_the_filter(some: Bench, program: Callable[..., Program]) -> None:
    caller = program()
    for asked, codes in FILTERED:
        found = caller.get("/deliveries", count="true", **asked).json
        assert {each["code"] for each in found["deliveries"]} == codes, asked
        if "sort" not in asked:
            assert found["matching"] == {"count": len(codes), "complete": True}


def test_moments_have_their_offset_and_days_none(some: Bench, program: Callable[..., Program]) -> None:
    (found,) = program().get("/deliveries", code="PX1").json["deliveries"]
    assert found["document_date"] == "2026-02-01"
    assert found["first_seen_at"] == "2026-03-14T02:00:00+00:00"
    assert found["due_at"] == "2026-03-14T03:00:00+00:00"


@pytest.mark.parametrize("sort", ["changed", "date", "code", "due"])
def test_paging_is_whole_over_what_changes_meanwhile(
    bench: Bench, program: Callable[..., Program], clock: Any, sort: str
) -> None:
    """What stays in its place is seen once; of what is new or moved, nothing is seen twice."""
    codes = [f"HD{number:02}" for number in range(20)]
    for code in codes:
        clock.forward(seconds=1)
        bench.queue(HOA_DON, [code])
    caller, seen, cursor = program(), list[str](), None
    for number in range(20):
        page = caller.get("/deliveries", sort=sort, limit=3, cursor=cursor).json
        seen += [each["code"] for each in page["deliveries"]]
        clock.forward(seconds=1)
        bench.queue(HOA_DON, [f"HD{number:02}-new"])
        if (cursor := page["next"]) is None:
            break
    assert set(codes) <= set(seen)
    assert len(seen) == len(set(seen))
    first = caller.get("/deliveries", sort=sort, limit=3).json
    second = caller.get("/deliveries", sort=sort, limit=3, cursor=first["next"]).json
    back = caller.get("/deliveries", sort=sort, limit=3, cursor=second["previous"]).json
    assert back["deliveries"] == first["deliveries"]


def test_a_document_s_story_is_that_of_its_page_with_names_masked(
    bench: Bench, program: Callable[..., Program]
) -> None:
    bring(bench, State.REJECTED)
    with bench.engine.begin() as connection:
        connection.execute(update(HOA_DON.lines).values(so_luong=7, don_gia="99999999999.25"))
    answer = program().get(at("hoa_don", "HD1"))
    found = answer.json
    assert "Nguyễn" not in answer.body.decode()
    assert found["delivery"]["state"] == "rejected"
    assert (found["next_step"], found["actions"]) == ("person", ["rebuild"])
    (line,) = found["source"]["lines"]
    assert (line["don_gia"], line["han_dung"], line["so_luong"]) == ("99999999999.25", "2030-01-02", 7)
    assert found["source"]["header"]["ho_ten_khach_hang"] == "N*** V*** A***"
    (attempt,) = found["attempts"]
    assert attempt["record"]["response"]["status"] == 400
    changes = {each["field"]: (each["line"], each["sent"], each["now"]) for each in found["difference"]["differences"]}
    assert changes["quantity"] == (1, 5, 7)
    assert changes["unitPrice"][1:] == ("12500.50", "99999999999.25")
    assert program().get(at("hoa_don", "HD1"), attempts=0).json["attempts"] == []
    with bench.engine.begin() as connection:
        connection.execute(update(HOA_DON.lines).values(so_luong=0))
    faults = program().get(at("hoa_don", "HD1")).json["faults"]
    assert [(each["line"], each["field"]) for each in faults] == [(1, "so_luong")]


def test_names_are_shown_to_operators_who_say_why_and_it_is_audited(
    bench: Bench, program: Callable[..., Program]
) -> None:
    bring(bench, State.REJECTED)
    asked = {"reveal": "true", "reason": " khách gọi "}
    assert program("viewer").get(at("hoa_don", "HD1"), **asked).status == 403
    operator = program("operator")
    for missing in (None, "", "  "):
        answer = operator.get(at("hoa_don", "HD1"), reveal="true", reason=missing)
        assert (answer.status, answer.wrong) == (422, ["query.reason"])
    assert operator.get(at("hoa_don", "NONE"), **asked).status == 404
    assert done(bench, "names") == []
    found = operator.get(at("hoa_don", "HD1"), **asked).json
    assert found["source"]["header"]["ho_ten_khach_hang"] == NAME
    assert done(bench, "names") == [("operator/token", "HD1", "khách gọi")]
    assert NAME not in operator.get(at("hoa_don", "HD1"), reason="x").body.decode()


def test_the_overview_is_that_of_the_page(some: Bench, program: Callable[..., Program]) -> None:
    some.gateway.replay.pause("CS01", who="lan", why="mật khẩu mới")
    found = program().get("/status").json
    kinds = {each["kind"]: each for each in found["kinds"]}
    assert kinds["hoa_don"]["states"] == {"accepted": 1, "rejected": 1}
    assert kinds["hoa_don"]["accepted_today"] == 1
    assert [each["need"] for each in found["concerns"]] == ["scans_stopped", "facility_paused", "rejected"]
    (circuit,) = found["circuits"]
    assert (circuit["facility"], circuit["until"], circuit["opened_by"], circuit["paused"]) == (
        "CS01",
        None,
        "lan",
        True,
    )
    hours = program().get("/tallies").json["hours"]
    assert sum(each["accepted"] for each in hours) == 1


def test_refusals_are_grouped_and_lead_to_their_documents(some: Bench, program: Callable[..., Program]) -> None:
    caller = program()
    (group,) = caller.get("/refusals").json["groups"]
    assert (group["documents"], group["example_code"]) == ({"count": 1, "complete": True}, "HD1")
    listed = caller.get("/deliveries", cause=group["cause"]).json["deliveries"]
    assert [each["code"] for each in listed] == ["HD1"]
    days = caller.get(f"/refusals/{group['cause']}/trend", days=3).json["days"]
    assert [(each["day"], each["documents"]["count"]) for each in days] == [
        ("2026-03-12", 0), ("2026-03-13", 0), ("2026-03-14", 1),
    ]  # fmt: skip


def test_a_reconciliation_is_paged_and_leads_to_the_codes(bench: Bench, program: Callable[..., Program]) -> None:
    for number in range(7):
        columns = {"ngay_ban": date(2026, 3, 8) + timedelta(days=number), "ma_co_so": f"CS{number % 2}"}
        bench.bring(HOA_DON, f"HD{number}", State.ACCEPTED if number else State.REJECTED, columns=columns)
    caller, rows, cursor = program(), list[Any](), None
    while True:
        page = caller.get("/reconciliation", limit=2, cursor=cursor).json
        rows += page["rows"]
        assert (page["settled"], page["total"]["in_source"], page["total"]["refused"]) == (False, 7, 1)
        if (cursor := page["next"]) is None:
            break
    assert [each["day"] for each in rows] == [f"2026-03-{day:02}" for day in range(14, 7, -1)]
    (bad,) = caller.get("/reconciliation", open_only="true").json["rows"]
    behind = caller.get(f"/reconciliation/hoa_don/{bad['day']}/refused", facility=bad["facility"]).json
    assert [(each["code"], each["status"], each["state"]) for each in behind["documents"]] == [("HD0", 3, "rejected")]
    for asked, where in (
        ({"date_from": "2026-03-02", "date_to": "2026-03-01"}, ["query.date_from"]),
        ({"date_from": "2024-01-01", "date_to": "2026-03-01"}, []),
        ({"cursor": "x"}, ["query.cursor"]),
    ):
        answer = caller.get("/reconciliation", **asked)
        assert (answer.status, answer.wrong) == (422, where)
    assert caller.get("/reconciliation/hoa_don/2026-02-30/gone", facility="x").wrong == ["path.day"]


def test_the_audit_is_narrowed_and_paged(bench: Bench, program: Callable[..., Program], clock: Any) -> None:
    for number in range(5):
        clock.forward(minutes=1)
        bench.gateway.replay.pause(f"CS{number}", who=f"user{number % 2}", why="")
    caller, codes, cursor = program(), list[str](), None
    while True:
        page = caller.get("/audit", action="pause", limit=2, cursor=cursor).json
        codes += [each["code"] for each in page["entries"]]
        if (cursor := page["next"]) is None:
            break
    assert codes == ["CS4", "CS3", "CS2", "CS1", "CS0"]
    since = {"since": "2026-03-14T09:02:00+07:00", "until": "2026-03-14T02:04:00Z"}
    assert [each["code"] for each in caller.get("/audit", action="pause", **since).json["entries"]] == ["CS2", "CS1"]
    assert caller.get("/audit", since="2026-03-14T09:02:00").wrong == ["query.since"]
    assert caller.get("/audit", since="1710000000").wrong == ["query.since"]


def test_a_file_is_that_of_the_page(some: Bench, program: Callable[..., Program], port: int) -> None:
    some.gateway.access.set_password("viewer", PASSWORD, who="test")
    browser, caller = Browser(port), program()
    assert browser.log_in("viewer").status == 303
    answer = caller.get("/exports/deliveries.csv", state=["rejected", "accepted"])
    assert answer.body == browser.get("/deliveries.csv?state=rejected&state=accepted").body
    assert re.fullmatch(r'attachment; filename="hermes-\d{8}-\d{4}\.csv"', answer.headers["Content-Disposition"])
    assert [answer.body.count(code) for code in (b",HD10,", b",PN1,")] == [1, 0]
    for path in ("/exports/deliveries.xlsx", "/exports/reconciliation.xlsx"):
        answer = caller.get(path)
        assert (answer.status, answer.body[:2]) == (200, b"PK")
        assert answer.headers["Content-Type"].endswith("spreadsheetml.sheet")
    for path in ("/exports/deliveries.csv", "/exports/reconciliation.xlsx"):
        assert caller.get(path, date_from="2026-03-02", date_to="2026-03-01").wrong == ["query.date_from"]


# ---- acting -----------------------------------------------------------------------------------------------

ON_PAGE = {"now": "rebuild", "retry": "rebuild", "again": "resend", "park": "park"}


@pytest.mark.parametrize(("state", "do", "more", "after", "action"), PAGE_ACTIONS, ids=str)
def test_what_the_page_can_do_a_program_can_with_a_reason(
    bench: Bench,
    program: Callable[..., Program],
    state: State,
    do: str,
    more: dict[str, str],
    after: State,
    action: str,
) -> None:
    bring(bench, state)
    operator = program("operator")
    name = ON_PAGE.get(do, "resolve")
    body = {} if do in ON_PAGE else {"verdict": do, **more}
    assert name in operator.get(at("hoa_don", "HD1")).json["actions"]
    for reason in ({}, {"reason": ""}, {"reason": " \n "}):
        answer = operator.post(at("hoa_don", "HD1", name), **body, **reason)
        assert (answer.status, answer.wrong) == (422, ["body.reason"])
    assert done(bench, action) == []
    answer = operator.post(at("hoa_don", "HD1", name), **body, reason=" <b>lô</b> mới ")
    assert (answer.status, answer.json["state"]) == (200, after)
    assert done(bench, action) == [("operator/token", "HD1", "<b>lô</b> mới")]
    delivery = bench.ledger.get(HOA_DON, "HD1")
    assert delivery is not None
    assert delivery.state is after
    if do == "accepted":
        assert delivery.national_code == "QG-7"


def test_what_the_state_does_not_allow_is_refused_and_changes_nothing(
    bench: Bench, program: Callable[..., Program]
) -> None:
    operator = program("operator")
    for name, state in product(("rebuild", "resend", "park", "resolve"), State):
        code = f"{name}-{state}"
        bench.bring(HOA_DON, code, state)
        allowed = operator.get(at("hoa_don", code)).json["actions"]
        before = bench.row(HOA_DON, code)
        body = {"verdict": "resend"} if name == "resolve" else {}
        answer = operator.post(at("hoa_don", code, name), **body, **WHY)
        assert answer.status == (200 if name in allowed else 409), code
        assert (bench.row(HOA_DON, code) == before) == (name not in allowed), code
        assert operator.post(at("hoa_don", "NONE", name), **body, **WHY).status == 404


def test_a_national_code_belongs_to_what_was_accepted(bench: Bench, program: Callable[..., Program]) -> None:
    bring(bench, State.UNKNOWN)
    path, operator = at("hoa_don", "HD1", "resolve"), program("operator")
    for body, where in (
        ({"verdict": "accepted"}, "body.national_code"),
        ({"verdict": "reject", "national_code": "QG-1"}, "body.national_code"),
        ({"verdict": "accepted", "national_code": " "}, "body.national_code"),
        ({"verdict": "accepted", "national_code": "x" * 251}, "body.national_code"),
        ({"verdict": "sing"}, "body.verdict"),
    ):
        answer = operator.post(path, **body, **WHY)
        assert (answer.status, answer.wrong) == (422, [where])
    assert done(bench, "resolve") == []


def test_any_code_can_be_addressed(bench: Bench, program: Callable[..., Program]) -> None:
    operator = program("operator")
    for code in ODD_CODES:
        bench.bring(HOA_DON, code, State.REJECTED)
        assert [each["code"] for each in operator.get("/deliveries", code=code).json["deliveries"]] == [code]
        assert operator.get(at("hoa_don", code)).json["delivery"]["code"] == code
        assert operator.post(at("hoa_don", code, "rebuild"), **WHY).json["state"] == "queued"


def test_a_replay_is_created_steered_and_watched(bench: Bench, program: Callable[..., Program]) -> None:
    for number in range(5):
        bench.bring(HOA_DON, f"HD{number}", State.REJECTED)
    operator = program("operator")
    order = {"name": " lô 20/11 ", "selection": {"state": "rejected"}, "pace": {"per_minute": 60}, **WHY}
    made = operator.post("/replays", **order)
    assert (made.status, made.json["name"], made.json["documents"]) == (201, "lô 20/11", 5)
    path = made.headers["Location"].removeprefix("/api/v1")
    assert path == f"/replays/{quote('lô 20/11', safe='')}"
    assert operator.post("/replays", **order).status == 409
    found = operator.get(path, limit=3).json
    assert ([each["position"] for each in found["items"]], found["next"], found["waiting"]) == ([1, 2, 3], 3, 5)
    assert [each["position"] for each in operator.get(path, after=3, limit=3).json["items"]] == [4, 5]
    for step, state in (("pause", "paused"), ("resume", "running"), ("abort", "aborted")):
        assert operator.send("POST", f"{path}/{step}").wrong == ["body"]
        assert operator.post(f"{path}/{step}", reason="").wrong == ["body.reason"]
        assert operator.post(f"{path}/{step}", **WHY).json["state"] == state
        again = operator.post(f"{path}/{step}", **WHY)
        assert (again.status, state in again.json["detail"]) == (409, True)
        assert done(bench, f"replay_{step}") == [("operator/token", "lô 20/11", "đã gọi điện")]
        assert operator.post(f"/replays/none/{step}", **WHY).status == 404
    assert [each["name"] for each in operator.get("/replays").json["replays"]] == ["lô 20/11"]


WRONG_ORDERS: list[tuple[dict[str, Any], list[str]]] = [
    ({"selection": {}}, []),
    ({"selection": {"codes": ["HD1"]}}, ["body.selection.kind"]),
    ({"selection": {"state": "accepted"}}, ["body.accepted_again"]),
    ({"accepted_again": True}, ["body.accepted_again"]),
    ({"pace": {}}, []),
    ({"pace": {"per_minute": 0}}, ["body.pace.per_minute"]),
    ({"name": " "}, ["body.name"]),
    ({"selection": {"kind": "phieu_xuat"}}, []),
    ({"selection": {"typo": 1}}, ["body.selection.typo"]),
    ({"reason": None}, ["body.reason"]),
]


def test_an_order_that_makes_no_sense_is_refused_whole(bench: Bench, program: Callable[..., Program]) -> None:
    bench.bring(HOA_DON, "HD1", State.ACCEPTED)
    operator = program("operator")
    for change, where in WRONG_ORDERS:
        answer = operator.post("/replays", **{**ORDER, **change})
        assert (answer.status, answer.wrong) == (422, where), answer.body
    assert bench.gateway.replays.all() == []


def test_what_was_accepted_is_replayed_when_asked_for_twice(bench: Bench, program: Callable[..., Program]) -> None:
    bench.bring(HOA_DON, "HD1", State.ACCEPTED)
    order = {**ORDER, "selection": {"kind": "hoa_don", "state": "accepted"}, "accepted_again": True}
    assert program("operator").post("/replays", **order).json["documents"] == 1


def test_a_pause_is_ended(bench: Bench, program: Callable[..., Program]) -> None:
    for facility in ("", "CS01"):
        bench.gateway.replay.pause(facility, who="lan", why="x")
    operator = program("operator")
    assert {each["facility"] for each in operator.get("/circuits").json["circuits"]} == {None, "CS01"}
    left = operator.post("/circuits/resume", facility="CS01", **WHY).json["circuits"]
    assert [each["facility"] for each in left] == [None]
    assert operator.post("/circuits/resume", **WHY).json == {"circuits": []}
    assert operator.post("/circuits/resume", **WHY).status == 409
    assert sorted(each[1] for each in done(bench, "resume")) == ["", "CS01"]


def test_an_admin_disables_and_enables_users_but_not_the_last_admin(
    bench: Bench, program: Callable[..., Program]
) -> None:
    admin = program("admin")
    assert [each["name"] for each in admin.get("/users").json["users"]] == ["admin", "operator", "viewer"]
    assert "password" not in str(admin.get("/users").body)
    assert admin.post("/users/Viewer/disable").json["disabled"] is True
    assert admin.post("/users/viewer/enable").json["disabled"] is False
    last = admin.post("/users/admin/disable")
    assert (last.status, "last admin" in last.json["detail"]) == (409, True)
    for name in ("nobody", "no%20name%21", "%00"):
        assert admin.post(f"/users/{name}/disable").status == 404
    assert done(bench, "user_disable") == [("admin/token", "viewer", "")]


# ---- hostile ----------------------------------------------------------------------------------------------

FILTERS = [
    ("/deliveries", "kind state facility date_from date_to error_code cause ever_failed code code_prefix sort cursor"),
    ("/audit", "who action kind code since until cursor limit"),
    ("/reconciliation", "date_from date_to facility kind open_only cursor"),
    ("/reconciliation/hoa_don/2026-03-14/refused", "facility after limit"),
    ("/replays/lots", "after limit"),
    ("/tallies", "hours"),
    ("/deliveries/hoa_don/HD1", "attempts reveal reason"),
]


def test_every_filter_is_tried() -> None:
    described = create_api(None).openapi()["paths"]
    wanted = {
        each["name"] for item in described.values() for each in item.get("get", {}).get("parameters", ())
        if each["in"] == "query"
    }  # fmt: skip
    assert wanted - {"days"} == {name for _, names in FILTERS for name in names.split()} | {"count"}


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_values_change_nothing_and_find_nothing(
    furnished: Bench, program: Callable[..., Program], hostile: str
) -> None:
    caller, before = program("operator"), furnished.everything()
    for path, names in FILTERS:
        for name in names.split():
            answer = caller.get(path, **{name: hostile})
            assert answer.status in {200, 422}, (path, name, answer.body)
            assert not (answer.status == 200 and "after" in path and answer.json["documents"])
    for path in ("/refusals/{}/trend", "/replays/{}", "/deliveries/hoa_don/{}", "/deliveries/{}/HD1"):
        assert caller.get(path.format(quote(hostile, safe=""))).status in {200, 404, 422}
    after = furnished.everything()
    assert {**after, "hermes_token": []} == {**before, "hermes_token": []}


@pytest.mark.parametrize("hostile", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bodies_are_taken_as_they_are_or_refused(
    furnished: Bench, program: Callable[..., Program], hostile: str
) -> None:
    caller = program("operator")
    posts: list[tuple[str, dict[str, Any]]] = [
        (at("hoa_don", "HD1", "rebuild"), {"reason": hostile}),
        (at("hoa_don", hostile, "park"), WHY),
        ("/circuits/resume", {"facility": hostile, "reason": hostile}),
        ("/replays", {**ORDER, "name": hostile, "reason": hostile}),
        ("/replays", {**ORDER, "selection": {"kind": "hoa_don", "codes": [hostile]}}),
        ("/replays", {**ORDER, "selection": {"cause": hostile, "facility": hostile, "error_code": hostile}}),
        (f"/replays/{quote(hostile, safe='')}/pause", WHY),
    ]
    for path, body in posts:
        answer = caller.post(path, **body)
        assert answer.status in {200, 201, 404, 409, 422}, (path, answer.body)
        assert answer.status < 400 or is_problem(answer)
    assert len(furnished.gateway.users.all()) == 4


def test_a_hostile_reply_comes_back_as_json(bench: Bench, program: Callable[..., Program]) -> None:
    body = "<script>alert(1)</script>\x00\x1b[31m\ufffd" + "x" * 60_000
    bring(bench, State.REJECTED, {"status": 400, "headers": {"a": "</script>"}, "body": body})
    answer = program().get(at("hoa_don", "HD1"))
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json["attempts"][0]["record"]["response"]["body"] == body


def test_control_characters_of_the_source_come_back_as_they_are(bench: Bench, program: Callable[..., Program]) -> None:
    bench.bring(HOA_DON, "HD1", State.REJECTED)
    with bench.engine.begin() as connection:
        connection.execute(insert(HOA_DON.lines).values(ma_hoa_don="HD1", ten_thuoc="\x00\x85\u2028"))
    assert program().get(at("hoa_don", "HD1")).json["source"]["lines"][0]["ten_thuoc"] == "\x00\x85\u2028"


def test_a_value_becomes_json_whatever_it_is() -> None:
    given = {
        "half \ud800": [Decimal("1E+3"), 0.1, 5, True, None, date(2026, 3, 14), datetime(2026, 3, 14, 9, 30), b"x"]  # noqa: DTZ001
    }
    assert value(given) == {"half ?": ["1000", "0.1", 5, True, None, "2026-03-14", "2026-03-14T09:30:00", "b'x'"]}
