"""Every page of the console in a real browser: for eyes, keyboards, screen readers, phones, printers and slow lines."""

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from app.core.config import Settings
from app.domain.deliveries import Selection
from app.domain.states import State
from app.services.replay import Action
from app.web.application import routes
from app.wiring import Gateway
from tests.browser import PHONE, WIDE, Visit
from tests.integration.console import serving
from tests.showroom import INCIDENT, PASSWORD, showroom

LARGEST_PAGE = 100_000
REFRESH_MS = 11_000
PATIENCE_SECONDS = 30
SERIOUS = ("serious", "critical")
LOOKS = {
    "vi": (("light", WIDE), ("dark", PHONE)),
    "en": (("dark", WIDE), ("light", PHONE)),
}
"""Of language, colours and width, each pair is seen together."""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A chain's week, of which every page has something to show."""
    folder = tmp_path_factory.mktemp("showroom")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in list(os.environ):
            if name.lower().removesuffix("_file") in Settings.model_fields:
                patch.delenv(name)
        with showroom(folder, per_kind=90) as made:
            yield made


@pytest.fixture(scope="module")
def url(gateway: Gateway) -> Iterator[str]:
    """Where its console is served."""
    with serving(gateway) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def visit(chromium: Browser, url: str, gateway: Gateway) -> Iterator[Visit]:
    """An admin on a wide screen, on the overview."""
    made = Visit(chromium, url)
    made.enter(gateway.access.login_token("lan", lasts=timedelta(hours=1)))
    yield made
    made.context.close()


def document(gateway: Gateway, state: State) -> str:
    found = gateway.ledger.page(Selection(state=state), ("", ""), 1)[0]
    return f"/deliveries/{found.kind}/{found.code}"


def pages(gateway: Gateway) -> dict[str, str]:
    """An address for every page that is more than an answer for programs."""
    return {
        "/": "/",
        "/deliveries": "/deliveries?failed=1",
        "/deliveries of nothing": "/deliveries?code=none",
        "/deliveries/{kind}/{code:path}": document(gateway, State.REJECTED),
        "/deliveries/{kind}/{code:path} accepted": document(gateway, State.ACCEPTED),
        "/deliveries/{kind}/{code:path} unknown": document(gateway, State.UNKNOWN),
        "/errors": "/errors",
        "/replays": "/replays",
        "/replays/new": "/replays/new?state=rejected",
        "/replays/one": f"/replays/one?name={quote(INCIDENT)}",
        "/reconciliation": "/reconciliation",
        "/reconciliation/{kind}/{day}/{fate}": "/reconciliation/phieu_nhap/2026-11-19/never_seen?facility=HCM-GV-073",
        "/audit": "/audit",
        "/users": "/users",
        "/tokens": "/tokens",
        "/password": "/password",
    }


NO_PAGES = {"/healthz", "/readyz", "/metrics", "/overview", "/replays/progress", "/enter/{token}", "/setup/{token}",
            "/login", "/deliveries.csv", "/deliveries.xlsx", "/reconciliation.xlsx"}  # fmt: skip
"""Addresses that answer with something else, and those of people who are not logged in: looked at below."""


def flaws(page: Page) -> list[str]:
    """What axe finds that would keep somebody out."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {node['target']} {node['failureSummary']}"
        for each in found
        if each["impact"] in SERIOUS
        for node in each["nodes"]
    ]


def look_at(visit: Visit, path: str, scheme: str, size: tuple[int, int]) -> None:
    """Whether a page that is open may be shown to anybody."""
    page = visit.page
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
    page.set_viewport_size({"width": size[0], "height": size[1]})
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0], f"{path} is {width} wide on a screen of {size[0]}"
    lightness = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)")
    assert (max(lightness) < 60) == (scheme == "dark"), path
    assert flaws(page) == [], (path, scheme, size)


def test_every_page_is_looked_at(gateway: Gateway) -> None:
    looked_at = {name.split(" ")[0] for name in pages(gateway)}
    assert {route.path for route in routes() if "GET" in route.methods} == looked_at | NO_PAGES


@pytest.mark.parametrize("language", LOOKS)
def test_every_page_is_small_whole_and_open_to_everybody(
    chromium: Browser, url: str, gateway: Gateway, language: str
) -> None:
    visit = Visit(chromium, url, language=language)
    for path in ("/login", "/enter/none"):
        visit.page.goto(path)
        for scheme, size in LOOKS[language]:
            look_at(visit, path, scheme, size)
    visit.errors.clear()  # the browser notes there that the second is no page
    visit.enter(gateway.access.login_token("lan", lasts=timedelta(hours=1)))
    for path in pages(gateway).values():
        answer = visit.page.goto(path)
        assert answer is not None
        assert (answer.status, visit.page.locator("html").get_attribute("lang")) == (200, language)
        visit.page.evaluate("document.querySelectorAll('main details').forEach((each) => { each.open = true; })")
        for scheme, size in LOOKS[language]:
            look_at(visit, path, scheme, size)
    assert visit.errors == []
    assert visit.elsewhere == []
    visit.context.close()


def test_no_page_takes_more_than_a_hundred_kilobytes_the_first_time(visit: Visit, gateway: Gateway) -> None:
    tools = visit.context.new_cdp_session(visit.page)
    tools.send("Network.enable")
    tools.send("Network.setCacheDisabled", {"cacheDisabled": True})
    for path in pages(gateway).values():
        visit.answered.clear()
        visit.page.goto(path)
        assert 50_000 < visit.transferred() < LARGEST_PAGE, path  # styles and scripts are among it


def test_the_console_can_be_used_with_the_keyboard_alone(chromium: Browser, url: str) -> None:
    visit = Visit(chromium, url)
    page = visit.page
    page.goto("/login")
    expect(page.get_by_label("Tên người dùng")).to_be_focused()
    page.keyboard.type("minh")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Việc cần người xử lý")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Đến phần nội dung")).to_be_focused()
    assert page.get_by_role("link", name="Đến phần nội dung").bounding_box()["y"] >= 0
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".concerns a").first).to_be_focused()
    while "phiếu bị từ chối" not in page.evaluate("document.activeElement.textContent"):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Bị từ chối")).to_be_visible()
    page.locator("header summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Đăng xuất khỏi mọi nơi")).to_be_visible()
    assert visit.errors == []
    visit.context.close()


FOCUS = """() => {
  const seen = document.activeElement, style = getComputedStyle(seen), box = seen.getBoundingClientRect();
  if (seen === document.body) return null;
  const places = [...document.querySelectorAll("*")];
  return {place: places.indexOf(seen), outline: style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth),
          inside: box.bottom > 0 && box.top < innerHeight && box.width > 0};
}"""


@pytest.mark.parametrize("path", ["/", "/deliveries", "/errors", "/users"])
def test_the_focus_goes_down_the_page_and_is_always_seen(visit: Visit, path: str) -> None:
    visit.page.goto(path)
    stops = []
    for _ in range(250):
        visit.page.keyboard.press("Tab")
        stop = visit.page.evaluate(FOCUS)
        if stop is None:
            break
        if not stops or stop["place"] != stops[-1]["place"]:  # a date has a stop for each of its parts
            stops.append(stop)
    assert len(stops) > 10
    places = [each["place"] for each in stops]
    assert places == sorted(set(places))
    assert all(each["outline"] >= 2 and each["inside"] for each in stops), stops


def test_the_overview_updates_itself_under_a_reader_without_moving(visit: Visit, gateway: Gateway) -> None:
    page = visit.page
    page.clock.install()
    page.goto("/")
    page.get_by_text("Xem dạng bảng").first.click()
    page.locator("#circuits summary").first.click()
    reason = page.locator("#circuits input[name=why]").first
    reason.fill("Đang viết dở")
    before = page.evaluate("scrollY")
    assert before > 0
    rejected = gateway.ledger.page(Selection(state=State.REJECTED), ("", ""), 1)[0]
    gateway.replay.run(Action.RETRY, Selection(rejected.kind, (rejected.code,)), who="minh", why="đã sửa")
    count = page.locator("tr", has_text="chờ gửi").first.locator("td").last
    expect(count).to_have_text("0")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while count.inner_text() == "0" and time.monotonic() < deadline:  # what was read last is told for two seconds
        with page.expect_response("**/overview"):
            page.clock.fast_forward(REFRESH_MS)
    expect(count).to_have_text("1")
    expect(reason).to_be_focused()
    expect(reason).to_have_value("Đang viết dở")
    expect(page.get_by_role("table").nth(1)).to_be_visible()
    assert page.evaluate("scrollY") == before


def test_a_page_that_no_longer_updates_says_so_and_goes_on_by_itself(visit: Visit) -> None:
    page = visit.page
    page.clock.install()
    page.goto("/")
    note = page.get_by_text("Mất kết nối: các số liệu này đã cũ.")
    expect(note).to_be_hidden()
    visit.context.set_offline(True)
    page.clock.fast_forward(REFRESH_MS)
    expect(note).to_be_visible()
    visit.context.set_offline(False)
    page.clock.fast_forward(REFRESH_MS)
    expect(note).to_be_hidden()


def test_a_printed_page_has_what_was_asked_for_and_nothing_to_press(visit: Visit, gateway: Gateway) -> None:
    page = visit.page
    for path in ("/", document(gateway, State.REJECTED), "/reconciliation"):
        page.goto(path)
        page.emulate_media(media="print", color_scheme="dark")
        expect(page.get_by_role("navigation", name="Các mục")).to_be_hidden()
        assert page.locator("button:visible, summary.button:visible, a.button:visible").count() == 0
        expect(page.locator("main table").first).to_be_visible()
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.pdf().startswith(b"%PDF")
        page.emulate_media(media="screen")
