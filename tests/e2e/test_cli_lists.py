"""Lists, refusals, reconciliation, bulk replays and the audit as an operator asks for them: real processes."""

import csv
import json
import re
import sqlite3
from collections.abc import Callable
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from app.wiring import Gateway
from simulator.process import SimulatorHandle
from tests.e2e.conftest import Roles
from tests.e2e.test_cli import answer, header, receipt, source

__all__ = ["source"]  # a fixture

UNKNOWN_LOT = "Lô {number} chưa có trong danh mục"
FORMULA = "=HYPERLINK(1)"


def refuse(partner: SimulatorHandle, reason: str) -> None:
    """The partner refuses everything from now on, in these words."""
    partner.set_faults([{"fault": "status", "status": 400, "body": {"mess": reason}}])


@pytest.fixture
def hermes(make_gateway: Callable[..., Gateway], make_roles: Callable[..., Roles], partner: SimulatorHandle) -> Roles:
    """The command, on empty tables."""
    make_gateway()
    return make_roles(api_base_url=partner.url)


@pytest.fixture
def refused(hermes: Roles, source: sqlite3.Connection, partner: SimulatorHandle) -> Roles:
    """One receipt of the 19th is accepted; three of the 20th are refused, for one reason but for a number; one is
    wrong by Hermes' own check, and its code is a formula."""
    receipt(source, "PN0", ngay_nhap="2026-11-19 09:00:00")
    answer(hermes, "sync", "--kind", "phieu_nhap")
    for number in (3, 1, 2):
        receipt(source, f"PN{number}", ma_co_so=f"CS{number}", ngay_nhap=f"2026-11-20 0{number}:00:00")
    receipt(source, FORMULA, loai_phieu_nhap=None)
    refuse(partner, UNKNOWN_LOT.format(number=77))
    answer(hermes, "sync", "--kind", "phieu_nhap")
    partner.set_faults([])
    return hermes


def codes(found: dict[str, Any]) -> list[str]:
    return [each["code"] for each in found["deliveries"]]


def people(roles: Roles, *arguments: str, code: int = 0) -> str:
    """What a command tells people; nothing goes to standard output."""
    done = roles.run(*arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


# ---- list -----------------------------------------------------------------------------------------------


def test_list_shows_what_matches_in_the_order_asked_for_and_counts_all_of_it(refused: Roles) -> None:
    found = answer(refused, "list", "--state", "rejected", "--error", "refused", "--sort", "code", "--limit", "2")
    assert (codes(found), found["count"], found["counted"]) == (["PN1", "PN2"], 3, True)
    found = answer(refused, "list", "--from", "2026-11-19", "--to", "2026-11-19")
    assert [(each["code"], each["state"]) for each in found["deliveries"]] == [("PN0", "accepted")]
    assert codes(answer(refused, "list", "--facility", "CS3", "--kind", "phieu_nhap")) == ["PN3"]
    assert codes(answer(refused, "list", "--prefix", "PN", "--sort", "code")) == ["PN0", "PN1", "PN2", "PN3"]
    assert codes(answer(refused, "list", "--ever-failed", "--code", "PN0")) == []
    told = people(refused, "list", "--state", "rejected", "--limit", "2")
    assert "Hiện 2 trong 4 phiếu." in told


def test_files_have_all_of_the_list_and_start_no_formula(refused: Roles, tmp_path: Path) -> None:
    told = people(refused, "list", "--sort", "code", "--limit", "1", "--csv", "all.csv")
    assert "Đã ghi vào all.csv." in told
    written = (tmp_path / "all.csv").read_bytes()
    assert written.startswith(b"\xef\xbb\xbf")
    heading, *lines = csv.reader(StringIO(written.decode("utf-8-sig"), newline=""))
    assert heading[:4] == ["Loại", "Mã", "Cơ sở", "Ngày chứng từ"]
    assert [line[1] for line in lines] == [f"'{FORMULA}", "PN0", "PN1", "PN2", "PN3"]
    assert not [cell for line in lines for cell in line if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    piped = refused.run("list", "--sort", "code", "--csv", "-")
    assert (piped.returncode, piped.stderr) == (0, "")
    assert next(csv.reader(StringIO(piped.stdout, newline="")))[1] == "Mã"
    assert piped.stdout.count("\n") == 6
    told = people(refused, "list", "--limit", "1", "--xlsx", "all.xlsx")
    assert "Đã ghi 5 dòng vào all.xlsx." in told
    with ZipFile(BytesIO((tmp_path / "all.xlsx").read_bytes())) as book:
        sheet = book.read("xl/worksheets/sheet1.xml").decode()
    assert f"<t>{FORMULA}</t>" in sheet
    assert "<f>" not in sheet
    assert len(re.findall("<row ", sheet)) == 6


# ---- refusals and bulk replays --------------------------------------------------------------------------


def test_what_is_refused_for_one_cause_is_replayed_scan_by_scan(refused: Roles, source: sqlite3.Connection) -> None:
    groups = answer(refused, "refusals")["groups"]
    assert [(each["error_code"], each["documents"]) for each in groups] == [("refused", 3), ("invalid_document", 1)]
    assert groups[0]["message"] == "Lô # chưa có trong danh mục"
    assert groups[0]["facilities"] == ["CS1", "CS2", "CS3"]
    cause = groups[0]["cause"]
    assert cause in people(refused, "refusals")
    assert sorted(codes(answer(refused, "list", "--cause", cause))) == ["PN1", "PN2", "PN3"]

    name = "lô 77 ngày 20/11"
    who = ("--who", "lan", "--why", "đối tác đã thêm lô")
    made = answer(refused, "replay", "create", name, "--cause", cause, "--while-queued", "2", "--yes", *who)
    assert (made["replay"]["documents"], made["replay"]["state"]) == (3, "running")
    assert header(source, "PN1")[0] == 3
    people(refused, "replay", "pause", name, *who)
    answer(refused, "sync", "--kind", "phieu_nhap")
    shown = answer(refused, "replay", "show", f" {name}  ")
    assert (shown["replay"]["state"], shown["waiting"], shown["accepted"]) == ("paused", 3, 0)
    people(refused, "replay", "pause", name, code=1)
    assert "đang chạy" in people(refused, "replay", "resume", name, *who)
    answer(refused, "sync", "--kind", "phieu_nhap")
    shown = answer(refused, "replay", "show", name, "--items", "5")
    assert (shown["waiting"], shown["accepted"]) == (1, 2)
    assert [(each["code"], each["step"]) for each in shown["items"]] == [
        ("PN1", "released"), ("PN2", "released"), ("PN3", "waiting"),
    ]  # fmt: skip
    answer(refused, "sync", "--kind", "phieu_nhap")
    assert [header(source, f"PN{number}")[0] for number in (1, 2, 3)] == [1, 1, 1]
    assert header(source, FORMULA)[0] == 3
    (listed,) = answer(refused, "replay", "list")["replays"]
    assert (listed["name"], listed["state"], listed["who"]) == (name, "finished", "lan")
    people(refused, "replay", "abort", name, code=1)

    audited = answer(refused, "audit", "--who", "lan")
    assert audited["more"] is False
    actions = [(each["action"], each["code"]) for each in audited["entries"]]
    assert actions[-3:] == [("replay_resume", name), ("replay_pause", name), ("replay", name)]
    assert sorted(actions[:-3]) == [("replay", "PN1"), ("replay", "PN2"), ("replay", "PN3")]
    told = people(refused, "audit", "--action", "replay_pause", "--code", name)
    assert "lan: đối tác đã thêm lô" in told


def test_an_aborted_replay_releases_nothing_more(refused: Roles, source: sqlite3.Connection) -> None:
    selection = ("PN3", "PN1", "--kind", "phieu_nhap", "--while-queued", "1", "--yes")
    assert "sự cố có 2 phiếu" in people(refused, "replay", "create", "sự cố", *selection)
    answer(refused, "sync", "--kind", "phieu_nhap")
    assert "đã hủy" in people(refused, "replay", "abort", "sự cố", "--why", "nhầm")
    answer(refused, "sync", "--kind", "phieu_nhap")
    assert [header(source, code)[0] for code in ("PN1", "PN3")] == [1, 3]
    told = people(refused, "replay", "show", "sự cố")
    assert "đã hủy" in told
    assert "đã nhận: 1" in told


# ---- reconcile ------------------------------------------------------------------------------------------


def test_reconcile_finds_the_document_that_hermes_never_saw(
    refused: Roles, source: sqlite3.Connection, tmp_path: Path
) -> None:
    period = ("--from", "2026-11-19", "--to", "2026-11-20")
    receipt(source, "PN-OLD", status_phieu=1)
    found = answer(refused, "reconcile", *period, "--codes", "never_seen", "--xlsx", "week.xlsx", code=1)
    assert found["total"] == {
        "in_source": 6, "delivered": 1, "waiting": 0, "refused": 4, "never_seen": 1, "gone": 0,
    }  # fmt: skip
    assert [(each["code"], each["status"], each["state"]) for each in found["documents"]] == [("PN-OLD", 1, None)]
    assert {(each["day"], each["facility"], each["in_source"]) for each in found["rows"]} >= {("2026-11-19", "CS1", 1)}
    with ZipFile(tmp_path / "week.xlsx") as book:
        assert book.read("xl/worksheets/sheet1.xml").decode().count("<row ") == len(found["rows"]) + 1
    told = people(refused, "reconcile", *period, "--codes", "never_seen", code=1)
    assert "CS1 phieu_nhap PN-OLD status_phieu=1" in told
    assert answer(refused, "reconcile", "--from", "2026-11-19", "--to", "2026-11-19")["total"]["delivered"] == 1


# ---- bad input ------------------------------------------------------------------------------------------

DAYS_BACKWARDS = ("--from", "2026-11-21", "--to", "2026-11-20")
NAMED = ("replay", "create", "x", "--yes")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("list", *DAYS_BACKWARDS, "--csv", "kept.csv"), "is after the last"),
        (("list", "--kind", "hoadon"), "Kinds: phieu_nhap, phieu_xuat, hoa_don"),
        (("list", "--json", "--csv", "-"), "Choose: --json"),
        (("list", "--xlsx", "no/such/folder/x.xlsx"), "cannot be written"),
        (("reconcile", *DAYS_BACKWARDS), "is after the last"),
        (("reconcile", "--from", "2020-01-01", "--to", "2026-11-20"), "at most 366 days"),
        (("audit", *DAYS_BACKWARDS), "is after the last"),
        ((*NAMED, "--per-minute", "60"), "Nothing narrows the choice"),
        ((*NAMED, "--kind", "hoa_don"), "Say how fast"),
        ((*NAMED, "--kind", "hoa_don", "--per-minute", "0"), "from 1 to"),
        ((*NAMED, "PN1", "--per-minute", "60"), "add --kind"),
        ((*NAMED, "--kind", "hoa_don", "--per-minute", "60"), "nothing to replay"),
        ((*NAMED, "--state", "accepted", "--per-minute", "60"), "--accepted-again"),
        (("replay", "create", "x", "--kind", "hoa_don", "--per-minute", "60"), "add --yes"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_sentence_and_changes_nothing(
    hermes: Roles, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    kept = tmp_path / "kept.csv"
    kept.write_text("of yesterday", encoding="utf-8")
    told = people(hermes, *arguments, code=2)
    assert says in " ".join(told.split())
    assert told.count("\n") == 1
    assert kept.read_text(encoding="utf-8") == "of yesterday"


def test_a_replay_that_is_not_there_is_told_so(hermes: Roles) -> None:
    for step in ("show", "pause", "resume", "abort"):
        assert "Không có đợt gửi lại nào tên x." in people(hermes, "replay", step, "x", code=1)
    assert answer(hermes, "replay", "list") == {"replays": []}
    assert json.loads(hermes.run("refusals", "--json").stdout) == {"groups": [], "complete": True}
    assert "Không có phiếu nào bị từ chối." in people(hermes, "refusals")
    assert "Không có thao tác nào phù hợp." in people(hermes, "audit")
