"""The ledger's history: what `hermes db upgrade` makes, what `hermes db script` prints, and what is refused."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import sqlglot
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, event, inspect, text
from sqlalchemy.dialects import mssql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable
from sqlglot import exp

from app.core.config import load_settings
from app.db import migrate
from app.db.engine import open_engine
from app.db.migrate import (
    DIALECTS,
    VERSION_TABLE,
    current_version,
    latest_version,
    ledger_script,
    require_current,
    source_script,
    upgrade,
)
from app.db.source import SqlSource, create_source_tables
from app.db.tables import LEDGER
from app.documents import PHIEU_NHAP, SOURCE
from app.domain.errors import HermesError, InputError, SchemaError
from tests.databases import MssqlDatabase, only_mssql, only_sqlite, schema_of

LEDGER_TABLES = set(LEDGER.tables)
SCRIPTS: dict[str, Callable[[str], str]] = {"ledger": ledger_script, "source": source_script}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """An engine on a database without any table."""
    engine = open_engine(load_settings(source_database_url=database_url))
    yield engine
    engine.dispose()


def say_version(engine: Engine, version: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = :version"), {"version": version})  # noqa: S608


# ---- upgrading ------------------------------------------------------------------------------------------


def test_an_empty_database_gets_the_whole_ledger_and_nothing_else(engine: Engine) -> None:
    upgrade(engine)

    assert set(inspect(engine).get_table_names()) == LEDGER_TABLES | {VERSION_TABLE}
    assert all(name.startswith("hermes_") for name in inspect(engine).get_table_names())
    assert current_version(engine) == latest_version()
    require_current(engine)


def test_upgrading_again_changes_nothing(engine: Engine) -> None:
    upgrade(engine)
    before = schema_of(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO hermes_heartbeat VALUES ('scan:hoa_don', '2026-03-14 02:00:00.000000')"))

    upgrade(engine)

    assert schema_of(engine) == before
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM hermes_heartbeat")) == 1


@only_sqlite
def test_what_analyze_found_is_not_forgotten_by_an_upgrade(engine: Engine) -> None:
    upgrade(engine)
    known = text("SELECT idx, stat FROM sqlite_stat1 WHERE tbl = 'hermes_delivery' ORDER BY idx")
    with engine.begin() as connection:
        assert len(connection.execute(known).all()) == 5
        connection.execute(text("DELETE FROM sqlite_stat1"))
        connection.execute(
            text("INSERT INTO sqlite_stat1 VALUES ('hermes_delivery', 'ix_hermes_delivery_due', '9 3 1')")
        )

    upgrade(engine)

    with engine.connect() as connection:
        assert [tuple(row) for row in connection.execute(known)] == [("ix_hermes_delivery_due", "9 3 1")]


def test_upgrading_leaves_the_source_tables_alone(engine: Engine) -> None:
    create_source_tables(engine)
    before = schema_of(engine)

    upgrade(engine)

    ours = ("hermes_", "ix_hermes_", "sqlite_auto", "sqlite_stat")
    assert [row for row in schema_of(engine) if not any(str(part).startswith(ours) for part in row)] == [
        row for row in before if not any(str(part).startswith("sqlite_auto") for part in row)
    ]


def test_two_processes_may_upgrade_at_once(engine: Engine) -> None:
    other = open_engine(load_settings(source_database_url=engine.url.render_as_string(hide_password=False)))
    for each in (engine, other):
        each.connect().close()  # the file is there
    barrier = Barrier(2)

    def run(mine: Engine) -> None:
        barrier.wait(timeout=30)
        upgrade(mine)

    with ThreadPoolExecutor(2) as threads:
        for done in [threads.submit(run, each) for each in (engine, other)]:
            done.result()
    other.dispose()

    assert set(inspect(engine).get_table_names()) == LEDGER_TABLES | {VERSION_TABLE}


BUSY_AT_FIRST = {
    "upgrade": upgrade,
    "current_version": current_version,
    "create_source_tables": create_source_tables,
    "SqlSource.tables": lambda engine: SqlSource(engine).tables(PHIEU_NHAP),
}


@only_sqlite
@pytest.mark.parametrize("start", BUSY_AT_FIRST)
def test_a_database_that_is_busy_for_a_moment_is_asked_again_when_a_process_starts(engine: Engine, start: str) -> None:
    """Two processes that open a new SQLite file at once: one may be told at once that it is locked."""
    if start == "SqlSource.tables":
        create_source_tables(engine)
        engine.dispose()
    busy = [sqlite3.OperationalError("database is locked")]

    def connect(*_: Any) -> None:
        if busy:
            raise busy.pop()

    event.listen(engine, "do_connect", connect)

    BUSY_AT_FIRST[start](engine)
    assert not busy


@only_sqlite  # Alembic asks SQL Server's catalogue for more than compatible servers have
def test_the_migrated_schema_is_the_one_the_statements_are_built_from(engine: Engine) -> None:
    upgrade(engine)
    create_source_tables(engine)

    with engine.connect() as connection:
        options = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or name in LEDGER_TABLES}
        try:
            found = compare_metadata(MigrationContext.configure(connection, opts=options), LEDGER)
        except DBAPIError as error:
            pytest.skip(f"this server does not tell of its indexes what Alembic asks: {error.orig}")
        assert found == []


def test_the_printed_ledger_is_the_one_the_statements_are_built_from() -> None:
    """What alembic does not compare on SQLite: lengths, nullability and keys, as SQL Server has them."""
    printed = {
        each.this.this.name: parts_of(each.this)
        for each in parsed(ledger_script("mssql"))
        if isinstance(each, exp.Create) and each.kind == "TABLE"
    }
    for each in parsed(ledger_script("mssql")):
        if isinstance(each, exp.Alter):
            printed[each.this.name] |= {added.sql(dialect="tsql") for added in each.args["actions"]}

    for table in LEDGER.sorted_tables:
        wanted = sqlglot.parse_one(str(CreateTable(table).compile(dialect=mssql.dialect())), read="tsql").this
        assert printed[table.name] == parts_of(wanted)


def parts_of(schema: exp.Expression) -> set[str]:
    """Columns and constraints of a CREATE TABLE, as text."""
    return {part.sql(dialect="tsql") for part in schema.expressions}


def test_a_ledger_of_the_first_version_is_upgraded_with_what_it_holds(engine: Engine) -> None:
    """What failed is known to have failed, and what is refused is grouped by its error code."""
    with engine.begin() as connection:
        config = migrate._config(connection=connection)
        command.upgrade(config, "0001")
        moment = "2026-03-14 02:00:00.000000"
        for code, state, attempts, error in (
            ("SMOOTH", "accepted", 1, None),
            ("TWICE", "accepted", 2, None),
            ("REFUSED", "rejected", 1, "refused"),
            ("WAITING", "waiting", 1, "timeout"),
            ("NEW", "queued", 0, None),
        ):
            connection.execute(
                text(
                    "INSERT INTO hermes_delivery (kind, code, facility, state, attempts, revision, deaths, uncertain, "
                    "error_code, first_seen_at, updated_at) VALUES ('hoa_don', :code, 'CS1', :state, :attempts, 1, 0, "
                    "0, :error, :moment, :moment)"
                ),
                {"code": code, "state": state, "attempts": attempts, "error": error, "moment": moment},
            )

    upgrade(engine)

    require_current(engine)
    with engine.connect() as connection:
        failed = "CASE WHEN failed_at = updated_at THEN 1 ELSE 0 END AS failed"
        found = connection.execute(text(f"SELECT code, {failed}, cause FROM hermes_delivery"))  # noqa: S608
        assert {row.code: (row.failed == 1, row.cause) for row in found} == {
            "SMOOTH": (False, None),
            "TWICE": (True, None),
            "REFUSED": (True, "refused"),
            "WAITING": (True, None),
            "NEW": (False, None),
        }


# ---- what this program works with -----------------------------------------------------------------------


def test_a_database_without_ledger_is_refused_with_what_to_do(engine: Engine) -> None:
    assert current_version(engine) is None
    with pytest.raises(SchemaError, match=r"not in this database yet\. Run: hermes db upgrade$"):
        require_current(engine)


def test_a_ledger_newer_than_the_program_is_refused_with_what_to_do(engine: Engine) -> None:
    upgrade(engine)
    say_version(engine, "9999")

    with pytest.raises(SchemaError, match=r"^The ledger has version 9999, which is newer .* Upgrade the program\.$"):
        require_current(engine)


def test_upgrading_a_ledger_newer_than_the_program_is_refused_with_what_to_do(engine: Engine) -> None:
    upgrade(engine)
    say_version(engine, "9999")
    before = schema_of(engine)

    with pytest.raises(HermesError, match="newer"):
        upgrade(engine)
    assert schema_of(engine) == before


def test_asking_for_the_version_changes_nothing(engine: Engine) -> None:
    before = schema_of(engine)

    current_version(engine)

    assert schema_of(engine) == before


# ---- the scripts for a DBA ------------------------------------------------------------------------------


def batches(script: str) -> list[str]:
    """A script as `sqlcmd` runs it: GO ends a batch."""
    return [batch for batch in re.split(r"(?mi)^\s*GO\s*;?\s*$", script) if batch.strip()]


def parsed(script: str) -> list[exp.Expression]:
    """What a script does; what guards it (SET, IF, RAISERROR) runs on a server below."""
    done = re.sub(r"SET XACT_ABORT ON;|IF @@TRANCOUNT = 0 RETURN;|(?s:\nIF .*?END;)", "", script)
    return [each for batch in batches(done) for each in sqlglot.parse(batch, read="tsql") if each is not None]


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_for_sql_server_is_sql_that_sql_server_reads(script: str) -> None:
    statements = parsed(SCRIPTS[script]("mssql"))
    tables = LEDGER_TABLES | {VERSION_TABLE} if script == "ledger" else {table.name for table in SOURCE.sorted_tables}

    # What sqlglot does not understand it keeps as a bare Command.
    assert [each.sql() for each in statements if isinstance(each, exp.Command)] == []
    created = [each.find(exp.Table) for each in statements if isinstance(each, exp.Create) and each.kind == "TABLE"]
    assert {table.name for table in created if table is not None} == tables


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_for_sql_server_keeps_all_text_as_unicode(script: str) -> None:
    """A Vietnamese letter in a varchar becomes a question mark, and an index on it is not used."""
    written = SCRIPTS[script]("mssql")
    # Alembic's own table holds its version numbers, plain ASCII.
    ours = re.sub(rf"CREATE TABLE {VERSION_TABLE} \(.*?\);", "", written, flags=re.DOTALL)

    assert "NVARCHAR(50)" in ours
    assert "NVARCHAR(max)" in ours
    assert not re.search(r"\bN?TEXT\b|\bVARCHAR|\bN?CHAR\b", ours, re.IGNORECASE)


def test_moments_of_the_ledger_are_datetime2() -> None:
    """datetime rounds to 3 milliseconds: a claim would not find its own `sent_at` again."""
    moments = set(
        re.findall(r"^\s+\[?(\w+_at|\w+_until|at|hour)\]? (\w+(?:\(\d\))?)", ledger_script("mssql"), re.MULTILINE)
    )

    assert {("due_at", "DATETIME2(6)"), ("at", "DATETIME2(6)")} <= moments
    assert {kind for _, kind in moments} == {"DATETIME2(6)"}


def test_the_script_of_the_ledger_notes_its_version() -> None:
    statements = parsed(ledger_script("mssql"))
    written = next(each for each in statements if isinstance(each, exp.Insert))
    updates = [each for each in statements if isinstance(each, exp.Update)]
    raised = [each for each in updates if each.this.name == VERSION_TABLE]

    assert written.this.this.name == VERSION_TABLE
    assert [literal.name for literal in written.expression.find_all(exp.Literal)] == ["0001"]
    assert raised[-1].expressions[0].expression.name == latest_version()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_need_no_database_and_are_always_the_same(script: str, dialect: str) -> None:
    assert SCRIPTS[script](dialect) == SCRIPTS[script](dialect)
    assert "CREATE TABLE" in SCRIPTS[script](dialect)


@only_sqlite
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_for_sqlite_makes_what_the_command_makes(engine: Engine, script: str) -> None:
    by_hand = open_engine(load_settings(source_database_url="sqlite:///by_hand.db"))
    connection = by_hand.raw_connection()
    connection.driver_connection.executescript(SCRIPTS[script]("sqlite"))  # type: ignore[union-attr]
    connection.close()
    upgrade(engine) if script == "ledger" else create_source_tables(engine)

    assert names_of(by_hand) == names_of(engine)
    if script == "ledger":
        require_current(by_hand)
    by_hand.dispose()


@only_mssql
@pytest.mark.parametrize("script", SCRIPTS)
def test_the_script_for_sql_server_makes_what_the_command_makes(
    database: MssqlDatabase, engine: Engine, script: str
) -> None:
    assert by_hand(database, SCRIPTS[script]("mssql")) == []
    printed = schema_of(engine)
    if script == "ledger":
        require_current(engine)
    database.clear()
    upgrade(engine) if script == "ledger" else create_source_tables(engine)

    assert schema_of(engine) == printed


@only_mssql
def test_the_script_of_the_ledger_changes_nothing_where_there_is_a_ledger_or_another_version(
    database: MssqlDatabase, engine: Engine
) -> None:
    upgrade(engine)
    say_version(engine, "0000")
    before = schema_of(engine)

    assert "already" in by_hand(database, ledger_script("mssql"))[0]
    assert "not of version 0001" in by_hand(database, ledger_script("mssql", "0001"))[0]
    assert schema_of(engine) == before
    assert current_version(engine) == "0000"


@only_mssql
def test_the_script_of_the_ledger_leaves_nothing_behind_when_one_of_its_batches_fails(
    database: MssqlDatabase, engine: Engine
) -> None:
    """Whoever runs it may go on after an error, as sqlcmd does."""
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE hermes_audit (id INT)"))
    before = schema_of(engine)

    assert by_hand(database, ledger_script("mssql"))
    assert schema_of(engine) == before


def by_hand(database: MssqlDatabase, script: str) -> list[str]:
    """Run a script batch after batch, on one connection, whatever fails; returns what failed."""
    said: list[str] = []
    with database.plainly() as cursor:
        for batch in batches(script):
            try:
                cursor.execute(batch)
                while cursor.nextset():
                    pass
            except Exception as error:  # noqa: BLE001  each driver has its own
                said.append(str(error))
    return said


def test_there_is_no_script_from_a_version_that_never_was() -> None:
    with pytest.raises(InputError, match=r"no version 7 .* Versions: 0001"):
        ledger_script("mssql", "7")


def test_the_script_from_the_latest_version_on_changes_nothing() -> None:
    assert "CREATE" not in ledger_script("mssql", latest_version())
    assert not ledger_script("sqlite", latest_version()).strip()


def names_of(engine: Engine) -> dict[str, set[str]]:
    """Tables with their columns, and indexes."""
    looked_at = inspect(engine)
    columns = {name: {column["name"] for column in looked_at.get_columns(name)} for name in looked_at.get_table_names()}
    indexes = {str(index["name"]) for name in columns for index in looked_at.get_indexes(name)}
    return {**columns, "indexes": indexes}
