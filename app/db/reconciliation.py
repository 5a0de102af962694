"""The source beside the ledger, by document date: one walk through a kind's headers of the period, counted by the
database. What comes back is as long as days times facilities, never as the documents."""

from collections import defaultdict
from datetime import date, timedelta
from typing import Any

from sqlalchemy import (
    DATE,
    ColumnElement,
    Engine,
    Select,
    Unicode,
    and_,
    case,
    func,
    literal,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction

from app.db.engine import fetch, patiently, reading
from app.db.source import RAW, as_date, asks_for_delivery, is_unicode, short_text
from app.db.tables import delivery
from app.documents import DocumentKind
from app.domain.reconciliation import DayBalance, Fate, Reconciled
from app.domain.states import OPEN, State

_LONGEST_FACILITY = 50


class day_of(GenericFunction[Any]):  # noqa: N801  a function of SQL
    """The day of a date or moment; on SQLite as text."""

    type = RAW
    inherit_cache = True


@compiles(day_of)
def _day_by_cast(element: day_of, compiler: Any, **options: Any) -> str:
    return f"CAST({compiler.process(element.clauses, **options)} AS DATE)"


@compiles(day_of, "sqlite")
def _day_of_text(element: day_of, compiler: Any, **options: Any) -> str:
    return f"substr({compiler.process(element.clauses, **options)}, 1, 10)"


class SqlReconciliation:
    """Compares what the source has with what the ledger knows."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @patiently
    def balances(self, kind: DocumentKind, first: date, last: date, facility: str | None) -> list[DayBalance]:
        """Per day (inclusive) and facility, ordered; documents without a date come last."""
        counts: dict[tuple[date | None, str], dict[str, int]] = defaultdict(dict)
        with reading(self._engine) as connection:
            for statement in (_in_source(kind, first, last, facility), _gone(kind, first, last, facility)):
                for row in fetch(connection, statement):
                    place = counts[as_date(row.day), short_text(row.facility, _LONGEST_FACILITY)]
                    place[row.fate] = place.get(row.fate, 0) + row.documents
        found = [DayBalance(kind.name, day, shop, **each) for (day, shop), each in counts.items()]
        return sorted(found, key=lambda each: (each.day or date.max, each.facility))

    @patiently
    def documents(
        self, kind: DocumentKind, day: date | None, facility: str, fate: Fate, after: str, limit: int
    ) -> list[Reconciled]:
        """Up to `limit` of the documents behind one figure, by code, behind the code `after`."""
        code = delivery.c.code if fate is Fate.GONE else kind.code
        statement = _documents(kind, day, facility, fate).where(code > after).order_by(code).limit(limit)
        with reading(self._engine) as connection:
            rows = fetch(connection, statement)
        return [
            Reconciled(row.code, row.status if isinstance(row.status, int) else None, row.state, row.error_message)
            for row in rows
            if is_unicode(row.code)
        ]


def _fate(kind: DocumentKind) -> ColumnElement[str]:
    """What became of a header row that is joined to its delivery, if there is one."""
    state = delivery.c.state
    return case(
        (state == State.ACCEPTED, _word(Fate.DELIVERED)),
        (state.in_(sorted(OPEN)), _word(Fate.WAITING)),
        (state.is_not(None), _word(Fate.REFUSED)),
        (asks_for_delivery(kind), _word(Fate.WAITING)),
        else_=_word(Fate.NEVER_SEEN),
    )


def _word(fate: Fate) -> ColumnElement[str]:
    return literal(fate.value, Unicode(16))


def _in_source(kind: DocumentKind, first: date, last: date, facility: str | None) -> Select[Any]:
    header = kind.header.c
    found = (
        select(
            type_coerce(day_of(header[kind.date_column]), RAW).label("day"),
            type_coerce(header.ma_co_so, RAW).label("facility"),
            _fate(kind).label("fate"),
        )
        .select_from(_joined(kind))
        .where(or_(_between(kind, first, last), header[kind.date_column].is_(None)))
    )
    if facility is not None:
        found = found.where(header.ma_co_so == facility)
    rows = found.subquery()
    groups = (rows.c.day, rows.c.facility, rows.c.fate)
    return select(*groups, func.count().label("documents")).group_by(*groups)


def _gone(kind: DocumentKind, first: date, last: date, facility: str | None) -> Select[Any]:
    columns = delivery.c
    groups = (columns.document_date, columns.facility)
    missing = (
        select(columns.document_date.label("day"), columns.facility.label("facility"),
               _word(Fate.GONE).label("fate"), func.count().label("documents"))
        .select_from(delivery.outerjoin(kind.header, kind.code == columns.code))
        .where(columns.kind == kind.name, columns.document_date.between(first, last), kind.code.is_(None))
        .group_by(*groups)
    )  # fmt: skip
    return missing if facility is None else missing.where(columns.facility == facility)


def _documents(kind: DocumentKind, day: date | None, facility: str, fate: Fate) -> Select[Any]:
    header, columns = kind.header.c, delivery.c
    if fate is Fate.GONE:
        return (
            select(columns.code, literal(None, header.status_phieu.type).label("status"), columns.state,
                   columns.error_message)
            .select_from(delivery.outerjoin(kind.header, kind.code == columns.code))
            .where(columns.kind == kind.name, columns.document_date == day, columns.facility == facility,
                   kind.code.is_(None))
        )  # fmt: skip
    when = header[kind.date_column].is_(None) if day is None else _between(kind, day, day)
    whose = header.ma_co_so == facility if facility else or_(header.ma_co_so == "", header.ma_co_so.is_(None))
    return (
        select(kind.code.label("code"), type_coerce(header.status_phieu, RAW).label("status"), columns.state,
               columns.error_message)
        .select_from(_joined(kind))
        .where(when, whose, _fate(kind) == fate.value)
    )  # fmt: skip


def _joined(kind: DocumentKind) -> Any:
    return kind.header.outerjoin(delivery, and_(delivery.c.kind == kind.name, delivery.c.code == kind.code))


def _between(kind: DocumentKind, first: date, last: date) -> ColumnElement[bool]:
    """Bound as days: on both databases a day is not greater than any moment of it."""
    column = type_coerce(kind.header.c[kind.date_column], DATE)
    return and_(column >= first, column < last + timedelta(days=1))
