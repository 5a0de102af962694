"""What `hermes check` says of the database: real SQLite files, and SQL Server's own words."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.dialects import mssql
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.types import BIGINT, CHAR, DATE, FLOAT, NVARCHAR, TEXT, TIME, VARCHAR, NullType, TypeEngine, Unicode

from app.core.config import load_settings
from app.db import examine_sql
from app.db.engine import open_engine
from app.db.examine_sql import SqlExamination, suits
from app.db.migrate import latest_version
from app.db.source import columns_of
from app.db.tables import LEDGER
from app.documents import ALL_KINDS, HOA_DON, PHIEU_NHAP
from app.domain.diagnosis import Finding, Verdict
from app.domain.errors import DatabaseUnavailable, RowRefused
from app.wiring import Gateway

WELL = {Verdict.MET}


@pytest.fixture
def engine(open_gateway: Callable[..., Gateway]) -> Engine:
    """A database that has everything."""
    return open_gateway().engine


@pytest.fixture
def examination(engine: Engine) -> SqlExamination:
    return SqlExamination(lambda: engine)


def run(engine: Engine, *statements: str) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))


def one(findings: list[Finding]) -> Finding:
    (found,) = findings
    return found


def everything(examination: SqlExamination) -> list[Finding]:
    """All that is asked of a database."""
    return [
        *examination.database(),
        *examination.ledger(),
        *(each for kind in ALL_KINDS for each in examination.source(kind)),
        *examination.ledger_writes(),
        *(each for kind in ALL_KINDS for each in examination.source_writes(kind)),
        *examination.collation(),
        *examination.indexes(),
    ]


def rows(engine: Engine) -> list[Any]:
    """Everything that is in any table."""
    with engine.connect() as connection:
        names = connection.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        return [(name, connection.execute(text(f'SELECT * FROM "{name}"')).all()) for name in names]  # noqa: S608


def test_a_database_that_has_everything_is_well_and_is_left_as_it_was(
    engine: Engine, examination: SqlExamination, put_headers: Any
) -> None:
    for kind in ALL_KINDS:
        put_headers(engine, kind, ["A1", "A2"])
    before = rows(engine)

    assert {each.verdict for each in everything(examination)} == WELL
    assert rows(engine) == before


def test_a_table_that_is_missing_is_named(engine: Engine, examination: SqlExamination) -> None:
    run(engine, 'DROP TABLE "HoaDonDetail"')
    found = one(examination.source(HOA_DON))
    assert (found.verdict, found.cause, found.values) == (Verdict.FAILED, "source_table", {"table": "HoaDonDetail"})


def test_columns_that_are_missing_are_named(engine: Engine, examination: SqlExamination) -> None:
    run(engine, 'ALTER TABLE "HoaDonHeader" DROP COLUMN note_log', 'ALTER TABLE "HoaDonDetail" DROP COLUMN so_lo')
    found = examination.source(HOA_DON)
    assert [(each.cause, each.values["table"], each.values["columns"]) for each in found] == [
        ("source_column", "HoaDonHeader", "note_log"),
        ("source_column", "HoaDonDetail", "so_lo"),
    ]


def test_a_column_that_may_be_missing_is_mentioned(engine: Engine, examination: SqlExamination) -> None:
    run(engine, 'ALTER TABLE "HoaDonHeader" DROP COLUMN ma_hoa_don_quoc_gia')
    found = one(examination.source(HOA_DON))
    assert (found.verdict, found.cause) == (Verdict.MET, "source_without")
    assert {each.verdict for each in examination.source_writes(HOA_DON)} == WELL


def test_a_column_of_an_unsuitable_type_is_named_with_both_types(engine: Engine, examination: SqlExamination) -> None:
    run(
        engine,
        'ALTER TABLE "PhieuNhapHeader" DROP COLUMN ghi_chu',
        'ALTER TABLE "PhieuNhapHeader" ADD COLUMN ghi_chu INTEGER',
    )
    found = one(examination.source(PHIEU_NHAP))
    assert (found.verdict, found.cause) == (Verdict.FAILED, "source_type")
    assert found.values == {
        "table": "PhieuNhapHeader",
        "column": "ghi_chu",
        "found": "integer",
        "expected": "nvarchar(max)",
    }


UNSUITABLE: list[tuple[str, str, TypeEngine[Any]]] = [
    ("PhieuNhapHeader", "status_phieu", mssql.BIT()),
    ("PhieuNhapHeader", "status_phieu", NVARCHAR(1)),
    ("PhieuNhapHeader", "ma_phieu", BIGINT()),
    ("PhieuNhapHeader", "ma_phieu", mssql.UNIQUEIDENTIFIER()),
    ("PhieuNhapHeader", "ngay_nhap", TIME()),
    ("PhieuNhapHeader", "ngay_nhap", mssql.TIMESTAMP()),
    ("PhieuNhapDetail", "so_luong", VARCHAR(10)),
    ("PhieuNhapDetail", "don_gia", NVARCHAR(20)),
    ("PhieuNhapDetail", "so_lo", mssql.IMAGE()),
]
SUITABLE: list[tuple[str, str, TypeEngine[Any]]] = [
    ("PhieuNhapHeader", "status_phieu", mssql.TINYINT()),
    ("PhieuNhapHeader", "ma_phieu", CHAR(20)),
    ("PhieuNhapHeader", "ngay_nhap", mssql.DATETIMEOFFSET()),
    ("PhieuNhapHeader", "ngay_nhap", mssql.SMALLDATETIME()),
    ("PhieuNhapHeader", "ngay_nhap", DATE()),
    ("PhieuNhapHeader", "ghi_chu", mssql.NTEXT()),
    ("PhieuNhapHeader", "ghi_chu", TEXT()),
    ("PhieuNhapDetail", "don_gia", mssql.MONEY()),
    ("PhieuNhapDetail", "don_gia", FLOAT()),
    ("PhieuNhapDetail", "so_luong", mssql.NUMERIC(18, 0)),
    ("PhieuNhapDetail", "so_luong", NullType()),
]


@pytest.mark.parametrize(
    ("table", "column", "its", "fits"),
    [*((*each, False) for each in UNSUITABLE), *((*each, True) for each in SUITABLE)],
    ids=str,
)
def test_types_of_sql_server_fit_or_do_not(table: str, column: str, its: TypeEngine[Any], fits: bool) -> None:
    expected = {each.name: each for each in (PHIEU_NHAP.header, PHIEU_NHAP.lines)}[table].c[column].type
    assert suits(expected, its) is fits


@pytest.mark.parametrize(
    ("column", "its", "cause"),
    [("note_log", VARCHAR(4000), "type_not_unicode"), ("ma_phieu", VARCHAR(50), "type_not_unicode"),
     ("ngay_nhap", NVARCHAR(10), "type_text_date")],
)  # fmt: skip
def test_types_that_cost_something_on_sql_server_are_warned_of(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, column: str, its: TypeEngine[Any], cause: str
) -> None:
    here = {table.name: columns_of(engine, table.name) or {} for table in (PHIEU_NHAP.header, PHIEU_NHAP.lines)}
    monkeypatch.setattr(examine_sql, "columns_of", lambda _, name: {**here[name], column: its})
    monkeypatch.setattr(engine.dialect, "name", "mssql")
    found = [each for each in SqlExamination(lambda: engine).source(PHIEU_NHAP) if each.values.get("column") == column]
    assert {(each.verdict, each.cause) for each in found} == {(Verdict.WARNING, cause)}


# ---- the ledger ------------------------------------------------------------------------------------------


def test_a_ledger_that_was_never_made_is_named(tmp_path: Path) -> None:
    engine = open_engine(load_settings(source_database_url=f"sqlite:///{tmp_path}/other.db"))
    assert one(SqlExamination(lambda: engine).ledger()).cause == "ledger_missing"
    engine.dispose()


@pytest.mark.parametrize(("version", "cause"), [("9999", "ledger_new")])
def test_a_ledger_of_another_version_is_named(
    engine: Engine, examination: SqlExamination, version: str, cause: str
) -> None:
    run(engine, f"UPDATE hermes_schema_version SET version_num = '{version}'")  # noqa: S608
    found = one(examination.ledger())
    assert (found.cause, found.values["found"]) == (cause, version)


def test_an_older_ledger_is_to_be_upgraded(examination: SqlExamination, monkeypatch: pytest.MonkeyPatch) -> None:
    newest = latest_version()
    monkeypatch.setattr(examine_sql, "latest_version", lambda: "9999")
    found = one(examination.ledger())
    assert (found.cause, found.values) == ("ledger_old", {"found": newest, "wanted": "9999"})


def test_a_ledger_that_was_damaged_is_named(engine: Engine, examination: SqlExamination) -> None:
    run(engine, "DROP TABLE hermes_circuit", "ALTER TABLE hermes_delivery DROP COLUMN deaths")
    assert [each.cause for each in examination.ledger()] == ["ledger_table", "ledger_column"]


# ---- writing ---------------------------------------------------------------------------------------------


@pytest.fixture
def read_only(engine: Engine, database_url: str) -> Iterator[SqlExamination]:
    """The same database, for a login that may only read."""
    file = database_url.removeprefix("sqlite:///")
    url = f"sqlite:///file:{file}?mode=ro&uri=true"
    other = open_engine(load_settings(source_database_url=url))
    yield SqlExamination(lambda: other)
    other.dispose()


def test_a_login_that_may_only_read_is_named_for_every_table(read_only: SqlExamination) -> None:
    assert one(read_only.database()).verdict is Verdict.MET
    found = [*read_only.ledger_writes(), *read_only.source_writes(HOA_DON)]
    assert {(each.verdict, each.cause) for each in found} == {(Verdict.FAILED, "write_readonly")}
    assert {each.values["table"] for each in found} == {*LEDGER.tables, "HoaDonHeader"}


VIEW = (
    'ALTER TABLE "HoaDonHeader" RENAME TO cua_ban',
    'CREATE VIEW "HoaDonHeader" AS SELECT * FROM cua_ban WHERE status_phieu IS NULL OR status_phieu IN (0, 2)',
)
TRIGGER = (
    'CREATE TRIGGER ghi INSTEAD OF UPDATE ON "HoaDonHeader" BEGIN UPDATE cua_ban SET status_phieu = {status}, '
    "note_log = NEW.note_log, ma_hoa_don_quoc_gia = NEW.ma_hoa_don_quoc_gia WHERE ma_hoa_don = NEW.ma_hoa_don; END"
)


@pytest.mark.parametrize(
    ("trigger", "cause"),
    [
        (TRIGGER.format(status="NEW.status_phieu"), "writes"),
        (TRIGGER.format(status="CASE NEW.status_phieu WHEN 1 THEN 1 ELSE 0 END"), "write_lost"),
        (TRIGGER.format(status="RAISE(ABORT, 'khóa sổ')"), "write_refused"),
        (None, "write_view"),
    ],
)
def test_writing_through_a_view_is_tried_with_its_trigger(
    engine: Engine, examination: SqlExamination, put_headers: Any, trigger: str | None, cause: str
) -> None:
    put_headers(engine, HOA_DON, ["HD1"])
    run(engine, *VIEW, *([trigger] if trigger else []))
    before = rows(engine)
    assert one(examination.source(HOA_DON)).verdict is Verdict.MET
    assert one(examination.source_writes(HOA_DON)).cause == cause
    assert rows(engine) == before


def test_a_trigger_of_the_customers_that_refuses_is_named(
    engine: Engine, examination: SqlExamination, put_headers: Any
) -> None:
    put_headers(engine, HOA_DON, ["HD1"])
    run(engine, "CREATE TRIGGER t BEFORE UPDATE ON \"HoaDonHeader\" BEGIN SELECT RAISE(ABORT, 'khóa sổ'); END")
    found = one(examination.source_writes(HOA_DON))
    assert (found.verdict, found.cause) == (Verdict.FAILED, "write_refused")
    assert "khóa sổ" in str(found.values["detail"])


# ---- indexes ---------------------------------------------------------------------------------------------


def test_indexes_that_are_missing_are_warned_of(engine: Engine, examination: SqlExamination) -> None:
    run(
        engine,
        'DROP INDEX "ix_HoaDonHeader_status_phieu"',
        'DROP INDEX "ix_PhieuNhapDetail_ma_phieu"',
        "DROP INDEX ix_hermes_delivery_due",
    )
    source, ledger = examination.indexes()
    assert (source.verdict, source.values) == (
        Verdict.WARNING,
        {"columns": "PhieuNhapDetail (ma_phieu), HoaDonHeader (status_phieu)"},
    )
    assert (ledger.verdict, ledger.values) == (Verdict.WARNING, {"indexes": "ix_hermes_delivery_due"})


def test_another_index_that_begins_alike_is_as_good(engine: Engine, examination: SqlExamination) -> None:
    run(
        engine,
        'DROP INDEX "ix_HoaDonHeader_status_phieu"',
        'CREATE INDEX cua_ho ON "HoaDonHeader" (status_phieu, ngay_ban)',
    )
    assert one(examination.indexes()).cause == "indexes"


def test_a_view_needs_no_index(engine: Engine, examination: SqlExamination) -> None:
    run(engine, 'DROP INDEX "ix_HoaDonHeader_status_phieu"', *VIEW)
    assert one(examination.indexes()).cause == "indexes"


# ---- in SQL Server's words -------------------------------------------------------------------------------


class Words(Exception):
    """What a driver says."""


def said(words: str, kind: type[DBAPIError] = OperationalError) -> DatabaseUnavailable:
    """An error as `engine` would hand it on."""
    try:
        raise kind("SELECT 1", {}, Words(words))
    except DBAPIError as origin:
        error = DatabaseUnavailable("The database cannot be reached: " + words)
        error.__cause__ = origin
        return error


CONNECTING = {
    "(18456, b\"Login failed for user 'sa'.DB-Lib error 20018\\nAdaptive Server connection failed\")": "db_password",
    "[Microsoft][ODBC Driver 18 for SQL Server][SQL Server]Login failed for user 'hermes'.": "db_password",
    "(4060, b'Cannot open database \"DQGG\" requested by the login. The login failed.')": "db_name",
    "Login failed for user 'hermes'. Reason: The password of the account has expired.": "db_password_expired",
    "(20009, b'Unable to connect: Adaptive Server is unavailable or does not exist (sql01)')": "db_unreachable",
    "[Microsoft][ODBC Driver 18 for SQL Server]Login timeout expired": "db_unreachable",
    "TCP Provider: Error code 0x2749": "db_unreachable",
    "TCP Provider: No such host is known.": "db_unreachable",
    "SSL Provider: [error:0A000086:SSL routines::certificate verify failed:self-signed certificate]": "tls_authority",
    "SSL Provider: The certificate chain was issued by an authority that is not trusted.": "tls_authority",
    "SSL Provider: The target principal name is incorrect.": "tls_name",
    "SSL Provider: [error:0A000086:SSL routines::certificate verify failed:certificate has expired]": "tls_expired",
    "something nobody has seen": "db_other",
}


@pytest.mark.parametrize(("words", "cause"), CONNECTING.items(), ids=list(CONNECTING.values()))
def test_what_sql_server_says_to_a_login_is_told_apart(
    examination: SqlExamination, monkeypatch: pytest.MonkeyPatch, words: str, cause: str
) -> None:
    def refuse(*_: Any) -> None:
        raise said(words)

    monkeypatch.setattr(SqlExamination, "_ask", refuse)
    found = one(examination.database())
    assert (found.verdict, found.cause) == (Verdict.FAILED, cause)


WRITING = {
    "(229, b\"The UPDATE permission was denied on the object 'HoaDonHeader', database 'DQG'.\")": "write_denied",
    "The UPDATE permission was denied on the column 'note_log' of the object 'HoaDonHeader'": "write_denied",
    'Failed to update database "DQG" because the database is read-only.': "write_readonly",
    "View or function 'H' is not updatable because the modification affects multiple base tables.": "write_view",
    "Update or insert of view or function 'H' failed because it contains a derived or constant field.": "write_view",
    "The transaction ended in the trigger. The batch has been aborted.": "write_refused",
}


@pytest.mark.parametrize(("words", "cause"), WRITING.items(), ids=list(WRITING.values()))
def test_what_sql_server_says_to_a_write_is_told_apart(
    examination: SqlExamination, monkeypatch: pytest.MonkeyPatch, words: str, cause: str
) -> None:
    def refuse(*_: Any) -> None:
        raise RowRefused(words) from said(words, ProgrammingError)

    monkeypatch.setattr(SqlExamination, "_try", refuse)
    assert one(examination.source_writes(HOA_DON)).cause == cause


def test_codes_that_cannot_be_compared_are_named(examination: SqlExamination, monkeypatch: pytest.MonkeyPatch) -> None:
    words = 'Cannot resolve the collation conflict between "Vietnamese_CI_AS" and "SQL_Latin1_General_CP1_CI_AS"'

    def refuse(*_: Any) -> None:
        raise RowRefused(words) from said(words, ProgrammingError)

    monkeypatch.setattr(SqlExamination, "_ask", refuse)
    found = one(examination.collation())
    assert (found.cause, found.values) == ("collation_conflict", {"column": "PhieuNhapHeader.ma_phieu"})


@pytest.mark.parametrize(("state", "cause"), [(True, "isolation_on"), (0, "isolation_off"), (None, "untold")])
def test_the_state_of_read_committed_snapshot_is_told(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, state: Any, cause: str
) -> None:
    monkeypatch.setattr(engine.dialect, "name", "mssql")
    monkeypatch.setattr(SqlExamination, "_ask", lambda *_: state)
    assert one(SqlExamination(lambda: engine).isolation()).cause == cause


def test_a_server_without_that_catalogue_is_not_blamed(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise said("Invalid object name 'sys.databases'.", ProgrammingError)

    monkeypatch.setattr(engine.dialect, "name", "mssql")
    monkeypatch.setattr(SqlExamination, "_ask", refuse)
    found = one(SqlExamination(lambda: engine).isolation())
    assert (found.verdict, found.cause) == (Verdict.SKIPPED, "untold")


def test_on_sqlite_there_is_neither_a_snapshot_nor_a_clock_of_its_own(examination: SqlExamination) -> None:
    assert one(examination.isolation()).cause == "sql_server_only"
    assert examination.now() is None


def test_the_expected_types_are_written_as_sql_server_writes_them() -> None:
    assert examine_sql._type_name(Unicode(50)) == "nvarchar(50)"
