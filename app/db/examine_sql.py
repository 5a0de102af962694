"""What `hermes check` asks the database: is it the right one, is everything there, may Hermes write?

Nothing here changes anything: writes are tried in transactions that are rolled back. What only SQL Server can tell is
asked of views it has had since 2016, and a server that has no such view is not blamed for it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Table,
    column,
    delete,
    func,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy import (
    table as table_named,
)
from sqlalchemy.dialects import mssql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import Executable
from sqlalchemy.types import (
    CHAR,
    TEXT,
    VARCHAR,
    Boolean,
    Date,
    DateTime,
    Float,
    Integer,
    NullType,
    Numeric,
    String,
    TypeEngine,
)

from app.core.tls import full_text, tls_fault
from app.db.engine import fetch, patiently, reading, trying
from app.db.migrate import current_version, is_known, latest_version
from app.db.source import columns_of, is_unicode, line_columns
from app.db.tables import (
    LEDGER,
    UtcDateTime,
    attempt,
    circuit,
    delivery,
    heartbeat,
    link,
    replay,
    replay_item,
    tally,
    token,
    user,
)
from app.documents import ALL_KINDS, DocumentKind
from app.domain.diagnosis import Finding, failed, met, skipped, warning
from app.domain.errors import ConfigError, InfrastructureError
from app.domain.states import SourceStatus

_NUMBERS = (Integer, Numeric, Float, mssql.MONEY, mssql.SMALLMONEY)
_NOWHERE = "hermes-check"
"""A kind that no document has."""

_UNREACHABLE = {
    "db_name": r"cannot open database|\(4060,",
    "db_password_expired": r"password.*(has expired|must be changed)|\((18487|18488),",
    "db_password": r"login failed|\((18456|18452),",
    "db_readonly": r"readonly database|read-only",
    "db_file": r"unable to open database file|file is not a database|not a directory|permission denied|file exists",
    "db_unreachable": r"time ?out|timed out|refused|unavailable|unreachable|not found or not accessible|getaddrinfo"
    r"|name or service|no such host|tcp provider|connection failed|unable to connect",
}
_REFUSED = {
    "write_view": r"because it is a view|not updatable|derived or constant field|\((4405|4406|4427),",
    "write_readonly": r"readonly database|database is read-only|\(3906,",
    "write_denied": r"permission was denied|permission denied|\((229|230),",
    "write_busy": r"stayed busy|database is locked|time ?out",
}
_CHANGED = {delivery, circuit, heartbeat, user, token, replay, replay_item}
_CLEARED = {attempt, link, tally}
"""The tables of the ledger whose rows Hermes also updates, or deletes."""

_databases = table_named("databases", column("database_id"), column("is_read_committed_snapshot_on"), schema="sys")


class SqlExamination:
    """Looks at the database that holds source and ledger. Raises nothing that is the database's fault."""

    def __init__(self, engine: Callable[[], Engine]) -> None:
        self._open = engine

    @property
    def _engine(self) -> Engine:
        return self._open()

    def database(self) -> list[Finding]:
        """Whether it answers."""
        try:
            self._ask(select(1))
        except ConfigError as error:
            return [failed("db_driver", detail=error)]
        except InfrastructureError as error:
            cause = _named(error, _UNREACHABLE) or tls_fault(error) or "db_other"
            return [failed(cause, server="SQL Server", setting="MSSQL_ENCRYPT", detail=_short(error))]
        return [met("database", address=self._engine.url.render_as_string(hide_password=True))]

    def ledger(self) -> list[Finding]:
        """Whether Hermes' own tables are there, complete and of this program's version."""
        found, wanted = current_version(self._engine), latest_version()
        if found is None:
            return [failed("ledger_missing")]
        if found != wanted:
            return [failed("ledger_old" if is_known(found) else "ledger_new", found=found, wanted=wanted)]
        damaged = [fault for each in LEDGER.sorted_tables for fault in self._missing(each, "ledger", frozenset())]
        return damaged or [met("ledger", version=found)]

    def source(self, kind: DocumentKind) -> list[Finding]:
        """Whether the kind's tables or views have what Hermes reads, in types it can read."""
        missing = [
            *self._missing(kind.header, "source", kind.optional_columns),
            *self._missing(kind.lines, "source", frozenset()),
        ]
        return missing or self._unsuited(kind) or [self._complete(kind)]

    def ledger_writes(self) -> list[Finding]:
        """Whether Hermes may write to each of its tables."""
        tries = [(each, partial(_write, statements)) for each, statements in _ledger_writes()]
        return self._tried(tries) or [met("writes", tables=", ".join(each.name for each, _ in tries))]

    def source_writes(self, kind: DocumentKind) -> list[Finding]:
        """Whether Hermes may write status, note and national code back, and a view's trigger carries them."""
        return self._tried([(kind.header, partial(self._write_back, kind))]) or [met("writes", tables=kind.header.name)]

    def indexes(self) -> list[Finding]:
        """Whether scans and loading find what they need without reading whole tables. A view has no indexes."""
        views = self._views()
        tables = [each for kind in ALL_KINDS for each in (kind.header, kind.lines) if each.name.lower() not in views]
        missing = [
            f"{each.name} ({first})"
            for each in tables
            for first in sorted({index.columns[0].name for index in each.indexes})
            if not self._has_index(each, [first])
        ]
        lacking = [
            str(index.name)
            for each in LEDGER.sorted_tables
            for index in each.indexes
            if not self._has_index(each, [column.name for column in index.columns])
        ]
        findings = []
        if missing:
            findings.append(warning("index_missing", columns=", ".join(missing)))
        if lacking:
            findings.append(warning("ledger_index_missing", indexes=", ".join(sorted(lacking))))
        return findings or [met("indexes")]

    def collation(self) -> list[Finding]:
        """Whether codes of source and ledger can be compared at all: SQL Server refuses to compare columns of
        different collations, and every scan does."""
        for kind in ALL_KINDS:
            for table, code in ((kind.header, kind.code), (kind.lines, kind.line_code)):
                joined = (
                    select(func.count())
                    .select_from(delivery.join(table, code == delivery.c.code))
                    .where(delivery.c.kind == _NOWHERE)
                )
                try:
                    self._ask(joined)
                except InfrastructureError as error:
                    if not re.search(r"collation conflict|\(468,", full_text(error), re.I):
                        raise
                    return [failed("collation_conflict", column=f"{table.name}.{code.name}")]
        return [met("collation")]

    def isolation(self) -> list[Finding]:
        """Whether readers wait for writers: either is fine for Hermes, and worth knowing when others wait."""
        if not self._is_sql_server:
            return [skipped("sql_server_only")]
        here = select(_databases.c.is_read_committed_snapshot_on).where(_databases.c.database_id == func.db_id())
        try:
            on = self._ask(here)
        except InfrastructureError:
            return [skipped("untold")]
        if on is None:
            return [skipped("untold")]
        return [met("isolation_on" if on else "isolation_off")]

    def now(self) -> datetime | None:
        """What time the server has; None where it is this machine's or cannot be asked."""
        if not self._is_sql_server:
            return None
        found = self._ask(select(func.sysutcdatetime()))
        return found.replace(tzinfo=UTC) if isinstance(found, datetime) else None

    @property
    def _is_sql_server(self) -> bool:
        return self._engine.dialect.name == "mssql"

    @patiently
    def _ask(self, statement: Executable) -> Any:
        with reading(self._engine) as connection:
            return _first(connection, statement)

    def _missing(self, wanted: Table, whose: str, optional: frozenset[str]) -> list[Finding]:
        found = columns_of(self._engine, wanted.name)
        if found is None:
            return [failed(f"{whose}_table", table=wanted.name)]
        missing = [c.name for c in wanted.columns if c.name.lower() not in found and c.name not in optional]
        return [failed(f"{whose}_column", table=wanted.name, columns=", ".join(missing))] if missing else []

    def _unsuited(self, kind: DocumentKind) -> list[Finding]:
        findings = []
        for each, columns in ((kind.header, list(kind.header.columns)), (kind.lines, line_columns(kind))):
            found = columns_of(self._engine, each.name) or {}
            for wanted in columns:
                its = found.get(wanted.name.lower(), NullType())
                verdict = self._judge(kind, wanted, its)
                if verdict is not None:
                    types = {"found": _type_name(its), "expected": _type_name(wanted.type)}
                    findings.append(verdict(table=each.name, column=wanted.name, **types))
        return findings

    def _judge(self, kind: DocumentKind, expected: Column[Any], its: TypeEngine[Any]) -> Callable[..., Finding] | None:
        if not suits(expected.type, its):
            return partial(failed, "source_type")
        if not self._is_sql_server:
            return None
        if isinstance(expected.type, Date | DateTime) and isinstance(its, String):
            return partial(warning, "type_text_date")
        if expected.name in {"note_log", kind.code_column} and isinstance(its, VARCHAR | CHAR | TEXT):
            return partial(warning, "type_not_unicode")
        return None

    def _complete(self, kind: DocumentKind) -> Finding:
        found = columns_of(self._engine, kind.header.name) or {}
        tables = f"{kind.header.name}, {kind.lines.name}"
        missing = sorted(name for name in kind.optional_columns if name.lower() not in found)
        if missing:
            return met("source_without", tables=tables, columns=", ".join(missing))
        return met("source", tables=tables)

    def _tried(self, tries: Sequence[tuple[Table, Callable[[Connection], str | None]]]) -> list[Finding]:
        findings = []
        for each, attempt_it in tries:
            try:
                fault = self._try(attempt_it)
            except (InfrastructureError, IntegrityError) as error:
                cause = _named(error, _REFUSED) or "write_refused"
                found = warning if cause == "write_busy" else failed
                findings.append(found(cause, table=each.name, detail=_short(error)))
            else:
                findings += [failed(fault, table=each.name)] if fault else []
        return findings

    @patiently
    def _try(self, attempt_it: Callable[[Connection], str | None]) -> str | None:
        with trying(self._engine) as connection:
            return attempt_it(connection)

    def _write_back(self, kind: DocumentKind, connection: Connection) -> str | None:
        """A table gets the values it has: no trigger of the customer's sees a change. A view gets another status,
        since its trigger must carry it to where it is kept."""
        code = _first(connection, select(kind.code).limit(1))
        through_view = kind.header.name.lower() in self._views()
        columns = kind.header.c
        written: dict[str, Any] = {"note_log": columns.note_log, "status_phieu": columns.status_phieu}
        if kind.national_code_column.lower() in (columns_of(self._engine, kind.header.name) or {}):
            written[kind.national_code_column] = kind.national_code
        if through_view:
            written["status_phieu"] = int(SourceStatus.RETRY)
        this = kind.code == (code if is_unicode(code) else _NOWHERE)
        _write([update(kind.header).where(this).values(written)], connection)
        if not through_view or not is_unicode(code):
            return None
        status = _first(connection, select(columns.status_phieu).where(this))
        return None if status == written["status_phieu"] else "write_lost"

    @patiently
    def _views(self) -> set[str]:
        with reading(self._engine) as connection:
            return {name.lower() for name in inspect(connection).get_view_names()}

    @patiently
    def _has_index(self, on: Table, columns: Sequence[str]) -> bool:
        """Whether some index, or the primary key, begins with these columns."""
        with reading(self._engine) as connection:
            inspector = inspect(connection)
            keys: list[Sequence[str | None]] = [inspector.get_pk_constraint(on.name)["constrained_columns"]]
            keys += [each["column_names"] for each in inspector.get_indexes(on.name) if not _is_filtered(each)]
        wanted = [name.lower() for name in columns]
        return any([(name or "").lower() for name in key[: len(wanted)]] == wanted for key in keys)


def suits(expected: TypeEngine[Any], found: TypeEngine[Any]) -> bool:
    """Whether values of a column of type `found` can be read as, and compared with, values of `expected`."""
    if isinstance(found, NullType):  # a view's expression: SQLite does not say
        return True
    if isinstance(expected, String):
        return isinstance(found, String)
    if isinstance(expected, Date | DateTime):
        return isinstance(found, Date | DateTime | String)
    return isinstance(found, Integer | Numeric | Float | mssql.MONEY | mssql.SMALLMONEY) and not isinstance(
        found, Boolean
    )


def _first(connection: Connection, statement: Executable) -> Any:
    """The first value of the first row; None where there is none."""
    rows = fetch(connection, statement)
    return rows[0][0] if rows else None


def _write(statements: Sequence[Executable], connection: Connection) -> None:
    for statement in statements:
        connection.execute(statement)


def _ledger_writes() -> Iterator[tuple[Table, list[Executable]]]:
    """Each table of the ledger, with the kinds of statement that Hermes needs there."""
    for table in LEDGER.sorted_tables:
        row = {column.name: _sample(column) for column in table.columns if not column.nullable}
        mine = [column == row[column.name] for column in table.primary_key]
        statements: list[Executable] = [insert(table).values(row)]
        if table in _CHANGED:
            some = next(column.name for column in table.columns if not column.primary_key)
            statements.append(update(table).where(*mine).values({some: row.get(some)}))
        if table in _CLEARED:
            statements.append(delete(table).where(*mine))
        yield table, statements


def _sample(column: Column[Any]) -> Any:
    """A value that fits, and that no real row has."""
    if isinstance(column.type, UtcDateTime):
        return datetime(2000, 1, 1, tzinfo=UTC)
    if isinstance(column.type, Integer):
        return 0
    return False if isinstance(column.type, Boolean) else str(uuid4())[: getattr(column.type, "length", None)]


def _named(error: Exception, causes: dict[str, str]) -> str | None:
    text = full_text(error)
    if tls_fault(error) and not re.search(causes.get("db_password", r"$^"), text, re.I):
        return None
    return next((cause for cause, pattern in causes.items() if re.search(pattern, text, re.I)), None)


def _short(error: Exception) -> str:
    """The driver's own words."""
    origin = getattr(error.__cause__ or error, "orig", None) or error
    return (str(origin).strip().splitlines() or [type(origin).__name__])[0][:200]


def _is_filtered(index: Any) -> bool:
    return bool(index.get("dialect_options", {}).get("mssql_where"))


def _type_name(kind: TypeEngine[Any]) -> str:
    """A type as SQL Server would write it."""
    return str(kind.compile(dialect=mssql.dialect())).split(" COLLATE ")[0].lower()
