"""The SQL in the how-to pages, executed as it stands there: the worked example of views, the least-privilege login."""

import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, make_url, text

from app.core.config import load_settings
from app.db.engine import open_engine, writing
from app.db.migrate import ledger_script, require_current, upgrade
from app.db.source import SqlSource
from app.documents import ALL_KINDS, HOA_DON
from app.domain.errors import HermesError, RowRefused
from app.wiring import Gateway
from tests.clocks import SettableClock
from tests.databases import MssqlDatabase, SqliteDatabase, only_mssql, only_sqlite

PAGES = Path(__file__).parents[2] / "docs/howto"

THEIR_TABLES = """
CREATE TABLE {s}HoaDon (SoHD nvarchar(50) NOT NULL PRIMARY KEY, CuaHang nvarchar(50), DonThuoc nvarchar(50),
    NgayLap datetime, KhachHang nvarchar(255), NhanVien nvarchar(255), DaKhoa bit);
CREATE TABLE {s}HoaDonCT (ID int NOT NULL PRIMARY KEY, SoHD nvarchar(50), MaHang nvarchar(50), TenHang nvarchar(500),
    Lo nvarchar(50), NSX date, HSD date, DVT nvarchar(50), SoDK nvarchar(50), SL int, Gia decimal(18, 2));
CREATE TABLE {s}DongBo (SoHD nvarchar(50) NOT NULL, TrangThai nchar(1), MaQG nvarchar(250), GhiChu nvarchar(4000))
"""
THEIR_ROWS = [
    "INSERT INTO {s}HoaDon VALUES ('HD1', 'CS01', NULL, '20261102', 'A', 'B', 1)",
    "INSERT INTO {s}HoaDon VALUES ('HD2', 'CS01', NULL, '20261102', 'A', 'B', 1)",
    "INSERT INTO {s}HoaDon VALUES ('OPEN', 'CS01', NULL, '20261102', 'A', 'B', 0)",
    "INSERT INTO {s}HoaDonCT VALUES (1, 'HD1', 'T1', 'Panadol', 'L1', NULL, '20290101', 'H', 'VD', 2, 12500.50)",
    "INSERT INTO {s}DongBo VALUES ('HD2', 'R', NULL, NULL)",
]


def blocks(page: str) -> list[str]:
    """The SQL of a page, block after block, as it is to be executed."""
    written = (PAGES / page).read_text(encoding="utf-8")
    found = re.findall(r"^( *)```sql\n(.*?)^ *```", written, re.M | re.S)
    return [re.sub(rf"^{indent}", "", block, flags=re.M) for indent, block in found]


def run(database: MssqlDatabase, script: str) -> None:
    with database.plainly() as cursor:
        for batch in re.split(r"(?mi)^\s*GO\s*$", script):
            if batch.strip():
                cursor.execute(batch)
                while cursor.nextset():
                    pass


@pytest.fixture
def login(database: MssqlDatabase) -> Iterator[tuple[str, str]]:
    """A name and a password that no login has yet."""
    name = f"hermes_{secrets.token_hex(4)}"
    yield name, f"Aa1_{secrets.token_hex(8)}"
    database.outside(f"DROP LOGIN {name}")


def as_login(database: MssqlDatabase, name: str, password: str) -> str:
    url = make_url(database.url).set(username=name, password=password)
    return url.render_as_string(hide_password=False)


# ---- the least-privilege login --------------------------------------------------------------------------


@only_mssql
def test_the_documented_login_can_do_what_hermes_does_and_nothing_else(
    database: MssqlDatabase, login: tuple[str, str], open_gateway: Callable[..., Gateway]
) -> None:
    name, password = login
    script = next(block for block in blocks("use-sql-server.md") if "CREATE LOGIN" in block)
    script = script.replace("a long random password", password).replace("DQG", database.name_on_server)
    run(database, re.sub(r"\bhermes\b", name, script))
    owner = open_gateway()
    with writing(owner.engine) as connection:
        connection.execute(text("INSERT INTO HoaDonHeader (ma_hoa_don, status_phieu) VALUES ('HD1', 0)"))
    engine = open_engine(load_settings(source_database_url=as_login(database, name, password)))

    require_current(engine)
    ledger = Gateway(
        load_settings(source_database_url=as_login(database, name, password)), clock=SettableClock()
    ).ledger
    assert {kind.name: ledger.discover(kind, 10) for kind in ALL_KINDS} == {
        "phieu_nhap": 0,
        "phieu_xuat": 0,
        "hoa_don": 1,
    }
    with writing(engine) as connection:
        connection.execute(text("UPDATE HoaDonHeader SET status_phieu = 1, note_log = 'x', ma_hoa_don_quoc_gia = 'y'"))
    for forbidden in (
        "DELETE FROM hermes_delivery",
        "UPDATE hermes_audit SET who = 'x'",
        "UPDATE hermes_schema_version SET version_num = 'x'",
        "UPDATE HoaDonHeader SET ma_co_so = 'x'",
        "DELETE FROM HoaDonHeader",
        "INSERT INTO HoaDonHeader (ma_hoa_don) VALUES ('x')",
        "UPDATE HoaDonDetail SET so_lo = 'x'",
        "DROP TABLE hermes_audit",
        "CREATE TABLE theirs (x int)",
    ):
        with pytest.raises(HermesError), writing(engine) as connection:
            connection.execute(text(forbidden))
    engine.dispose()


@only_mssql
def test_the_recommended_indexes_can_be_created_as_they_are_written(
    database: MssqlDatabase, open_gateway: Callable[..., Gateway]
) -> None:
    open_gateway()
    recommended = next(block for block in blocks("use-sql-server.md") if "CREATE INDEX" in block)
    run(database, re.sub(r"CREATE INDEX ix_", "CREATE INDEX documented_", recommended))


# ---- other names, and a status kept elsewhere -----------------------------------------------------------


def write_back(gateway: Gateway, codes: list[str]) -> None:
    """As settling does: one row's outcome after the other's, in one transaction."""
    with writing(gateway.engine) as connection:
        told = text(
            "UPDATE HoaDonHeader SET status_phieu = :status, note_log = :note, ma_hoa_don_quoc_gia = :given"
            " WHERE ma_hoa_don = :code"
        )
        rows = [{"status": 1, "note": f"note {code}", "given": f"QG-{code}", "code": code} for code in codes]
        connection.execute(told, rows)


def shown(engine: Engine) -> list[tuple[object, ...]]:
    asked = "SELECT ma_hoa_don, status_phieu, ma_hoa_don_quoc_gia, note_log FROM HoaDonHeader ORDER BY ma_hoa_don"
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(asked))]


def follow_the_example(gateway: Gateway, their: Callable[[str], list[tuple[object, ...]]]) -> None:
    """What the page promises of its views, and of its trigger."""
    assert SqlSource(gateway.engine).tables(HOA_DON).missing_optional == frozenset()
    assert shown(gateway.engine) == [("HD1", 0, None, None), ("HD2", 2, None, None)]
    assert gateway.ledger.discover(HOA_DON, 10) == 2
    documents = gateway.source.load(HOA_DON, ["HD1", "HD2"])
    assert [line["ma_thuoc"] for line in documents["HD1"].lines] == ["T1"]

    write_back(gateway, ["HD1", "HD2"])

    assert shown(gateway.engine) == [(code, 1, f"QG-{code}", f"note {code}") for code in ("HD1", "HD2")]
    assert sorted(their("DongBo")) == [(code, "S", f"QG-{code}", f"note {code}") for code in ("HD1", "HD2")]


@only_mssql
def test_the_worked_example_of_views_does_on_sql_server_what_the_page_says(
    database: MssqlDatabase, login: tuple[str, str]
) -> None:
    database.clear()
    name, password = login
    run(database, "CREATE SCHEMA ban AUTHORIZATION dbo;\nGO\n" + THEIR_TABLES.format(s="ban."))
    for row in THEIR_ROWS:
        run(database, row.format(s="ban."))
    database.outside(f"CREATE LOGIN {name} WITH PASSWORD = '{password}'")
    example = next(block for block in blocks("fit-your-schema.md") if "CREATE SCHEMA" in block)
    run(database, re.sub(r"(?<=USER )hermes\b|(?<=LOGIN )hermes\b|(?<=TO )hermes(?=;)", name, example))
    # By the DBA, in the user's schema: a script names none.
    run(database, re.sub(r"\b(TABLE|ON|INTO|UPDATE) (hermes_)", r"\1 hermes.\2", ledger_script("mssql")))
    gateway = Gateway(load_settings(source_database_url=as_login(database, name, password)))
    require_current(gateway.engine)
    try:
        with writing(gateway.engine) as connection:
            connection.execute(text("UPDATE HoaDonHeader SET note_log = note_log WHERE ma_hoa_don = 'HD2'"))
    except RowRefused:  # what the page says of servers that do not follow owners into a trigger
        run(database, f"GRANT SELECT, INSERT, UPDATE ON ban.DongBo TO {name};")

    def their(table: str) -> list[tuple[object, ...]]:
        with database.plainly() as cursor:
            return [tuple(row) for row in cursor.execute(f"SELECT * FROM ban.{table}").fetchall()]  # noqa: S608

    follow_the_example(gateway, their)
    gateway.engine.dispose()


SQLITE_EXAMPLE = """
CREATE VIEW HoaDonHeader AS
SELECT h.SoHD AS ma_hoa_don, d.MaQG AS ma_hoa_don_quoc_gia, h.CuaHang AS ma_co_so, h.DonThuoc AS ma_don_thuoc_quoc_gia,
    h.NgayLap AS ngay_ban, h.KhachHang AS ho_ten_khach_hang, h.NhanVien AS ho_ten_nguoi_ban,
    CASE d.TrangThai WHEN 'S' THEN 1 WHEN 'R' THEN 2 WHEN 'E' THEN 3 ELSE 0 END AS status_phieu, d.GhiChu AS note_log
FROM HoaDon AS h LEFT JOIN DongBo AS d ON d.SoHD = h.SoHD WHERE h.DaKhoa = 1;
CREATE VIEW HoaDonDetail AS
SELECT c.ID AS id, c.SoHD AS ma_hoa_don, c.MaHang AS ma_thuoc, c.TenHang AS ten_thuoc, c.Lo AS so_lo,
    c.NSX AS ngay_san_xuat, c.HSD AS han_dung, c.DVT AS don_vi_tinh, NULL AS ham_luong, NULL AS duong_dung,
    NULL AS lieu_dung, c.SoDK AS so_dang_ky, c.SL AS so_luong, c.Gia AS don_gia, c.SL * c.Gia AS thanh_tien,
    1 AS ty_le_quy_doi
FROM HoaDonCT AS c;
CREATE UNIQUE INDEX ix_DongBo_SoHD ON DongBo (SoHD);
CREATE TRIGGER HoaDonHeader_write INSTEAD OF UPDATE ON HoaDonHeader BEGIN
    INSERT INTO DongBo (SoHD, TrangThai, MaQG, GhiChu)
    VALUES (NEW.ma_hoa_don, CASE NEW.status_phieu WHEN 1 THEN 'S' WHEN 2 THEN 'R' WHEN 3 THEN 'E' ELSE 'N' END,
        NEW.ma_hoa_don_quoc_gia, NEW.note_log)
    ON CONFLICT (SoHD) DO UPDATE SET TrangThai = excluded.TrangThai, MaQG = excluded.MaQG, GhiChu = excluded.GhiChu;
END
"""


@only_sqlite
def test_the_worked_example_of_views_works_on_sqlite_as_well(database: SqliteDatabase) -> None:
    gateway = Gateway(load_settings(source_database_url=database.url))
    connection = gateway.engine.raw_connection()
    connection.driver_connection.executescript(THEIR_TABLES.format(s="") + ";" + SQLITE_EXAMPLE)
    connection.driver_connection.executescript(";".join(row.format(s="") for row in THEIR_ROWS))
    connection.close()
    upgrade(gateway.engine)

    def their(table: str) -> list[tuple[object, ...]]:
        with gateway.engine.connect() as reader:
            return [tuple(row) for row in reader.execute(text(f"SELECT * FROM {table}"))]  # noqa: S608

    follow_the_example(gateway, their)
    gateway.engine.dispose()
