"""The SQL engine: one per process, and how its errors are told apart.

SQLite and SQL Server run the same statements. Two things differ and are dealt with here: SQLite transactions
that write start with BEGIN IMMEDIATE (an upgrade from read to write fails at once instead of waiting), and
SQLite text that is no UTF-8 is read with its broken bytes escaped, so that one bad row stays one bad row.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import stamina
from sqlalchemy import URL, Connection, Engine, Row, create_engine, event
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    InterfaceError,
    NoSuchTableError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.sql import Executable

from app.core.config import Settings
from app.db import drivers
from app.domain.errors import ConfigError, DatabaseUnavailable, RowRefused, SchemaError

P = ParamSpec("P")
T = TypeVar("T")

MOST_PARAMETERS = 1000
"""Codes bound in one statement; SQL Server takes 2,100 parameters in all."""

_LOGIN_TIMEOUT = 103
"""ODBC's SQL_ATTR_LOGIN_TIMEOUT."""

_READ_ONLY = "hermes_read_only"
_SQLITE_BUSY_SECONDS = 30
_MISSING_OBJECT = re.compile(
    r"no such table|no such column|no column named|Invalid object name|Invalid column name", re.I
)
# A deadlock's victim, a conflict of versions, a lock waited for too long, a database that is moving (Azure), a session
# that was ended; by number, SQLSTATE or words, as each driver has it.
_TRANSIENT = re.compile(
    r"\b(1205|1222|3960|40001|40197|40501|40613|41302|41305|49918|49919|49920)\b|deadlock|serialization failure"
    r"|kill state|terminating connection|database is locked|database table is locked",
    re.I,
)

_REFUSED_BY_SERVER = re.compile(r"DB-Lib error message 20018, severity 1[1-6]\b")
"""pymssql calls most errors operational: these severities are about what was asked, not about the server."""


def open_engine(settings: Settings) -> Engine:
    """An engine for the configured database; connects on first use."""
    url = settings.database_url
    return _sqlite_engine(url) if url.get_backend_name() == "sqlite" else _mssql_engine(url, settings)


def _sqlite_engine(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        with translated():
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(
        url, hide_parameters=True, connect_args={"timeout": _SQLITE_BUSY_SECONDS, "check_same_thread": False}
    )

    @event.listens_for(engine, "connect")
    def _on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        connection.execute("PRAGMA journal_mode=WAL")
        # An outcome that was written must survive a power cut, or what was accepted would be sent again (P4).
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _on_begin(connection: Connection) -> None:
        if not connection.get_execution_options().get(_READ_ONLY):
            connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _mssql_engine(url: URL, settings: Settings) -> Engine:
    driver = url.get_driver_name()
    connect, query = settings.db_connect_timeout_seconds, settings.db_query_timeout_seconds
    options: dict[str, Any] = {"pool_pre_ping": True, "pool_recycle": 1800, "hide_parameters": True}
    if driver == "pyodbc":
        options |= {"connect_args": {"timeout": connect}}
    elif driver == "pymssql":
        options |= {"connect_args": {"login_timeout": connect, "timeout": query}}
    else:
        options |= {"connect_args": {"timeout": query, "attrs_before": {_LOGIN_TIMEOUT: connect}}}
    drivers.register()
    try:
        engine = create_engine(url, **options)
    except ImportError as error:
        raise ConfigError(
            f"The database driver {driver} cannot be loaded: {error}. Install the libraries it needs "
            "(docs/howto/use-sql-server.md), or use the default driver: leave MSSQL_DRIVER empty."
        ) from error
    if driver == "pyodbc":

        @event.listens_for(engine, "connect")
        def _on_connect(connection: Any, _record: Any) -> None:
            connection.timeout = query

    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A connection for SELECTs only: takes no write lock, commits nothing."""
    with translated(), _connected(engine) as connection:
        yield connection.execution_options(**{_READ_ONLY: True})


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed at the end, rolled back by any error."""
    with translated(), _connected(engine) as connection, connection.begin():
        try:
            yield connection
        except DBAPIError:
            # On the server it may have ended the transaction, of which the driver may know nothing: a rollback could
            # fail, or end another one. Closing the connection ends all there is.
            connection.invalidate()
            raise


@contextmanager
def trying(engine: Engine) -> Iterator[Connection]:
    """One transaction that is rolled back at its end: to see what would happen."""
    with translated(), _connected(engine) as connection:
        transaction = connection.begin()
        try:
            yield connection
        finally:
            transaction.rollback()


def _connected(engine: Engine) -> Connection:
    """A connection. One that was lost is worth a second try at once; one that does not come about is not."""
    try:
        return engine.connect()
    except DBAPIError as error:
        if _TRANSIENT.search(str(error.orig)):
            raise
        raise DatabaseUnavailable(f"The database cannot be reached: {_first_line(error)}") from error


def fetch(connection: Connection, statement: Executable, bound: Mapping[str, Any] | None = None) -> Sequence[Row[Any]]:
    """All rows of a SELECT; broken UTF-8 in SQLite comes back with surrogates instead of an error."""
    try:
        return connection.execute(statement, bound).all()
    except OperationalError as error:
        if "Could not decode to UTF-8" not in str(error):
            raise
    raw = connection.connection.dbapi_connection
    assert raw is not None  # noqa: S101  we hold an open connection
    raw.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
    try:
        return connection.execute(statement, bound).all()
    finally:
        raw.text_factory = str


@contextmanager
def translated() -> Iterator[None]:
    """Turn what the driver raises into what an operator can act on. Transient errors pass for `patiently`."""
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseUnavailable("No free database connection.") from error
    except DBAPIError as error:
        if is_transient(error):
            raise
        message = _first_line(error)
        if _MISSING_OBJECT.search(message):
            raise SchemaError(f"{message}. Run: hermes db upgrade; then: hermes check.") from error
        if isinstance(error, OperationalError | InterfaceError) and not _REFUSED_BY_SERVER.search(str(error.orig)):
            raise DatabaseUnavailable(f"The database does not answer as it should: {message}") from error
        if isinstance(error, IntegrityError):
            raise  # somebody was faster, or a constraint: the caller knows
        raise RowRefused(f"The database refuses a row: {message}") from error
    except NoSuchTableError:
        raise  # an answer to a question about the schema
    except (SQLAlchemyError, OSError) as error:
        raise DatabaseUnavailable(f"The database cannot be reached: {_first_line(error)}") from error


def patiently(function: Callable[P, T]) -> Callable[P, T]:
    """Repeat a whole transaction when it was a deadlock's victim, found the database locked or lost its
    connection: a few times within seconds. Every ledger transaction is safe to repeat: its guards see what
    an unnoticed commit did."""
    retrying = stamina.retry(on=is_transient, attempts=6, timeout=20.0, wait_initial=0.05, wait_max=2.0)(function)

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return retrying(*args, **kwargs)
        except DBAPIError as error:
            if is_transient(error):
                raise DatabaseUnavailable(f"The database stayed busy or broken: {_first_line(error)}") from error
            raise

    return run


def is_transient(error: Exception) -> bool:
    """Whether the same transaction may succeed in a moment."""
    if not isinstance(error, DBAPIError) or isinstance(error, IntegrityError):
        return False  # what a constraint quotes may look like the number of an error
    return bool(error.connection_invalidated or _TRANSIENT.search(str(error.orig)))


def _first_line(error: Exception) -> str:
    origin = getattr(error, "orig", None) or error
    text = str(origin).strip()
    return text.splitlines()[0][:300] if text else type(origin).__name__
