"""The database a test runs on: an SQLite file of its own, or a database on the SQL Server that the tester names.

Tests that take the fixture `database` (or one built on it) run on both. Without HERMES_TEST_MSSQL_URL those on SQL
Server are reported as not run.
"""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, Connection, Engine, Table, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from app.core.config import load_settings
from app.db import drivers
from app.db.engine import open_engine
from app.db.migrate import upgrade
from app.db.source import create_source_tables
from app.db.tables import LEDGER
from app.documents import SOURCE, DocumentKind

MSSQL_URL = os.environ.get("HERMES_TEST_MSSQL_URL")
"""A SQL Server to test on as well: a SQLAlchemy URL. Read here: tests see no setting of this machine."""

ON_MSSQL = pytest.param(
    "mssql",
    marks=[
        pytest.mark.skipif(not MSSQL_URL, reason="not run on SQL Server: HERMES_TEST_MSSQL_URL is not set"),
        pytest.mark.timeout(600),  # it may be far away, or slow
    ],
)
DATABASES = ["sqlite", ON_MSSQL]
only_sqlite = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
only_mssql = pytest.mark.parametrize("database", [ON_MSSQL], indirect=True)

_SYSTEM = {"master", "msdb", "tempdb", "model"}
_TABLES = text("SELECT TABLE_TYPE AS kind, TABLE_SCHEMA AS owner, TABLE_NAME AS name FROM INFORMATION_SCHEMA.TABLES")
_COLUMNS = text(
    "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, DATA_TYPE, CHARACTER_MAXIMUM_LENGTH, IS_NULLABLE"
    " FROM INFORMATION_SCHEMA.COLUMNS"
)
_TRIGGERS = text("SELECT name FROM sys.triggers")
_DEFAULT_OF = text(
    "SELECT d.name FROM sys.default_constraints d"
    " JOIN sys.columns c ON c.object_id = d.parent_object_id AND c.column_id = d.parent_column_id"
    " WHERE d.parent_object_id = OBJECT_ID(:table) AND c.name = :column"
)


@cache
def _empty_file() -> bytes:
    """Made once, since that takes longer than most tests."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "hermes.db"
        _create_tables(f"sqlite:///{file}")
        return file.read_bytes()


def _create_tables(url: str) -> None:
    engine = open_engine(load_settings(source_database_url=url))
    upgrade(engine)
    create_source_tables(engine)
    engine.dispose()


class SqliteDatabase:
    """A file that does not exist yet."""

    name = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._file = folder / "hermes.db"
        self.url = f"sqlite:///{self._file}"

    def clear(self) -> None:
        """It has nothing in it."""

    def make_ready(self) -> None:
        """Give it ledger and source tables, all empty."""
        self._file.write_bytes(_empty_file())

    def engine(self, _number: int) -> Engine:
        """Connections of its own for one of the test's gateways."""
        return open_engine(load_settings(source_database_url=self.url))

    def give_back(self, engine: Engine) -> None:
        """The test is over."""
        engine.dispose()


class MssqlDatabase:
    """A database made for this run of the tests, and dropped at its end; each test finds it as it asks for it."""

    name = "mssql"

    def __init__(self, given: str) -> None:
        self._given = make_url(given)
        self._own = f"hermes_test_{uuid4().hex[:12]}"
        self._ready: frozenset[tuple[Any, ...]] = frozenset()
        self._engines: list[Engine] = []
        self._url = self._given.set(database=self._own)
        try:
            self.outside(f"CREATE DATABASE {self._own}")
        except DBAPIError as refusal:
            self._url = self._borrowed(refusal)
        self._engine = _engine(self._url)

    def _borrowed(self, refusal: DBAPIError) -> URL:
        """The database of the given address, where no other may be created: only one without any table."""
        if not self._given.database or self._given.database in _SYSTEM:
            raise RuntimeError(f"HERMES_TEST_MSSQL_URL: this login may not create a database: {refusal.orig}")
        engine = _engine(self._given)
        with engine.connect() as connection:
            if connection.execute(_TABLES).first() is not None:
                raise RuntimeError(
                    f"HERMES_TEST_MSSQL_URL: this login may not create a database ({refusal.orig}), and "
                    f"{self._given.database} is not empty: tests would drop what is in it."
                )
        return self._given

    @property
    def url(self) -> str:
        """Its address, password included."""
        return self._url.render_as_string(hide_password=False)

    @property
    def name_on_server(self) -> str:
        """What the server calls it."""
        return str(self._url.database)

    def clear(self) -> None:
        """Drop whatever is in it."""
        with self._engine.begin() as connection:
            _drop_all(connection)

    def make_ready(self) -> None:
        """Leave it with ledger and source tables, all empty: quickly where the last test left them whole."""
        with self._engine.begin() as connection:
            if self._ready and _shape(connection) == self._ready:
                for table in (*reversed(SOURCE.sorted_tables), *LEDGER.sorted_tables):
                    connection.exec_driver_sql(f"DELETE FROM {table.name}")  # noqa: S608
                return
            _drop_all(connection)
        _create_tables(self.url)
        with self._engine.begin() as connection:
            self._ready = _shape(connection)

    def engine(self, number: int) -> Engine:
        """Connections of its own for one of the test's gateways; those of the tests before, as new ones take time."""
        while len(self._engines) <= number:
            self._engines.append(open_engine(load_settings(source_database_url=self.url)))
        return self._engines[number]

    def give_back(self, engine: Engine) -> None:
        """The test is over; the next one goes on with it."""

    def outside(self, *statements: str, database: str = "master") -> None:
        """Run statements on the server by the given login, each in a transaction of its own."""
        engine = _engine(self._given.set(database=database), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    @contextmanager
    def plainly(self) -> Iterator[Any]:
        """A cursor of the driver, each batch in a transaction of its own: as an administrator's tool has it."""
        engine = _engine(self._url, isolation_level="AUTOCOMMIT")
        with closing(engine.raw_connection()) as connection:
            yield connection.cursor()

    def drop(self) -> None:
        """Remove it."""
        for engine in self._engines:
            engine.dispose()
        if self._url.database != self._own:
            self.clear()
            return
        self.outside(f"DROP DATABASE {self._own}")


def _engine(url: URL, **options: Any) -> Engine:
    drivers.register()
    return create_engine(url, poolclass=NullPool, **options)


def _shape(connection: Connection) -> frozenset[tuple[Any, ...]]:
    """Tables, views, columns and triggers: in plain questions, which every server answers quickly."""
    return frozenset(tuple(row) for asked in (_TABLES, _COLUMNS, _TRIGGERS) for row in connection.execute(asked))


def _drop_all(connection: Connection) -> None:
    found = connection.execute(_TABLES).all()
    ours = {table.name.lower(): position for position, table in enumerate(reversed(SOURCE.sorted_tables))}
    # Ours first: they refer to each other in this order, and what tests add does not refer to them.
    for row in sorted(
        found, key=lambda row: (row.kind != "VIEW", ours.get(row.name.lower().removeprefix("their_"), len(ours)))
    ):
        connection.exec_driver_sql(f"DROP {'VIEW' if row.kind == 'VIEW' else 'TABLE'} [{row.owner}].[{row.name}]")


def schema_of(engine: Engine) -> list[tuple[Any, ...]]:
    """All that is in a database: equal when nothing was changed in between."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            return sorted(_shape(connection), key=repr)
        asked = text("SELECT type, name, sql FROM sqlite_master")
        return sorted((tuple(row) for row in connection.execute(asked)), key=repr)


def rename_table(engine: Engine, name: str, new_name: str) -> None:
    """As the customer's DBA would."""
    renamed = f"ALTER TABLE {name} RENAME TO {new_name}"
    with engine.begin() as connection:
        connection.exec_driver_sql(
            renamed if engine.dialect.name == "sqlite" else f"EXEC sp_rename '{name}', '{new_name}', 'OBJECT'"
        )


def drop_column(engine: Engine, table: Table, column: str) -> None:
    """With the indexes and the default that need it."""
    indexes = [index.name for index in table.indexes if column in index.columns]
    with engine.begin() as connection:
        on_table = "" if engine.dialect.name == "sqlite" else f" ON {table.name}"
        for name in indexes:
            connection.exec_driver_sql(f"DROP INDEX {name}{on_table}")
        if engine.dialect.name != "sqlite":
            found = connection.execute(_DEFAULT_OF, {"table": table.name, "column": column})
            for default in found.scalars().all():
                connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP CONSTRAINT [{default}]")
        connection.exec_driver_sql(f"ALTER TABLE {table.name} DROP COLUMN {column}")


def replace_header(engine: Engine, kind: DocumentKind) -> None:
    """Drop a kind's header table, to which its lines refer on SQL Server, for another to be made."""
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {kind.lines.name}")
        connection.exec_driver_sql(f"DROP TABLE {kind.header.name}")
        columns = ", ".join(f"{name} {each.type.compile(engine.dialect)}" for name, each in kind.lines.c.items())
        connection.exec_driver_sql(f"CREATE TABLE {kind.lines.name} ({columns})")


def refuse(engine: Engine, table: str, verb: str, condition: str, says: str) -> None:
    """A trigger of the customer's, `refuse`, that raises where `condition` holds; the row is called `{row}` in it."""
    if engine.dialect.name == "sqlite":
        when = condition.format(row="NEW")
        trigger = f"CREATE TRIGGER refuse BEFORE {verb} ON {table} WHEN {when} BEGIN SELECT RAISE(ABORT, '{says}'); END"
    else:
        where = condition.format(row="i")
        trigger = (
            f"CREATE TRIGGER refuse ON {table} AFTER {verb} AS BEGIN SET NOCOUNT ON;"  # noqa: S608
            f" IF EXISTS (SELECT 1 FROM inserted i WHERE {where}) THROW 50001, '{says}', 1; END"
        )
    with engine.begin() as connection:
        connection.exec_driver_sql(trigger)
