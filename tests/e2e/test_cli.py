"""The command as an operator uses it: real processes, a real database, the simulated partner."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import Engine, text

from app.core.config import load_settings
from app.db.engine import open_engine
from simulator.process import SimulatorHandle
from tests.databases import only_sqlite
from tests.e2e.conftest import Roles

LINE = (
    'INSERT INTO "{table}" ({code}, ma_thuoc, ten_thuoc, so_lo, han_dung, so_luong, don_gia, don_vi_tinh) '
    "VALUES (?, 'T1', 'Panadol Extra', 'L1', '2028-01-31', 5, 12500.5, ?)"
)
LONGEST = "Ẩm" * 25


@pytest.fixture
def hermes(make_roles: Callable[..., Roles], partner: SimulatorHandle) -> Roles:
    """The command, on fresh tables."""
    roles = make_roles(api_base_url=partner.url)
    for command in (("db", "upgrade"), ("db", "create-source")):
        done = roles.run(*command)
        assert done.returncode == 0, done.stderr
    return roles


class Source:
    """Plain access to the database, as the customer's own programs have it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def execute(self, statement: str, values: Sequence[Any] = ()) -> Sequence[Any]:
        """Run a statement with a ? for each value; returns its rows."""
        names = [f"v{number}" for number in range(len(values))]
        marks = iter(names)
        named = re.sub(r"\?", lambda _: f":{next(marks)}", statement)
        with self.engine.begin() as connection:
            result = connection.execute(text(named), dict(zip(names, values, strict=True)))
            return result.all() if result.returns_rows else []


@pytest.fixture
def source(database_url: str) -> Iterator[Source]:
    """The customer's side of the test's database."""
    engine = open_engine(load_settings(source_database_url=database_url))
    yield Source(engine)
    engine.dispose()


def receipt(source: Source, code: str, **columns: Any) -> None:
    """A receipt with one good line."""
    values = {"ma_phieu": code, "ma_co_so": "CS1", "ngay_nhap": "2026-11-20 08:30:00", "loai_phieu_nhap": 1}
    _insert(source, "PhieuNhapHeader", {**values, "status_phieu": 0, **columns})
    source.execute(LINE.format(table="PhieuNhapDetail", code="ma_phieu"), (code, "Hộp"))


def _insert(source: Source, table: str, values: dict[str, Any]) -> None:
    marks = ", ".join("?" for _ in values)
    source.execute(f'INSERT INTO "{table}" ({", ".join(values)}) VALUES ({marks})', tuple(values.values()))  # noqa: S608


def header(source: Source, code: str) -> tuple[Any, ...]:
    """status_phieu, national code and note_log of a receipt."""
    row = source.execute(
        'SELECT status_phieu, ma_phieu_nhap_quoc_gia, note_log FROM "PhieuNhapHeader" WHERE ma_phieu = ?', (code,)
    )
    return tuple(row[0])


def answer(roles: Roles, *arguments: str, code: int = 0) -> dict[str, Any]:
    """The JSON object of a command that must end with `code`."""
    done = roles.run(*arguments, "--json")
    assert done.returncode == code, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_sync_sends_each_valid_document_once_and_explains_each_invalid_one(
    hermes: Roles, source: Source, partner: SimulatorHandle
) -> None:
    receipt(source, "PN1")
    receipt(source, "PN2", status_phieu=None)
    receipt(source, "PN3")
    source.execute("UPDATE \"PhieuNhapDetail\" SET so_lo = NULL, so_luong = 0 WHERE ma_phieu = 'PN3'")
    receipt(source, "PN4", status_phieu=1)
    result = answer(hermes, "sync")
    assert result["kinds"]["phieu_nhap"]["accepted"] == 2
    assert result["kinds"]["phieu_nhap"]["rejected"] == 1
    status, national_code, note = header(source, "PN1")
    assert status == 1
    assert national_code in note
    assert header(source, "PN2")[0] == 1
    assert header(source, "PN3")[0] == 3
    assert "Dòng 1: thiếu số lô; Dòng 1: số lượng phải lớn hơn 0" in header(source, "PN3")[2]
    assert header(source, "PN4") == (1, None, None)
    assert answer(hermes, "sync")["total"] == {}
    assert partner.totals() == {**partner.totals(), "documents": 2, "copies": 2, "repeats": 0}


@only_sqlite
def test_rows_that_nobody_expects_neither_crash_nor_block_anything(
    hermes: Roles, source: Source, partner: SimulatorHandle
) -> None:
    """P7."""
    _insert(source, "PhieuNhapHeader", {"ma_phieu": "NULLS"})
    _insert(source, "PhieuXuatHeader", {"ma_phieu": "NULLS"})
    _insert(source, "HoaDonHeader", {"ma_hoa_don": "NULLS"})
    for table, code in (
        ("PhieuNhapDetail", "ma_phieu"),
        ("PhieuXuatDetail", "ma_phieu"),
        ("HoaDonDetail", "ma_hoa_don"),
    ):
        _insert(source, table, {code: "NULLS"})
    _insert(source, "PhieuNhapHeader", {"ma_phieu": "NO-LINES", "ma_co_so": "CS1", "status_phieu": 0})
    receipt(source, LONGEST, ten_co_so_cung_cap="Ữ" * 255, ghi_chu="Ghi chú rất dài. " * 5000)
    receipt(source, "CONTROL\x01\x1b[31m", ghi_chu="a\x00b\x07\r\n\t")
    receipt(source, "'; DROP TABLE PhieuNhapHeader; --")
    receipt(source, "SURROGATE")
    source.execute(
        "UPDATE \"PhieuNhapDetail\" SET ten_thuoc = CAST(X'61EDA08062' AS TEXT) WHERE ma_phieu = 'SURROGATE'"
    )
    source.execute("INSERT INTO \"PhieuNhapHeader\" (ma_phieu, status_phieu) VALUES (CAST(X'EDA080' AS TEXT), 0)")
    receipt(source, "GARBAGE", ngay_nhap="the day before")
    source.execute("UPDATE \"PhieuNhapDetail\" SET so_luong = 'many', don_gia = 1e300 WHERE ma_phieu = 'GARBAGE'")
    receipt(source, "GOOD")
    result = answer(hermes, "sync")
    assert result["total"] == {"accepted": 4, "rejected": 6, "released": 1}
    assert header(source, "GOOD")[0] == header(source, LONGEST)[0] == header(source, "CONTROL\x01\x1b[31m")[0] == 1
    assert "chứa ký tự không hợp lệ" in header(source, "SURROGATE")[2]
    assert "Ngày nhập không hợp lệ: the day before" in header(source, "GARBAGE")[2]
    assert partner.totals()["documents"] == 4
    assert "\x1b" not in hermes.run("show", "phieu_nhap", "CONTROL\x01\x1b[31m").stderr


def test_a_corrected_document_is_sent_when_its_status_is_set_back(
    hermes: Roles, source: Source, partner: SimulatorHandle
) -> None:
    receipt(source, "PN1", ma_co_so=None)
    answer(hermes, "sync")
    assert header(source, "PN1")[0] == 3
    source.execute("UPDATE \"PhieuNhapHeader\" SET ma_co_so = 'CS1', status_phieu = 0 WHERE ma_phieu = 'PN1'")
    assert answer(hermes, "sync")["total"] == {"accepted": 1}
    assert header(source, "PN1")[0] == 1
    assert partner.totals()["copies"] == 1


def test_an_accepted_document_reopened_in_the_source_is_a_new_revision(
    hermes: Roles, source: Source, partner: SimulatorHandle
) -> None:
    """P4."""
    receipt(source, "PN1")
    answer(hermes, "sync")
    source.execute("UPDATE \"PhieuNhapHeader\" SET ghi_chu = ?, status_phieu = 0 WHERE ma_phieu = 'PN1'", ("sửa",))
    answer(hermes, "sync")
    story = answer(hermes, "show", "phieu_nhap", "PN1")
    assert story["delivery"]["revision"] == 2
    keys = {json.dumps(attempt["record"]["request"]["idempotency_key"]) for attempt in story["attempts"]}
    assert len(keys) == 2
    assert partner.totals()["revised_documents"] == 1


def test_a_partner_that_is_down_costs_no_attempt_and_shows_as_waiting(
    make_roles: Callable[..., Roles], hermes: Roles, source: Source, partner: SimulatorHandle
) -> None:
    """P6."""
    receipt(source, "PN1")
    away = make_roles(api_base_url="http://127.0.0.1:9")
    assert answer(away, "sync")["total"] == {"waiting": 1}
    assert header(source, "PN1")[0] == 2
    delivery = answer(hermes, "show", "phieu_nhap", "PN1")["delivery"]
    assert (delivery["state"], delivery["attempts"], delivery["error_code"]) == ("waiting", 0, "connect_failed")
    assert answer(hermes, "retry", "PN1", "--kind", "phieu_nhap", "--yes")["documents"] == 1
    assert answer(hermes, "sync")["total"] == {"accepted": 1}


def test_retry_and_park_move_what_is_selected_and_are_audited(
    make_roles: Callable[..., Roles], hermes: Roles, source: Source, partner: SimulatorHandle
) -> None:
    for number in range(1, 4):
        receipt(source, f"PN{number}", ma_co_so=None if number < 3 else "CS1")
    answer(hermes, "sync")
    receipt(source, "PN0")
    answer(make_roles(api_base_url="http://127.0.0.1:9"), "sync")
    parked = answer(hermes, "park", "PN0", "--kind", "phieu_nhap", "--yes", "--why", "chờ lô", "--who", "trực đêm")
    assert parked["documents"] == 1
    assert header(source, "PN0")[0] == 3
    assert "Tạm gác bởi trực đêm: chờ lô" in header(source, "PN0")[2]
    assert answer(hermes, "retry", "--error", "invalid_document", "--yes")["documents"] == 2
    assert answer(hermes, "retry", "--facility", "CS9", "--yes", code=1)["documents"] == 0
    states = answer(hermes, "status")["kinds"]["phieu_nhap"]["states"]
    assert (states["parked"], states["queued"], states["accepted"]) == (1, 2, 1)
    audit = answer(hermes, "show", "phieu_nhap", "PN0")["audit"]
    assert [(entry["who"], entry["action"], entry["why"]) for entry in audit] == [("trực đêm", "park", "chờ lô")]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("retry", "--yes"), "Nothing narrows the choice"),
        (("retry", "PN1", "--yes"), "add --kind"),
        (("park", "--kind", "hoa_don", "--all"), "No"),
        (("retry", "--state", "accepted", "--yes"), "one by one"),
        (("show", "hoadon", "X"), "Kinds: phieu_nhap, phieu_xuat, hoa_don"),
        (("scan",), "REDIS_HOST"),
    ],
)
def test_wrong_usage_is_refused_with_what_to_do(hermes: Roles, arguments: tuple[str, ...], says: str) -> None:
    done = hermes.run(*arguments)
    assert done.returncode in {1, 2}
    assert says in done.stderr or "Không có phiếu nào phù hợp" in done.stderr
    assert "Traceback" not in done.stderr


def test_validate_tells_what_would_be_refused_and_changes_nothing(
    hermes: Roles, source: Source, partner: SimulatorHandle
) -> None:
    receipt(source, "PN1")
    receipt(source, "PN2", ma_co_so=" ", loai_phieu_nhap=None)
    found = answer(hermes, "validate", code=1)
    assert found["documents"] == 2
    assert [fault["message"] for fault in found["invalid"][0]["faults"]] == ["thiếu mã cơ sở", "thiếu loại phiếu nhập"]
    assert answer(hermes, "status")["kinds"]["phieu_nhap"]["to_send"] == 2
    assert partner.stats()["requests"].get("phieu_nhap", 0) == 0


def test_check_passes_when_all_is_there_and_names_each_thing_that_is_not(
    make_roles: Callable[..., Roles], hermes: Roles, tmp_path: Path
) -> None:
    good = answer(hermes, "check")
    assert good["ok"] is True
    assert [step["ok"] for step in good["steps"]] == [True] * 6 + [None, None, True]
    bad = make_roles(
        api_base_url="http://127.0.0.1:9",
        source_database_url=f"sqlite:///{tmp_path}/empty.db",
        redis_url="redis://127.0.0.1:9/0",
        broker_timeout_seconds=1,
        mongo_uri="mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=500",
    )
    found = answer(bad, "check", code=1)
    assert found["ok"] is False
    assert [step["ok"] for step in found["steps"]] == [True, True, False, False, False, False, False, False, False]
    assert all(step["remedy"] for step in found["steps"] if step["ok"] is False)
    wrong = make_roles(api_base_url=hermes_url(hermes), api_password="wrong")
    assert answer(wrong, "check", code=1)["steps"][-1]["ok"] is False


@pytest.mark.parametrize("driver", ["pymssql", "mssqlpython"])
def test_check_names_a_server_that_is_not_there_and_asks_it_nothing_more(
    make_roles: Callable[..., Roles], partner: SimulatorHandle, driver: str
) -> None:
    roles = make_roles(
        api_base_url=partner.url,
        source_database_url=f"mssql+{driver}://sa:secret@127.0.0.1:9/DQG",
        db_connect_timeout_seconds=2,
    )
    done = roles.run("check", "--json")
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stdout + done.stderr
    steps = json.loads(done.stdout)["steps"]
    assert [step["ok"] for step in steps] == [True, False, None, None, None, None, None, None, True]
    assert "MSSQL_SERVER" in steps[1]["remedy"]


def hermes_url(roles: Roles) -> str:
    """The partner's address as these roles know it."""
    return roles.environment["API_BASE_URL"]


def test_two_processes_may_create_the_ledger_at_once(make_roles: Callable[..., Roles]) -> None:
    roles = make_roles(api_base_url="http://127.0.0.1:9")
    both = [roles.start(f"upgrade{number}", "app", "db", "upgrade") for number in range(2)]
    assert [each.wait(timeout=90) for each in both] == [0, 0], roles.log("upgrade0") + roles.log("upgrade1")


def test_a_missing_ledger_and_a_missing_setting_end_with_one_sentence(make_roles: Callable[..., Roles]) -> None:
    done = make_roles(api_base_url="http://127.0.0.1:9").run("sync", "--json")
    assert (done.returncode, done.stdout) == (3, "")
    assert "hermes db upgrade" in done.stderr
    done = make_roles(api_base_url="").run("sync")
    assert done.returncode == 2
    assert "API_BASE_URL is not set" in done.stderr
    assert "Traceback" not in done.stderr


def test_persons_names_and_the_password_are_in_no_output_and_no_log_row(
    make_roles: Callable[..., Roles], hermes: Roles, source: Source, partner: SimulatorHandle
) -> None:
    """P9, even when the partner quotes them."""
    partner.set_faults(
        [
            {
                "fault": "status",
                "status": 400,
                "body": {"mess": "Khách NGUYỄN THỊ BÍ MẬT không hợp lệ, mật khẩu s3cretpass"},
            }
        ]
    )
    _insert(
        source,
        "HoaDonHeader",
        {"ma_hoa_don": "HD1", "ma_co_so": "CS1", "ngay_ban": "2026-11-20", "ho_ten_khach_hang": "Nguyễn Thị Bí Mật"},
    )
    source.execute(LINE.format(table="HoaDonDetail", code="ma_hoa_don"), ("HD1", "Hộp"))
    secretive = make_roles(api_base_url=partner.url, api_password="s3cretpass")
    done = secretive.run("sync", "--json")
    shown = secretive.run("show", "hoa_don", "HD1", "--json")
    rows = source.execute("SELECT record FROM hermes_attempt")
    notes = source.execute('SELECT note_log FROM "HoaDonHeader"')
    everything = f"{done.stdout}{done.stderr}{shown.stdout}{rows}{notes}".lower()
    assert "bí mật" not in everything
    assert "s3cretpass" not in everything
    assert "b*** m***" in everything


def test_the_demo_proves_itself(make_roles: Callable[..., Roles], tmp_path: Path) -> None:
    done = make_roles().run("demo", "--documents", "60")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓" in done.stdout
    assert (tmp_path / "var/demo/hermes.log").is_file()


def test_the_demo_proves_itself_when_the_partner_misbehaves(make_roles: Callable[..., Roles]) -> None:
    done = make_roles().run("demo", "--documents", "90", "--faults", "some")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✓" in done.stdout


def test_samples_fill_empty_tables_of_a_simulated_partner_once(hermes: Roles, source: Source) -> None:
    assert hermes.run("db", "create-samples", "--documents", "30").returncode == 0
    assert source.execute('SELECT count(*) FROM "HoaDonHeader"') == [(10,)]
    again = hermes.run("db", "create-samples")
    assert again.returncode == 0
    assert "không thêm phiếu mẫu" in again.stderr
    assert source.execute('SELECT count(*) FROM "HoaDonHeader"') == [(10,)]


def test_samples_are_kept_from_a_partner_that_is_real_or_away(
    hermes: Roles, make_roles: Callable[..., Roles], source: Source
) -> None:
    """What is made up must not reach anybody in earnest."""
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as real:
        Thread(target=real.serve_forever, daemon=True).start()
        refused = make_roles(api_base_url=f"http://127.0.0.1:{real.server_port}").run("db", "create-samples")
        real.shutdown()
    away = make_roles(api_base_url="http://127.0.0.1:9").run("db", "create-samples")
    assert (refused.returncode, away.returncode) == (2, 3)
    assert "not a simulated partner" in refused.stderr
    assert "does not answer" in away.stderr
    assert source.execute('SELECT count(*) FROM "HoaDonHeader"') == [(0,)]
