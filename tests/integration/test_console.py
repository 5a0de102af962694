"""The console through a real server: who gets in, what each role may, and what forged and hostile requests get."""

import re
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from app.core.config import Language, load_settings
from app.core.progress import Pulse
from app.domain.errors import ConfigError
from app.domain.listing import AuditFilter
from app.domain.users import Role
from app.web import create_app
from app.web.application import required_role, routes
from app.web.area import Area
from app.web.pages import AREAS
from app.web.server import ConsoleServer, listen
from app.wiring import Gateway
from tests.integration.conftest import SettableClock
from tests.integration.console import PASSWORD, Browser, serving

HOSTILE = [
    "<script>alert(1)</script>",
    "' OR 1=1; DROP TABLE hermes_user; --",
    "{{ 7*7 }}{% raw %}",
    "\x00\x01\x1b[31m",
    "\u202e\ud7ff\U0001f600",
    "../../etc/passwd",
    "%(count)s %s {0}",
    "a" * 3000,
]
ROUTES = [(method, route) for route in routes() for method in sorted(route.methods or ())]


@pytest.fixture
def gateway(open_gateway: Callable[..., Gateway]) -> Gateway:
    """A gateway with one user of each role."""
    made = open_gateway(hermes_lang="en")
    for role in Role:
        made.access.add(role.value, role, PASSWORD, who="test")
    return made


@pytest.fixture
def port(gateway: Gateway) -> Iterator[int]:
    """A running console."""
    with serving(gateway) as found:
        yield found


@pytest.fixture
def browse(port: int) -> Callable[..., Browser]:
    """A browser, logged in as a user where one is named."""

    def make(name: str | None = None) -> Browser:
        browser = Browser(port)
        if name is not None:
            assert browser.log_in(name).status == 303
        return browser

    return make


def audited(gateway: Gateway, action: str) -> list[tuple[str, str, str]]:
    """Who, whom and why of the entries of an action."""
    return [(each.who, each.code, each.why) for each in gateway.lists.audit(AuditFilter(action=action), size=100).rows]


# ---- coming in ------------------------------------------------------------------------------------------


def test_who_is_not_logged_in_is_led_to_the_login_and_back(browse: Callable[..., Browser]) -> None:
    browser = browse()
    answer = browser.get("/audit?who=lan&code=a%26b")
    assert (answer.status, answer.leads_to) == (303, "/login?next=/audit?who=lan%26code=a%2526b")
    page = browser.get(answer.leads_to)
    back_to = re.search(r'name="back_to" value="([^"]*)"', page.text)
    assert back_to is not None
    done = browser.post("/login", name="viewer", password=PASSWORD, back_to=back_to[1].replace("&amp;", "&"))
    assert done.leads_to == "/audit?who=lan&code=a%26b"


@pytest.mark.parametrize("elsewhere", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x"])
def test_nobody_is_led_elsewhere(browse: Callable[..., Browser], elsewhere: str) -> None:
    browser = browse()
    browser.get("/login")
    assert browser.post("/login", name="viewer", password=PASSWORD, back_to=elsewhere).leads_to == "/"
    browser.get("/")
    assert browser.post("/language", choice="vi", back_to=elsewhere).leads_to == "/"
    assert browser.get(f"/login?next={quote(elsewhere)}").leads_to == "/"


def test_wrong_names_and_wrong_passwords_get_the_same_answer_in_the_same_time(
    gateway: Gateway, browse: Callable[..., Browser]
) -> None:
    gateway.access.add("gone", Role.VIEWER, PASSWORD, who="test")
    gateway.access.set_disabled("gone", True, who="test")
    texts, times = {}, {}
    for name in ("viewer", "nobody", "gone", "no such name!"):
        browser, taken = browse(), []
        for _ in range(4):
            browser.get("/login")
            started = time.perf_counter()
            answer = browser.post("/login", name=name, password="wrong password")
            taken.append(time.perf_counter() - started)
        assert answer.status == 401
        texts[name] = re.sub(rf'form_token" value="\w+"|value="{name}"', "", answer.text)
        times[name] = statistics.median(taken)
    assert len(set(texts.values())) == 1
    assert max(times.values()) < 5 * min(times.values())
    assert ("viewer", "viewer", "127.0.0.1") in audited(gateway, "login_refused")


def test_guessing_is_slowed_down_even_for_who_guesses_right_at_last(browse: Callable[..., Browser]) -> None:
    browser = browse()
    answers = [browser.log_in("viewer", "wrong password").status for _ in range(11)]
    assert answers == [401] * 10 + [429]
    assert browser.log_in("viewer").status == 429
    assert browser.log_in("operator").status == 303


def test_the_first_user_is_made_by_a_link_that_works_once_and_not_for_ever(
    open_gateway: Callable[..., Gateway], clock: SettableClock
) -> None:
    gateway = open_gateway(hermes_lang="en")
    late, first, second = (gateway.access.setup_token() for _ in range(3))
    with serving(gateway) as port:
        browser = Browser(port)
        assert browser.get("/setup/wrong").status == 403
        assert browser.get(f"/setup/{first}").status == 200
        short = browser.post(f"/setup/{first}", name="Lan", password="short", again="short")
        assert (short.status, "10 to 256 characters" in short.text) == (422, True)
        done = browser.post(f"/setup/{first}", name="Lan", password=PASSWORD, again=PASSWORD)
        assert done.leads_to == "/"
        assert "lan" in browser.get("/users").text
        for token in (late, first, second):
            assert browser.get(f"/setup/{token}").status == 403
            assert browser.post(f"/setup/{token}", name="eve", password=PASSWORD, again=PASSWORD).status == 403
        clock.forward(hours=2)
    assert [(each.name, each.role) for each in gateway.users.all()] == [("lan", Role.ADMIN)]
    assert gateway.access.setup_token() is None


def test_a_set_up_link_expires(open_gateway: Callable[..., Gateway], clock: SettableClock) -> None:
    gateway = open_gateway()
    token = gateway.access.setup_token()
    assert token is not None
    assert gateway.access.can_set_up(token)
    clock.forward(hours=1)
    assert not gateway.access.can_set_up(token)
    assert gateway.access.set_up(token, "eve", PASSWORD) is None


def test_a_login_link_works_once_and_not_for_a_disabled_user(
    gateway: Gateway, browse: Callable[..., Browser], clock: SettableClock
) -> None:
    lasts = {"lasts": clock.moment - clock.moment.replace(hour=1)}
    token = gateway.access.login_token("viewer", **lasts)
    browser = browse()
    assert browser.get(f"/enter/{token}").leads_to == "/"
    assert browser.get("/").status == 200
    assert browse().get(f"/enter/{token}").status == 403
    token = gateway.access.login_token("viewer", **lasts)
    gateway.access.set_disabled("viewer", True, who="test")
    assert browse().get(f"/enter/{token}").status == 403
    for stored in gateway.engine.connect().exec_driver_sql("SELECT token_sha256 FROM hermes_link"):
        assert token not in stored[0]


# ---- sessions -------------------------------------------------------------------------------------------


def test_a_session_ends_by_itself(browse: Callable[..., Browser], clock: SettableClock) -> None:
    browser = browse("viewer")
    clock.forward(hours=11, minutes=59)
    assert browser.get("/").status == 200
    clock.forward(minutes=2)
    assert browser.get("/").leads_to == "/login"


@pytest.mark.parametrize(
    "change",
    [
        lambda access: access.set_disabled("operator", True, who="test"),
        lambda access: access.set_role("operator", Role.VIEWER, who="test"),
        lambda access: access.set_password("operator", "ein anderes Kennwort", who="test"),
    ],
    ids=["disabled", "role", "password"],
)
def test_a_changed_user_is_logged_out_at_once(
    gateway: Gateway, browse: Callable[..., Browser], change: Callable[[Any], None]
) -> None:
    browser = browse("operator")
    change(gateway.access)
    assert browser.get("/").status == 303


def test_logging_out_ends_the_session_wherever_its_cookie_was_copied_to(browse: Callable[..., Browser]) -> None:
    browser, thief = browse("viewer"), browse()
    thief.cookies = dict(browser.cookies)
    assert thief.get("/").status == 200
    assert browser.post("/logout").leads_to == "/login"
    assert thief.get("/").status == 303


def test_one_s_own_password_needs_the_old_one_and_ends_the_other_sessions(browse: Callable[..., Browser]) -> None:
    browser, other = browse("viewer"), browse("viewer")
    browser.get("/password")
    new = {"password": "ein anderes Kennwort", "again": "ein anderes Kennwort"}
    assert browser.post("/password", old="wrong password", **new).status == 422
    assert browser.post("/password", old=PASSWORD, **{**new, "again": "something else"}).status == 422
    assert browser.post("/password", old=PASSWORD, **new).leads_to == "/"
    assert browser.get("/").status == 200
    assert other.get("/").status == 303
    assert other.log_in("viewer").status == 401
    assert other.log_in("viewer", "ein anderes Kennwort").status == 303


@pytest.mark.parametrize("forgery", ["", "x", "a.b", "e30.e30", "WyJhIiwiYWRtaW4iLDEsOTk5OTk5OTk5OV0.AAAA", "é" * 9])
def test_a_forged_cookie_is_nobody_s(browse: Callable[..., Browser], forgery: str) -> None:
    browser = browse()
    browser.cookies["hermes_session"] = quote(forgery)
    assert browser.get("/").status == 303


def test_a_cookie_changed_in_one_place_is_nobody_s(browse: Callable[..., Browser]) -> None:
    browser = browse("viewer")
    cookie = browser.cookies["hermes_session"]
    for place in range(0, len(cookie), 7):
        letter = "A" if cookie[place] != "A" else "B"
        browser.cookies["hermes_session"] = cookie[:place] + letter + cookie[place + 1 :]
        assert browser.get("/overview").status == 303, place


def test_consoles_on_one_database_know_each_other_s_sessions(
    gateway: Gateway, open_gateway: Callable[..., Gateway], browse: Callable[..., Browser]
) -> None:
    browser = browse("viewer")
    with serving(open_gateway()) as port:
        assert Browser(port, dict(browser.cookies)).get("/").status == 200
    with serving(open_gateway(console_secret_key="another key " * 4)) as port:
        assert Browser(port, dict(browser.cookies)).get("/").status == 303


def test_over_https_the_cookie_is_sent_over_nothing_else(
    gateway: Gateway, open_gateway: Callable[..., Gateway]
) -> None:
    secure = open_gateway(console_public_url="https://hermes.example.vn")
    with serving(secure) as port:
        browser = Browser(port)
        answer = browser.log_in("viewer")
        cookie = next(line for line in answer.headers.get_all("Set-Cookie") or [] if "session" in line)
    assert cookie.startswith("__Host-hermes_session=")
    assert {"Secure", "HttpOnly", "SameSite=lax", "Path=/"} <= set(cookie.split("; "))
    assert answer.headers["Strict-Transport-Security"]


def test_a_proxy_s_word_counts_only_where_it_is_trusted(
    gateway: Gateway, open_gateway: Callable[..., Gateway], clock: SettableClock
) -> None:
    for trusted, address in ((None, "127.0.0.1"), ("127.0.0.1", "192.0.2.7"), ("10.0.0.1", "127.0.0.1")):
        settings = {} if trusted is None else {"console_trusted_proxies": trusted}
        clock.forward(seconds=1)
        with serving(open_gateway(**settings)) as port:
            browser = Browser(port)
            browser.get("/login")
            body = f"form_token={browser.token}&name=viewer&password=wrong+password".encode()
            form = {"Content-Type": "application/x-www-form-urlencoded", "X-Forwarded-For": "192.0.2.7"}
            assert browser.send("POST", "/login", body, form).status == 401
        assert audited(gateway, "login_refused")[0][2] == address


# ---- roles and forms --------------------------------------------------------------------------------------


def path_of(route: APIRoute) -> str:
    """The route's path with something in its places."""
    return re.sub(r"\{\w+\}", "viewer", route.path)


def named(each: tuple[str, APIRoute]) -> str:
    return f"{each[0]} {each[1].path}"


@pytest.mark.parametrize("who", [None, *Role])
def test_every_route_is_for_those_roles_alone_that_it_names(browse: Callable[..., Browser], who: Role | None) -> None:
    """Deny by default. Forms are sent empty: who may come in gets as far as their check, and nothing is changed."""
    browser = browse(who.value if who else None)
    for method, route in ROUTES:
        wanted = required_role(route)
        before = dict(browser.cookies)
        if route.path == "/logout" and who is not None:
            continue  # it has its own test, and would end this one
        answer = browser.get(path_of(route)) if method == "GET" else browser.post(path_of(route))
        browser.cookies = before
        if wanted is None:
            assert not str(answer.leads_to).startswith("/login"), named((method, route))
        elif who is None:
            assert answer.leads_to.startswith("/login"), named((method, route))
        elif who.includes(wanted):
            assert answer.status in {200, 303, 422}, named((method, route))
            assert answer.status != 303 or not answer.leads_to.startswith("/login")
        else:
            assert answer.status == 403, named((method, route))


def test_the_roles_of_the_routes_are_those_that_were_meant() -> None:
    found = {(method, route.path): required_role(route) for method, route in ROUTES}
    public = {path for (_, path), role in found.items() if role is None}
    assert public == {
        "/login", "/enter/{token}", "/setup/{token}", "/language", "/healthz", "/readyz", "/metrics",
    }  # fmt: skip
    assert {path for (_, path), role in found.items() if role is Role.ADMIN} == {
        "/users", "/users/{name}/role", "/users/{name}/disabled", "/users/{name}/password",
        "/tokens", "/tokens/{prefix}/revoke",
    }  # fmt: skip
    assert found["POST", "/circuits/resume"] is Role.OPERATOR
    assert found["POST", "/deliveries/{kind}/{code:path}"] is Role.OPERATOR


def test_a_route_that_does_not_say_who_may_use_it_is_refused(gateway: Gateway) -> None:
    router = APIRouter()
    router.get("/open")(lambda: "everybody")
    with pytest.raises(RuntimeError, match="/open does not say who may use it"):
        create_app(gateway, areas=[*AREAS, Area(router)])


@pytest.mark.parametrize("path", sorted({path_of(route) for method, route in ROUTES if method == "POST"}))
@pytest.mark.parametrize("forged", ["missing", "wrong", "another's", "header"])
def test_no_change_without_the_session_s_own_token(browse: Callable[..., Browser], path: str, forged: str) -> None:
    browser = browse("admin")
    if forged == "missing":
        answer = browser.send("POST", path, b"name=x", {"Content-Type": "application/x-www-form-urlencoded"})
    elif forged == "header":
        answer = browser.send("POST", path, b"", {"X-Form-Token": "0" * 64})
    else:
        token = "é\ud800".encode("utf-8", "replace").decode() if forged == "wrong" else browse("operator").token
        answer = browser.post(path, token=token)
    # A form that lacks what it must have may be refused for that first; it changes nothing either.
    assert answer.status in {403, 422}
    assert browser.get("/").status == 200


def test_the_token_may_come_in_a_header(gateway: Gateway, browse: Callable[..., Browser]) -> None:
    gateway.replay.pause("CS01", who="lan", why="x")
    browser = browse("operator")
    form = {"Content-Type": "application/x-www-form-urlencoded", "X-Form-Token": browser.token}
    assert browser.send("POST", "/circuits/resume", b"facility=CS01&why=ok", form).status == 303
    assert gateway.circuits.open_ones() == {}
    assert audited(gateway, "resume") == [("operator", "CS01", "ok")]


def test_an_admin_manages_users_and_the_last_admin_stays(gateway: Gateway, browse: Callable[..., Browser]) -> None:
    browser = browse("admin")
    browser.get("/users")
    assert browser.post("/users", name="Ánh.B", role="viewer", password=PASSWORD).status == 303
    assert browser.post("/users", name="ánh.b", role="viewer", password=PASSWORD).status == 422
    assert browser.post("/users", name="a b", role="viewer", password=PASSWORD).status == 422
    assert browser.post("/users", name="ok", role="king", password=PASSWORD).status == 422
    assert browser.post(f"/users/{quote('ánh.b')}/role", role="operator").status == 303
    last = browser.post("/users/admin/disabled", disabled="true")
    assert (last.status, "last admin" in last.text) == (422, True)
    assert browser.post("/users/admin/role", role="viewer").status == 422
    assert browser.post("/users/nobody/role", role="viewer").status == 422
    assert ("admin", "ánh.b", "operator") in audited(gateway, "user_role")
    assert [each.name for each in gateway.users.all() if not each.disabled] == ["admin", "operator", "viewer", "ánh.b"]


def test_an_admin_makes_a_token_that_is_shown_once_and_revokes_it(
    gateway: Gateway, browse: Callable[..., Browser]
) -> None:
    browser = browse("admin")
    browser.get("/tokens")
    made = browser.post("/tokens", owner="operator", purpose="<b>báo cáo</b>", role="operator", days="30")
    token = re.search(r"<code>(hermes_[\w-]+)</code>", made.text)
    assert token is not None
    bearer = gateway.tokens.admit(token[1], address="192.0.2.1")
    assert bearer is not None
    page = browser.get("/tokens").text
    assert token[1] not in page
    assert "&lt;b&gt;báo cáo&lt;/b&gt;" in page
    for wrong in ({"owner": "nobody"}, {"role": "admin"}, {"days": "0"}, {"days": "x"}, {"purpose": " "}):
        fields = {"owner": "operator", "purpose": "x", "role": "operator", "days": "30", **wrong}
        assert browser.post("/tokens", **fields).status == 422, wrong
    assert len(gateway.tokens.all()) == 1
    assert browser.post(f"/tokens/{bearer.token.prefix}/revoke").leads_to == "/tokens"
    assert browser.post(f"/tokens/{bearer.token.prefix}/revoke").status == 422
    assert gateway.tokens.admit(token[1], address="192.0.2.1") is None
    assert [each[0] for each in audited(gateway, "token_create") + audited(gateway, "token_revoke")] == ["admin"] * 2


# ---- pages ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/", "/overview", "/deliveries", "/errors", "/replays", "/replays/new", "/reconciliation", "/audit", "/users",
     "/tokens", "/password", "/login", "/nowhere"],
)  # fmt: skip
@pytest.mark.parametrize("language", list(Language))
def test_every_page_is_small_guarded_and_loads_nothing_from_elsewhere(
    browse: Callable[..., Browser], path: str, language: Language
) -> None:
    browser = browse("admin") if path != "/login" else browse()
    browser.cookies["hermes_lang"] = language.value
    answer = browser.get(path)
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Server" not in answer.headers
    assets = re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text)
    sizes = [len(browser.get(asset).body) for asset in set(assets)]
    assert len(answer.body) + sum(sizes) < 100_000
    assert not re.search(r'(?:src|href|action)="(?!/|#)', answer.text)
    if path != "/overview":
        assert f'<html lang="{language}">' in answer.text
        assert answer.text.count("<h1") == 1


def test_assets_are_kept_by_browsers(browse: Callable[..., Browser]) -> None:
    answer = browse().get("/static/console.css")
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.headers["Content-Type"].startswith("text/css")
    assert browse().get("/static/../console.py").status == 404
    assert browse().get("/static/..%2fconsole.py").status == 404


def test_the_overview_says_what_needs_a_person_most_urgent_first(
    gateway: Gateway, browse: Callable[..., Browser]
) -> None:
    gateway.replay.pause("", who="lan", why="<b>new</b> password")
    gateway.replay.pause("CS01", who="lan", why="x")
    page = browse("viewer").get("/").text
    order = [page.index(text) for text in ("Nothing is scanned", "Sending to the partner is paused", "facility CS01")]
    assert order == sorted(order)
    assert "&lt;b&gt;new&lt;/b&gt; password" in page
    assert "Resume…" not in page
    assert "Resume…" in browse("operator").get("/").text


def test_a_page_that_updates_itself_goes_to_the_login_as_a_whole(browse: Callable[..., Browser]) -> None:
    answer = browse().get("/overview", **{"HX-Request": "true"})
    assert (answer.status, answer.headers["HX-Redirect"]) == (401, "/login")


def test_the_audit_is_paged_and_narrowed(
    gateway: Gateway, browse: Callable[..., Browser], clock: SettableClock
) -> None:
    for number in range(120):
        clock.forward(seconds=number % 2)
        gateway.replay.pause(f"CS{number:03}", who=f"user{number % 2}", why="")
    browser, path, seen = browse("viewer"), "/audit?action=pause", []
    while path:
        page = browser.get(path).text
        seen += re.findall(r"<code>(CS\d+)</code>", page)
        older = re.search(r'href="(/audit\?[^"]*cursor[^"]*)"', page)
        path = older[1].replace("&amp;", "&") if older else ""
    assert sorted(seen) == [f"CS{number:03}" for number in range(120)]
    assert set(re.findall(r"<code>(CS\d+)</code>", browser.get("/audit?who=user1&code=CS007").text)) == {"CS007"}
    assert "No entries" in browser.get("/audit?who=nobody").text
    for cursor in ("x", "2026-01-01~y", "0001-01-01T00:00:00%2B14:00~z", "9999-12-31T23:59:59-14:00~z"):
        assert browser.get(f"/audit?cursor={cursor}").status == 422


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_input_changes_nothing_and_comes_back_harmless(
    gateway: Gateway, browse: Callable[..., Browser], value: str
) -> None:
    browser, written = browse("admin"), quote(value, safe="")
    gets = [f"/audit?{name}={written}" for name in ("who", "action", "kind", "code", "cursor")]
    gets += [f"/login?next={written}", f"/enter/{written}", f"/setup/{written}", f"/{written}"]
    posts: list[tuple[str, dict[str, str]]] = [
        ("/users", {"name": value, "role": "viewer", "password": PASSWORD}),
        ("/users", {"name": "x", "role": value, "password": PASSWORD}),
        (f"/users/{written}/role", {"role": "viewer"}),
        (f"/users/{written}/disabled", {"disabled": value}),
        ("/circuits/resume", {"facility": value, "why": value}),
        ("/language", {"choice": value, "back_to": value}),
        ("/login", {"name": value, "password": value, "back_to": value}),
        ("/password", {"old": value, "password": value, "again": value}),
    ]
    answers = [browser.get(path) for path in gets] + [browser.post(path, **fields) for path, fields in posts]
    for answer in answers:
        assert answer.status in {200, 303, 401, 403, 404, 405, 422}
        assert b"<script>alert" not in answer.body
        assert b"Traceback" not in answer.body
        assert b"\x1b" not in answer.body
        assert (answer.headers["Location"] or "/").startswith("/")
    assert [each.name for each in gateway.users.all()] == ["admin", "operator", "viewer"]


def test_a_body_without_end_is_refused(browse: Callable[..., Browser]) -> None:
    browser = browse()
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert browser.send("POST", "/login", b"x=" + b"a" * 70_000, form).status == 413
    chunks = iter([b"x="] + [b"a" * 10_000] * 8)
    answer = browser.send("POST", "/login", chunks, form)  # type: ignore[arg-type]
    assert answer.status in {400, 413}


# ---- when things are away ----------------------------------------------------------------------------------


def test_with_the_database_away_pages_say_so_and_liveness_stays(
    gateway: Gateway, browse: Callable[..., Browser], database_url: str
) -> None:
    browser = browse("viewer")
    assert browser.get("/readyz").status == 200
    with gateway.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE hermes_user RENAME TO hermes_user_away")
        connection.exec_driver_sql("ALTER TABLE hermes_schema_version RENAME TO hermes_schema_away")
    answer = browser.get("/")
    assert (answer.status, "Nothing is lost" in answer.text) == (503, True)
    assert "hermes_user" not in answer.text
    assert browse().get("/healthz").status == 200
    ready = browse().get("/readyz")
    assert (ready.status, "hermes_schema" in ready.text) == (503, False)


def test_an_error_of_our_own_shows_nothing_of_the_inside(
    gateway: Gateway, browse: Callable[..., Browser], monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = browse("admin")

    def fail() -> None:
        raise ZeroDivisionError("geheim")

    monkeypatch.setattr(gateway.users, "all", fail)
    answer = browser.get("/users")
    assert (answer.status, "geheim" in answer.text) == (500, False)
    assert "Something went wrong in Hermes" in answer.text
    assert answer.headers["Content-Security-Policy"]


def test_a_process_whose_other_work_stands_still_is_not_well(gateway: Gateway) -> None:
    pulse = Pulse(longest_seconds=0)
    with serving(gateway, pulse) as port:
        assert Browser(port).get("/healthz").status == 503


# ---- figures -----------------------------------------------------------------------------------------------


def metric_rows() -> list[list[str]]:
    page = (Path(__file__).parents[2] / "docs/reference/metrics.md").read_text(encoding="utf-8")
    table = page.partition("| metric |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()[2:]]


def test_every_metric_is_documented_with_its_labels_and_type_and_no_other(
    gateway: Gateway, browse: Callable[..., Browser], put_attempts: Callable[[Gateway], None]
) -> None:
    put_attempts(gateway)
    gateway.ledger.beat("scan:hoa_don")
    text = browse().get("/metrics").text
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    found = {}
    for name, kind in types.items():
        labels = re.findall(rf"^{name}(?:_bucket)?\{{(.*?)\}} ", text, re.MULTILINE)
        found[name] = (sorted({label for each in labels for label in re.findall(r"(\w+)=", each)}), kind)
    listed = {row[0].strip("`"): (re.findall(r"`(\w+)`", row[1]), row[2]) for row in metric_rows()}
    of_the_histogram = {name for name in found if name.endswith(("_gcount", "_gsum"))}
    assert {name: seen for name, seen in found.items() if name not in of_the_histogram} == listed


def test_tries_are_counted_over_five_minutes_with_how_long_the_partner_took(
    gateway: Gateway, browse: Callable[..., Browser], put_attempts: Callable[[Gateway], None], clock: SettableClock
) -> None:
    put_attempts(gateway)
    text = browse().get("/metrics").text
    assert 'hermes_recent_attempts{kind="hoa_don",outcome="accepted"} 2.0' in text
    assert 'hermes_recent_attempts{kind="hoa_don",outcome="unknown"} 1.0' in text
    assert 'hermes_recent_partner_seconds_bucket{kind="hoa_don",le="0.1"} 1.0' in text
    assert 'hermes_recent_partner_seconds_bucket{kind="hoa_don",le="+Inf"} 2.0' in text
    clock.forward(minutes=6)
    assert gateway.measures.recent().by_outcome == ()


def test_figures_are_for_this_machine_or_for_who_shows_the_token(
    open_gateway: Callable[..., Gateway], browse: Callable[..., Browser]
) -> None:
    assert browse().get("/metrics").status == 200
    assert browse().get("/metrics", **{"X-Forwarded-For": "192.0.2.1"}).status == 403
    with serving(open_gateway(console_metrics_token="a token nobody guesses")) as port:
        assert Browser(port).get("/metrics").status == 403
        assert Browser(port).get("/metrics", Authorization="Bearer wrong").status == 403
        assert Browser(port).get("/metrics", Authorization="Bearer a token nobody guesses").status == 200


# ---- the address -------------------------------------------------------------------------------------------


def test_a_taken_port_is_a_sentence_that_names_the_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = load_settings(console_port=taken.getsockname()[1])
        with pytest.raises(ConfigError, match="CONSOLE_PORT"):
            listen(settings)


def test_a_network_over_plain_http_is_not_listened_on() -> None:
    with pytest.raises(ConfigError, match="CONSOLE_ALLOW_PLAIN_HTTP"):
        listen(load_settings(console_host="0.0.0.0"))


def test_a_certificate_that_is_none_is_a_sentence(gateway: Gateway, tmp_path: Path) -> None:
    (tmp_path / "x.pem").write_text("no certificate")
    settings = load_settings(console_tls_certificate=tmp_path / "x.pem", console_tls_key=tmp_path / "x.pem")
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="CONSOLE_TLS_CERTIFICATE"):
        ConsoleServer(create_app(gateway), settings, taken)
