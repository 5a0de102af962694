"""The ledger's history: what `hermes db upgrade` makes, what `hermes db script` prints, and what is refused."""

import re
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
import sqlglot
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, event, inspect, text
from sqlalchemy.dialects import mssql
from sqlalchemy.schema import CreateTable
from sqlglot import exp

from app.core.config import load_settings
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
from app.domain.errors import HermesError, SchemaError

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


def schema_of(engine: Engine) -> list[Any]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT type, name, sql FROM sqlite_master ORDER BY 2"))]


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


def test_upgrading_leaves_the_source_tables_alone(engine: Engine) -> None:
    create_source_tables(engine)
    before = schema_of(engine)

    upgrade(engine)

    assert [row for row in schema_of(engine) if not row[1].startswith(("hermes_", "ix_hermes_", "sqlite_auto"))] == [
        row for row in before if not row[1].startswith("sqlite_auto")
    ]


def test_two_processes_may_upgrade_at_once(engine: Engine) -> None:
    other = open_engine(load_settings(source_database_url=str(engine.url)))
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


def test_the_migrated_schema_is_the_one_the_statements_are_built_from(engine: Engine) -> None:
    upgrade(engine)
    create_source_tables(engine)

    with engine.connect() as connection:
        options = {"compare_type": True, "include_name": lambda name, kind, _: kind != "table" or name in LEDGER_TABLES}
        assert compare_metadata(MigrationContext.configure(connection, opts=options), LEDGER) == []


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
    current_version(engine)

    assert schema_of(engine) == []


# ---- the scripts for a DBA ------------------------------------------------------------------------------


def batches(script: str) -> list[str]:
    """A script as `sqlcmd` runs it: GO ends a batch."""
    return [batch for batch in re.split(r"(?mi)^\s*GO\s*;?\s*$", script) if batch.strip()]


def parsed(script: str) -> list[exp.Expression]:
    return [each for batch in batches(script) for each in sqlglot.parse(batch, read="tsql") if each is not None]


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
    changed = [each for each in statements if isinstance(each, exp.Update)]
    raised = [each for each in changed if each.this.name == VERSION_TABLE]

    assert written.this.this.name == VERSION_TABLE
    assert [literal.name for literal in written.expression.find_all(exp.Literal)] == ["0001"]
    assert {each.this.name for each in changed} <= {VERSION_TABLE, *LEDGER_TABLES}
    assert isinstance(statements[-1], exp.Commit) or statements[-1] is raised[-1]
    assert len(raised) == int(latest_version()) - 1
    assert raised[-1].expressions[0].expression.name == latest_version()


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_need_no_database_and_are_always_the_same(script: str, dialect: str) -> None:
    assert SCRIPTS[script](dialect) == SCRIPTS[script](dialect)
    assert "CREATE TABLE" in SCRIPTS[script](dialect)


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


def names_of(engine: Engine) -> dict[str, set[str]]:
    """Tables with their columns, and indexes."""
    looked_at = inspect(engine)
    columns = {name: {column["name"] for column in looked_at.get_columns(name)} for name in looked_at.get_table_names()}
    indexes = {str(index["name"]) for name in columns for index in looked_at.get_indexes(name)}
    return {**columns, "indexes": indexes}
