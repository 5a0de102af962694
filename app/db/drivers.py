"""SQLAlchemy's dialects for SQL Server's drivers, with what Hermes needs told to each driver.

All: the server's version is asked in the way that compatible servers answer, too; rows of a bulk UPDATE go as batches
of statements.
mssql-python, pyodbc: every parameter is declared with its column's type. Left to themselves they bind ASCII text as
varchar, and ask the server for the type of each NULL, a round trip every time.
pymssql: a rollback after the server rolled back by itself is no error.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, Unicode, func, select
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.mssql.base import ischema_names as mssql_types
from sqlalchemy.dialects.mssql.mssqlpython import MSDialect_mssqlpython
from sqlalchemy.dialects.mssql.pymssql import MSDialect_pymssql
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc
from sqlalchemy.types import NULLTYPE, NullType, TypeDecorator, TypeEngine

from app.db.nvarchar import units

MOST_BOUND = 2000
"""Parameters in one statement; SQL Server takes 2,100 with those that drivers add."""

OLDEST_SQL_SERVER = (13,)
"""SQL Server 2016: what a server that does not tell its version is taken for."""

_NO_TRANSACTION = 3903
_CONSTRAINTS = {515, 547, 2601, 2627}
_ROWS_AT_ONCE = 100
_LONGEST_SHORT_TEXT = 4000

# ODBC's codes of SQL types, with the size and the digits to declare.
_BIT = (-7, 1, 0)
_INTEGER = (4, 10, 0)
_BIGINT = (-5, 19, 0)
_FLOAT = (8, 53, 0)
_TIMESTAMP = (93, 26, 6)
_DATE = (91, 10, 0)
_WVARCHAR = -9
_DECIMAL = 3
_TOO_MUCH_FOR_INTEGER = 2**31


_CATALOGUE = Table(
    "COLUMNS",
    MetaData(schema="INFORMATION_SCHEMA"),
    Column("TABLE_SCHEMA", Unicode(128), key="schema"),
    Column("TABLE_NAME", Unicode(128), key="table"),
    Column("COLUMN_NAME", Unicode(128), key="name"),
    Column("DATA_TYPE", Unicode(128), key="type"),
    Column("CHARACTER_MAXIMUM_LENGTH", Integer, key="length"),
)


def register() -> None:
    """Make SQLAlchemy use these dialects from now on."""
    for name, dialect in (("mssqlpython", MssqlPython), ("pymssql", Pymssql), ("pyodbc", Pyodbc)):
        registry.register(f"mssql.{name}", __name__, dialect.__name__)


def columns_of(connection: Connection, table: str) -> dict[str, TypeEngine[Any]]:
    """The columns of a table or view of SQL Server by lower-case name, with their types; none when it is not there.

    Asked in the plainest way there is: the catalogue in full takes seconds on some servers.
    """
    columns = _CATALOGUE.c
    asked = select(columns.name, columns.type, columns.length).where(
        columns.table == table, columns.schema == func.schema_name()
    )
    return {name.lower(): _column_type(kind, length) for name, kind, length in connection.execute(asked)}


def _column_type(name: str, length: int | None) -> TypeEngine[Any]:
    known: type[TypeEngine[Any]] = mssql_types.get(name, NullType)
    if issubclass(known, String):
        return known(length if length and length > 0 else None)
    return known()


class _Mssql:
    """What the three have in common."""

    supports_comments = False
    insertmanyvalues_max_parameters = MOST_BOUND

    def __init__(self, **options: Any) -> None:
        # Asked of the server otherwise, with a function that compatible servers do not have.
        super().__init__(**{"supports_comments": False, **options})

    def _get_server_version_info(self, connection: Connection) -> tuple[int, ...]:
        """The version a server of SQL Server's family declares, for instance (16, 0, 4135, 4)."""
        asked = "SELECT CAST(SERVERPROPERTY('ProductVersion') AS nvarchar(128))"
        said = connection.exec_driver_sql(asked).scalar()
        return tuple(int(part) for part in re.findall(r"\d+", said or "")) or OLDEST_SQL_SERVER


class Pymssql(_Mssql, MSDialect_pymssql):
    """FreeTDS; parameters are written into the statement."""

    supports_statement_cache = True

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """So many rows in each batch, not one."""
        with self._public_errors():
            cursor.executemany(statement, parameters, batch_size=_ROWS_AT_ONCE)

    def do_rollback(self, dbapi_connection: Any) -> None:
        """Roll back. pymssql knows by the English message alone that the server has done so by itself."""
        try:
            with self._public_errors():
                dbapi_connection.rollback()
        except self.loaded_dbapi.OperationalError as error:
            if error.args[0] != _NO_TRANSACTION:
                raise
            with dbapi_connection.cursor() as cursor:
                cursor.execute("BEGIN TRAN")

    @contextmanager
    def _public_errors(self) -> Iterator[None]:
        """Of a rollback and of a batch, pymssql lets its inner errors through, which nobody knows as the database's."""
        public: Any = self.loaded_dbapi
        try:
            yield
        except public.Error:
            raise
        except Exception as error:
            number = getattr(error, "number", None)
            if number is None:
                raise
            kind = public.IntegrityError if number in _CONSTRAINTS else public.OperationalError
            raise kind(number, getattr(error, "message", "")) from error


class _Odbc(_Mssql):
    """What the two drivers on ODBC have in common."""

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """With every parameter's type declared."""
        cursor.setinputsizes(_declared(parameters, context))
        cursor.execute(statement, self._as_bound(parameters))

    def _as_bound(self, parameters: Sequence[Any]) -> Sequence[Any]:
        return parameters

    def do_executemany(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """The statement as often as there are rows, in one batch: what fails in it ends it. Of an array of parameters,
        a server may go on with the rows behind one that failed, outside of the transaction."""
        rows_at_once = max(1, MOST_BOUND // max(1, len(parameters[0])))
        for start in range(0, len(parameters), rows_at_once):
            rows = parameters[start : start + rows_at_once]
            self.do_execute(
                cursor, ";\n".join([statement] * len(rows)), [each for row in rows for each in row], context
            )
            while cursor.nextset():  # where an error of a later row shows
                pass


class MssqlPython(_Odbc, MSDialect_mssqlpython):
    """Microsoft's own."""

    supports_statement_cache = True

    def __init__(self, **options: Any) -> None:
        # Parameters in their order: by name, the driver would search each statement for them.
        super().__init__(**{"paramstyle": "qmark", **options})


class Pyodbc(_Odbc, MSDialect_pyodbc):
    """Whatever ODBC driver is installed."""

    supports_statement_cache = True

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"use_setinputsizes": False, **options})

    def _as_bound(self, parameters: Sequence[Any]) -> Sequence[Any]:
        """Of None, pyodbc would ask the server for the type, whatever is declared."""
        null = self.loaded_dbapi.BinaryNull
        return [null if value is None else value for value in parameters]

    @classmethod
    def import_dbapi(cls) -> Any:
        """pyodbc without a pool of its own: a connection that is closed is to be gone."""
        pyodbc: Any = __import__("pyodbc")
        pyodbc.pooling = False
        return pyodbc


def _declared(parameters: Sequence[Any], context: Any) -> list[tuple[int, int, int]]:
    """The ODBC types of a statement's parameters, in their order."""
    return [_odbc_type(*each) for each in zip(_column_types(context, len(parameters)), parameters, strict=True)]


def _column_types(context: Any, count: int) -> list[TypeEngine[Any]]:
    """The types of what is bound, as far as SQLAlchemy knows them."""
    compiled: Any = getattr(context, "compiled", None)
    types: list[TypeEngine[Any]] = []
    for name in getattr(compiled, "positiontup", None) or ():
        copies = len(context._expanded_parameters.get(name, (name,)))  # a list is written out
        types += [compiled.binds[name].type] * copies
    if types and count % len(types) == 0:  # rows stand one behind another
        return types * (count // len(types))
    return [NULLTYPE] * count


def _odbc_type(column_type: TypeEngine[Any], value: Any) -> tuple[int, int, int]:
    """What to declare for a parameter: by what its value is, and by its column's type where it is NULL."""
    plain = column_type.impl_instance if isinstance(column_type, TypeDecorator) else column_type
    python_type = _python_type(plain) if value is None else type(value)
    if issubclass(python_type, bool):
        return _BIT
    if issubclass(python_type, int):
        return _INTEGER if value is None or abs(value) < _TOO_MUCH_FOR_INTEGER else _BIGINT
    if issubclass(python_type, Decimal):
        return (_DECIMAL, getattr(plain, "precision", None) or 38, getattr(plain, "scale", None) or 0)
    if issubclass(python_type, float):
        return _FLOAT
    if issubclass(python_type, datetime):
        return _TIMESTAMP
    if issubclass(python_type, date):
        return _DATE
    return _text(getattr(plain, "length", None), units(value or ""))


def _python_type(column_type: TypeEngine[Any]) -> type:
    try:
        return column_type.python_type
    except NotImplementedError:  # a type that nobody named: NULL fits any
        return str


def _text(length: int | None, found: int) -> tuple[int, int, int]:
    """nvarchar of the column's length, of 4,000 or (max): few lengths, so that the server keeps few plans."""
    if length is not None and found <= length:
        return (_WVARCHAR, length, 0)
    return (_WVARCHAR, _LONGEST_SHORT_TEXT if found <= _LONGEST_SHORT_TEXT else 0, 0)
