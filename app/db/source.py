"""Reading the customer's tables: what they look like, and the documents in them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from threading import Lock
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Engine,
    Row,
    Select,
    Table,
    bindparam,
    inspect,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import NullType, TypeEngine

from app.db import drivers
from app.db.engine import fetch, patiently, reading, writing
from app.db.nvarchar import cut
from app.db.tables import delivery
from app.documents import ALL_KINDS, SOURCE, DocumentKind
from app.domain.errors import InputError, SchemaError
from app.domain.kinds import Document
from app.domain.states import TO_SEND

PENDING_PAGE = 500

ASKING: tuple[int | None, ...] = (None, *(int(status) for status in TO_SEND))
"""The values of `status_phieu` that say "to send" (P1)."""

RAW = NullType()
"""Values as the driver gives them: a malformed date is a fault of its document, not an error of the query."""


@dataclass(frozen=True, slots=True)
class SourceTables:
    """What one kind's tables really have. Lengths are None where the column takes any."""

    missing_optional: frozenset[str]
    note_length: int | None
    national_code_length: int | None


class SqlSource:
    """The source tables, read in bulk."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._tables: dict[str, SourceTables] = {}
        self._lock = Lock()

    def tables(self, kind: DocumentKind) -> SourceTables:
        """What the kind's tables have; looked up once. Raises SchemaError that names what is missing."""
        with self._lock:
            if kind.name not in self._tables:
                self._tables[kind.name] = self._inspect(kind)
            return self._tables[kind.name]

    def header_columns(self, kind: DocumentKind) -> list[Column[Any]]:
        """The header's columns that exist here."""
        return _existing(kind, self.tables(kind).missing_optional)

    @patiently
    def load(self, kind: DocumentKind, codes: Sequence[str]) -> dict[str, Document]:
        """Documents by code, in two statements. Codes without a header row are left out.

        Both statements join the ledger, so that rows are found and named as the ledger spells the code,
        whatever the collation takes for equal.
        """
        headers, lines = _loading(kind, self.tables(kind).missing_optional)
        these = {"codes": codes}
        with reading(self._engine) as connection:
            return self._documents(kind, fetch(connection, headers, these), fetch(connection, lines, these))

    def pending(self, kind: DocumentKind) -> Iterator[list[Document]]:
        """Pages of the documents whose source status asks for delivery, whatever the ledger says of them."""
        place: Place | None = START
        while place is not None:
            page, place = self._pending_page(kind, place)
            if page:
                yield page

    @patiently
    def _pending_page(self, kind: DocumentKind, place: "Place") -> tuple[list[Document], "Place | None"]:
        headers = select(kind.code, *_raw(self.header_columns(kind))).where(asks_for_delivery(kind))
        with reading(self._engine) as connection:
            header_rows = fetch(connection, behind(headers, kind, place, PENDING_PAGE))
            speakable = [row for row in header_rows if is_unicode(row[0])]
            lines = (
                select(kind.code, *_raw(line_columns(kind)))
                .join_from(kind.header, kind.lines, kind.line_code == kind.code)
                .where(kind.code.in_([row[0] for row in speakable]))
                .order_by(kind.code, kind.lines.c.id)
            )
            documents = self._documents(kind, speakable, fetch(connection, lines))
        return list(documents.values()), next_place(place, [row[0] for row in header_rows], PENDING_PAGE)

    def _documents(
        self, kind: DocumentKind, header_rows: Sequence[Row[Any]], line_rows: Sequence[Row[Any]]
    ) -> dict[str, Document]:
        lines: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for code, line in _by_code(line_rows, line_columns(kind)):
            lines[code].append(line)
        headers = _by_code(header_rows, self.header_columns(kind))
        return {code: Document(kind.name, code, header, lines.get(code, [])) for code, header in headers}

    def _inspect(self, kind: DocumentKind) -> SourceTables:
        header = self._columns(kind.header, kind.optional_columns)
        self._columns(kind.lines, frozenset())
        return SourceTables(
            missing_optional=frozenset(name for name in kind.optional_columns if name.lower() not in header),
            note_length=_length(header.get("note_log")),
            national_code_length=_length(header.get(kind.national_code_column)),
        )

    @patiently
    def _columns(self, table: Table, optional: frozenset[str]) -> dict[str, Any]:
        """The table's (or view's) columns by lower-case name, with their types."""
        found = columns_of(self._engine, table.name)
        if found is None:
            raise SchemaError(
                f"The source database has no table or view {table.name}. Connect to the right database, "
                "or give Hermes a view of that name."
            )
        missing = [
            column.name for column in table.columns if column.name.lower() not in found and column.name not in optional
        ]
        if missing:
            raise SchemaError(f"{table.name} lacks the column(s) {', '.join(missing)}.")
        return found


def columns_of(engine: Engine, table: str) -> dict[str, TypeEngine[Any]] | None:
    """A table's or view's columns by lower-case name, with their types; None when there is no such table."""
    with reading(engine) as connection:
        if connection.dialect.name == "sqlite":
            try:
                return {each["name"].lower(): each["type"] for each in inspect(connection).get_columns(table)}
            except NoSuchTableError:
                return None
        return drivers.columns_of(connection, table) or None


@dataclass(frozen=True, slots=True)
class Place:
    """Where a walk through a header table stands: behind the code `after` (None: at the start) and behind `skip`
    more rows, whose codes are no Unicode and cannot be named in a statement."""

    after: str | None
    skip: int


START = Place(None, 0)


def behind(statement: Select[Any], kind: DocumentKind, place: Place, size: int) -> Select[Any]:
    """The next `size` rows of a walk in order of the code."""
    if place.after is not None:
        statement = statement.where(kind.code > place.after)
    statement = statement.order_by(kind.code).limit(size)
    return statement.offset(place.skip) if place.skip else statement


def next_place(place: Place, codes: Sequence[Any], size: int) -> Place | None:
    """Where the walk stands after a page; None at its end."""
    if len(codes) < size:
        return None
    for behind_last, code in enumerate(reversed(codes)):
        if is_unicode(code):
            return Place(code, behind_last)
    return Place(place.after, place.skip + len(codes))


def is_unicode(code: object) -> bool:
    """Whether a code can be spoken of at all: bound, put on a queue, sent."""
    if not isinstance(code, str):
        return False
    try:
        code.encode()
    except UnicodeEncodeError:
        return False
    return True


def short_text(value: Any, length: int) -> str:
    """Whatever a column holds, as text that can be bound and is no longer than `length`."""
    text = "" if value is None else str(value)
    return cut(text.encode("utf-8", "replace").decode(), length)


def as_date(value: Any) -> date | None:
    """The day that a column holds as a date, a moment or text; None for what is none."""
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, str):
        try:
            return date.fromisoformat(value[:10])
        except ValueError:
            return None
    return value if isinstance(value, date) else None


def line_columns(kind: DocumentKind) -> list[Column[Any]]:
    """The columns of a line that belong to the document."""
    return [column for column in kind.lines.columns if column.name not in {"id", kind.code_column}]


def asks_for_delivery(kind: DocumentKind) -> ColumnElement[bool]:
    """Whether a header row says "to send" (P1)."""
    return or_(*(has_status(kind, status) for status in ASKING))


def has_status(kind: DocumentKind, status: int | None) -> ColumnElement[bool]:
    """Whether a header row has this status. One at a time, an index on status and code gives them in order."""
    column = kind.header.c.status_phieu
    return column.is_(None) if status is None else column == status


@patiently
def create_source_tables(engine: Engine) -> list[str]:
    """Create the source tables where none of them is there yet; returns their names, or nothing when all are.

    For the demo and for tests. Raises InputError when only some exist: that is somebody's real database.
    """
    with reading(engine) as connection:
        inspector = inspect(connection)
        existing = {name.lower() for name in inspector.get_table_names() + inspector.get_view_names()}
    wanted = [table.name for table in SOURCE.sorted_tables]
    missing = [name for name in wanted if name.lower() not in existing]
    if not missing:
        source = SqlSource(engine)
        for kind in ALL_KINDS:
            source.tables(kind)
        return []
    if len(missing) < len(wanted):
        raise InputError(
            f"This database has some of the source tables but not {', '.join(missing)}. "
            "Hermes does not add tables to a database that is in use; nothing was changed."
        )
    with writing(engine) as connection:
        SOURCE.create_all(connection)
    return wanted


@cache
def _loading(kind: DocumentKind, missing: frozenset[str]) -> tuple[Select[Any], Select[Any]]:
    """The statements that load headers and lines, built once: building them costs more than running them."""
    these = (delivery.c.kind == kind.name) & delivery.c.code.in_(bindparam("codes", expanding=True))
    headers = (
        select(delivery.c.code, *_raw(_existing(kind, missing)))
        .join_from(delivery, kind.header, kind.code == delivery.c.code)
        .where(these)
    )
    lines = (
        select(delivery.c.code, *_raw(line_columns(kind)))
        .join_from(delivery, kind.lines, kind.line_code == delivery.c.code)
        .where(these)
        .order_by(delivery.c.code, kind.lines.c.id)
    )
    return headers, lines


def _existing(kind: DocumentKind, missing: frozenset[str]) -> list[Column[Any]]:
    return [column for column in kind.header.columns if column.name not in missing]


def _raw(columns: Sequence[Column[Any]]) -> list[Any]:
    return [type_coerce(column, RAW).label(f"c{index}") for index, column in enumerate(columns)]


def _by_code(rows: Sequence[Row[Any]], columns: Sequence[Column[Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    names = [column.name for column in columns]
    for row in rows:
        yield row[0], dict(zip(names, row[1:], strict=True))


def _length(column_type: Any) -> int | None:
    return getattr(column_type, "length", None)
