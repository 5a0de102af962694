"""The console as a person uses it: a real Chromium, real processes, in Vietnamese."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import update

from app.core.config import load_settings
from app.db.engine import writing
from app.demo.sample_data import SampleDocument, generate
from app.demo.show import insert_documents
from app.documents import PHIEU_NHAP
from app.domain.states import State
from app.domain.users import Role
from app.wiring import Gateway
from simulator.process import SimulatorHandle
from tests.browser import Visit
from tests.databases import SqliteDatabase, only_sqlite
from tests.e2e.conftest import Roles
from tests.e2e.test_console_cli import free_port, status_of

pytestmark = only_sqlite

PASSWORD = "một mật khẩu dài"
PATIENCE_SECONDS = 60


@dataclass
class Chain:
    """A chain with goods receipts in its database, Hermes at work, and a person before the console."""

    gateway: Gateway
    partner: SimulatorHandle
    visit: Visit
    documents: list[SampleDocument]

    @property
    def page(self) -> Page:
        return self.visit.page

    def codes(self) -> list[str]:
        return [str(each.header["ma_phieu"]) for each in self.documents]

    def await_state(self, code: str, state: State) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            found = self.gateway.ledger.get(PHIEU_NHAP, code)
            if found is not None and found.state is state:
                return
            time.sleep(0.1)
        raise AssertionError(f"{code} is not {state} but {found}")

    def log_in(self) -> None:
        self.page.goto("/")
        self.page.get_by_label("Tên người dùng").fill("lan")
        self.page.get_by_label("Mật khẩu").fill(PASSWORD)
        self.page.get_by_role("button", name="Đăng nhập").click()
        expect(self.page.get_by_role("heading", name="Việc cần người xử lý")).to_be_visible()

    def correct_lots(self) -> None:
        """Somebody enters in the source program the lots that are missing."""
        lines = PHIEU_NHAP.lines
        with writing(self.gateway.engine) as connection:
            connection.execute(update(lines).where(lines.c.so_lo.is_(None)).values(so_lo="LO-2026-17"))

    def copies(self, code: str) -> int:
        found = self.partner.ledger(kind="phieu_nhap", code=code)["documents"]
        return sum(int(each["copies"]) for each in found)


@pytest.fixture
def chain(
    make_roles: Callable[..., Roles], database: SqliteDatabase, partner: SimulatorHandle, chromium: Browser
) -> Iterator[Chain]:
    """Six receipts, in two of which one line has no lot."""
    port = free_port()
    database.make_ready()
    gateway = Gateway(load_settings(source_database_url=database.url))
    gateway.access.add("lan", Role.OPERATOR, PASSWORD, who="test")
    documents = list(generate("phieu_nhap", 6, seed=5, today=date(2026, 11, 20), defect_every=0))
    for each in documents[:2]:
        each.lines[0]["so_lo"] = None
    insert_documents(gateway, PHIEU_NHAP, iter(documents))
    make_roles(api_base_url=partner.url, console_port=port).start("up", "app", "up")
    assert status_of(f"http://127.0.0.1:{port}/readyz") == 200
    made = Chain(gateway, partner, Visit(chromium, f"http://127.0.0.1:{port}"), documents)
    yield made
    made.visit.context.close()
    gateway.engine.dispose()
    assert made.visit.errors == []
    assert made.visit.elsewhere == []


def test_a_rejected_document_is_found_understood_corrected_and_sent_again_from_its_page(chain: Chain) -> None:
    page, code = chain.page, chain.codes()[0]
    chain.await_state(code, State.REJECTED)
    chain.log_in()
    page.get_by_role("link", name="Phiếu gửi").click()
    page.get_by_label("Loại phiếu").select_option(label="Phiếu nhập")
    page.get_by_label("bị từ chối").check()
    page.get_by_role("button", name="Xem").click()
    expect(page.get_by_role("row")).to_have_count(3)  # the heading and the two
    page.get_by_role("link", name=code).click()
    wrong = page.get_by_role("region", name="Chỗ sai")
    expect(wrong).to_contain_text("Dòng 1 · Số lô: thiếu số lô")

    chain.correct_lots()
    page.reload()
    expect(wrong).to_contain_text("trong phần mềm nguồn đã được sửa")
    page.get_by_text("Lập lại và gửi…").click()
    page.get_by_label("Lý do, ghi vào nhật ký thao tác").fill("Đã nhập số lô")
    page.get_by_role("button", name="Tiếp tục…").click()
    page.get_by_role("button", name="Đồng ý").click()

    state = page.get_by_role("region", name="Trạng thái")
    expect(state).to_contain_text("đã nhận", timeout=PATIENCE_SECONDS * 1000)  # without anything more being pressed
    expect(state).to_contain_text("QG-PN-")
    expect(page.get_by_role("region", name="Thao tác của người dùng")).to_contain_text("Đã nhập số lô")
    assert chain.copies(code) == 1


def test_from_the_overview_alone_one_finds_why_documents_are_refused_and_gets_them_delivered(chain: Chain) -> None:
    page, codes = chain.page, chain.codes()
    for code in codes[:2]:
        chain.await_state(code, State.REJECTED)
    chain.log_in()
    page.get_by_role("link", name="2 phiếu bị từ chối.").click()
    expect(page.get_by_role("heading", name="Dòng #: thiếu số lô")).to_be_visible()
    page.get_by_role("link", name="Mở danh sách").click()
    for code in codes[:2]:
        expect(page.get_by_role("link", name=code)).to_be_visible()
    page.get_by_role("link", name=codes[1]).click()
    expect(page.get_by_role("region", name="Chỗ sai")).to_contain_text("Dòng 1 · Số lô: thiếu số lô")

    chain.correct_lots()
    page.get_by_role("link", name="Bị từ chối").click()
    page.get_by_role("link", name="Gửi lại tất cả…").click()
    expect(page.get_by_role("heading", name="Hiện có 2 phiếu phù hợp")).to_be_visible()
    page.get_by_label("Tên sự cố").fill("Thiếu số lô 20/11")
    page.get_by_label("Vì sao? Lý do được ghi vào nhật ký thao tác.").fill("Đã nhập số lô")
    page.get_by_label("Đồng ý gửi lại các phiếu này.").check()
    page.get_by_role("button", name="Tạo đợt gửi lại").click()

    progress = page.get_by_role("region", name="Tiến độ")
    expect(progress).to_contain_text("2 trong 2 phiếu đã đến lượt", timeout=PATIENCE_SECONDS * 1000)
    for code in codes[:2]:
        chain.await_state(code, State.ACCEPTED)
        assert chain.copies(code) == 1
    page.get_by_role("link", name="Tổng quan").click()
    expect(page.get_by_text("Không có gì. Mọi phiếu đã được nhận hoặc đang trên đường gửi.")).to_be_visible(
        timeout=PATIENCE_SECONDS * 1000
    )
