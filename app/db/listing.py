"""Lists of deliveries, page by page, in time that does not grow with the ledger.

Two ways lead to a page. Where one condition alone leaves few rows (they are counted in an index, no further than
`NARROW`), these are fetched by that index and sorted. Otherwise matches are frequent, and an index that has the order
is walked until the page is full: one walk per kind (and state), merged here. Keyset paging throughout: no OFFSET, no
full count. What remains slow is a rare combination of two conditions each of which is frequent.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import product
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    FromClause,
    Select,
    Unicode,
    and_,
    false,
    func,
    null,
    or_,
    select,
    true,
    type_coerce,
)

from app.db.engine import patiently, reading
from app.db.ledger import as_delivery
from app.db.tables import delivery
from app.documents import ALL_KINDS
from app.domain.deliveries import Delivery
from app.domain.listing import Filter, Place, Sort, Turn
from app.domain.numbers import AtLeast, at_least
from app.domain.states import CLOSED, OPEN, State

NARROW = 5_000
"""So many rows are fetched and sorted for a page."""

_COLUMNS = tuple(Delivery.__dataclass_fields__)
_LATEST_FIRST = frozenset({Sort.CHANGED, Sort.DATE})
_ORDER = {Sort.CHANGED: "updated_at", Sort.DUE: "due_at", Sort.DATE: "document_date", Sort.CODE: "code"}


@dataclass(frozen=True, slots=True)
class _Walk:
    """A part of the ledger of which an index has the order."""

    conditions: tuple[ColumnElement[bool], ...]
    dated: bool = True  # False: the rows without a date, which stand behind all others


class SqlListing:
    """The ledger as lists show it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @patiently
    def deliveries(self, wanted: Filter, sort: Sort, turn: Turn, limit: int) -> list[Delivery]:
        """Up to `limit` deliveries of a list, in its order, beginning at `turn`."""
        possible = _possible(wanted, sort)
        if possible is None:
            return []
        wanted = possible
        with reading(self._engine) as connection:
            few = self._few(connection, wanted, sort)
            if few is not None:
                statement = _sorted(few, self._conditions(wanted, few), sort, turn).limit(limit)
                found = [as_delivery(row) for row in connection.execute(statement)]
            else:
                found = self._merged(connection, self._walks(connection, wanted, sort), sort, turn, limit)
        return found[::-1] if turn.backwards else found

    def _merged(
        self, connection: Connection, walks: Sequence[_Walk], sort: Sort, turn: Turn, limit: int
    ) -> list[Delivery]:
        """The first of all walks together. Only these are read as a whole: the walks may stay within their index."""
        places = [
            (row.place, row.code, row.kind)
            for walk in walks
            for row in connection.execute(_walked(walk, sort, turn).limit(limit))
        ]
        places.sort(key=_rank, reverse=not _ascends(sort, turn))
        first = {(kind, code): position for position, (_, code, kind) in enumerate(places[:limit])}
        found: list[Delivery] = []
        for kind in {kind for kind, _ in first}:
            codes = [code for its_kind, code in first if its_kind == kind]
            these = select(*(delivery.c[name] for name in _COLUMNS)).where(
                delivery.c.kind == kind, delivery.c.code.in_(codes)
            )
            found += [as_delivery(row) for row in connection.execute(these)]
        return sorted(found, key=lambda each: first[each.kind, each.code])

    @patiently
    def count(self, wanted: Filter, at_most: int) -> AtLeast:
        """How many deliveries a list has, counted no further than `at_most`."""
        found = 0
        sort = Sort.CHANGED if wanted.date_from is None and wanted.date_to is None else Sort.DATE
        possible = _possible(wanted, sort)
        if possible is None:
            return at_least(0, at_most)
        wanted = possible
        with reading(self._engine) as connection:
            few = self._few(connection, wanted, sort)
            if few is not None:
                found = _counted(connection, select(few.c.code).where(*self._conditions(wanted, few)), at_most + 1)
                return at_least(found, at_most)
            for walk in self._walks(connection, wanted, sort):
                found += _counted(connection, select(delivery.c.code).where(*walk.conditions), at_most + 1 - found)
                if found > at_most:
                    break
        return at_least(found, at_most)

    def _few(self, connection: Connection, wanted: Filter, sort: Sort) -> FromClause | None:
        """The rows that the narrowest condition leaves, when these are few."""
        for condition in self._narrowing(wanted, sort):
            these = select(delivery).where(condition).limit(NARROW + 1)
            if _counted(connection, select(delivery.c.code).where(condition), NARROW + 1) <= NARROW:
                return these.subquery()
        return None

    def _narrowing(self, wanted: Filter, sort: Sort) -> Iterator[ColumnElement[bool]]:
        """Conditions for each of which there is an index; the likely narrow ones first."""
        columns = delivery.c
        of_kind = columns.kind.in_(_kinds(wanted))
        if wanted.code is not None:
            yield of_kind & (columns.code == wanted.code)
        if wanted.code_prefix:
            yield of_kind & self._begins(columns.code, wanted.code_prefix)
        if wanted.cause is not None:
            yield columns.cause.is_not(None) & (columns.cause == wanted.cause)
        states = wanted.states or (tuple(OPEN) if sort is Sort.DUE else ())
        in_states = [columns.state.in_(states)] if states else []
        if wanted.error_code is not None:
            of_error = columns.error_code.is_not(None) & (columns.error_code == wanted.error_code)
            yield and_(of_error, of_kind, *in_states)
        if wanted.facility is not None:
            yield and_(columns.facility == wanted.facility, *_dates(wanted, delivery))
        if in_states:
            yield and_(of_kind, *in_states)
        if wanted.date_from is not None or wanted.date_to is not None:
            yield and_(of_kind, *_dates(wanted, delivery))
        if wanted.ever_failed:
            yield and_(columns.failed_at.is_not(None), of_kind, *in_states)

    def _walks(self, connection: Connection, wanted: Filter, sort: Sort) -> list[_Walk]:
        columns = delivery.c
        kinds = [kind for kind in _kinds(wanted) if self._has_codes(connection, kind, wanted.code_prefix)]
        others = tuple(self._unindexed(wanted, sort))
        walks = []
        if sort is Sort.CHANGED:
            for kind, state in product(kinds, wanted.states or State):
                walks.append(_Walk((columns.kind == kind, columns.state == state, *others)))
            return walks
        for kind in kinds:
            of_kind = (columns.kind == kind, *others)
            if sort is Sort.DUE:
                walks.append(_Walk((*of_kind, columns.due_at.is_not(None))))
            elif sort is Sort.DATE:
                walks.append(_Walk((*of_kind, columns.document_date.is_not(None))))
                if wanted.date_from is None and wanted.date_to is None:
                    walks.append(_Walk((*of_kind, columns.document_date.is_(None)), dated=False))
            else:
                walks.append(_Walk(of_kind))
        return walks

    def _has_codes(self, connection: Connection, kind: str, prefix: str | None) -> bool:
        """Whether a kind has such codes at all: where it has none, a walk would look at all of it."""
        if not prefix:
            return True
        some = select(delivery.c.code).where(delivery.c.kind == kind, self._begins(delivery.c.code, prefix)).limit(1)
        return connection.scalar(some) is not None

    def _unindexed(self, wanted: Filter, sort: Sort) -> Iterator[ColumnElement[bool]]:
        """The other conditions, in a form that tempts no planner away from the index that has the order."""
        columns = delivery.c
        if wanted.code is not None:
            yield columns.code == wanted.code
        if wanted.code_prefix:
            code = columns.code if sort is Sort.CODE else _hidden(columns.code)
            yield self._begins(code, wanted.code_prefix)
        if wanted.cause is not None:
            yield _hidden(columns.cause) == wanted.cause
        if wanted.error_code is not None and sort is Sort.CHANGED:
            yield columns.error_code.is_not(None) & (columns.error_code == wanted.error_code)
        elif wanted.error_code is not None:
            yield _hidden(columns.error_code) == wanted.error_code
        if wanted.facility is not None:
            yield (columns.facility if sort is Sort.DATE else _hidden(columns.facility)) == wanted.facility
        if wanted.states and sort is not Sort.CHANGED:
            yield _hidden(columns.state).in_([str(state) for state in wanted.states])
        if wanted.ever_failed:
            failed = columns.failed_at
            yield (failed if sort is Sort.CHANGED else func.coalesce(failed, failed)).is_not(None)
        yield from _dates(wanted, delivery, hidden=sort is not Sort.DATE)

    def _conditions(self, wanted: Filter, of: FromClause = delivery) -> list[ColumnElement[bool]]:
        """All conditions, on the ledger or on some rows of it."""
        columns = of.c
        given = [columns.kind.in_(_kinds(wanted)), *_dates(wanted, of)]
        for name in ("code", "cause", "error_code", "facility"):
            if (value := getattr(wanted, name)) is not None:
                given.append(columns[name] == value)
        if wanted.code_prefix:
            given.append(self._begins(columns.code, wanted.code_prefix))
        if wanted.states:
            given.append(columns.state.in_(wanted.states))
        if wanted.ever_failed:
            given.append(columns.failed_at.is_not(None))
        return given

    def _begins(self, column: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:
        return begins(column, prefix, sqlite=self._engine.dialect.name == "sqlite")


def _possible(wanted: Filter, sort: Sort) -> Filter | None:
    """The filter without states that cannot be in the list; None when nothing can. What was accepted has no error
    any more, and nothing is due for what is closed."""
    excluded: set[State] = set()
    if wanted.error_code is not None or wanted.cause is not None:
        excluded |= {State.ACCEPTED}
    if sort is Sort.DUE:
        excluded |= CLOSED
    if not excluded & set(wanted.states):
        return wanted
    states = tuple(state for state in wanted.states if state not in excluded)
    return replace(wanted, states=states) if states else None


def begins(column: ColumnElement[Any], prefix: str, *, sqlite: bool) -> ColumnElement[bool]:
    """Whether a text begins so, found by an index. SQL Server makes a range of a LIKE, by its own collation; SQLite
    does not where characters are escaped, but there the order is that of the code points."""
    if not sqlite:
        return column.startswith(prefix, autoescape=True)
    return and_(column >= prefix, column <= prefix + "\U0010ffff")


def _sorted(few: FromClause, conditions: Sequence[ColumnElement[bool]], sort: Sort, turn: Turn) -> Select[Any]:
    greater = _ascends(sort, turn)
    order = dict.fromkeys([few.c[_ORDER[sort]], few.c.code, few.c.kind])
    statement = select(*(few.c[name] for name in _COLUMNS)).where(*conditions)
    if sort is Sort.DUE:
        statement = statement.where(few.c.due_at.is_not(None))
    if turn.place is not None:
        statement = statement.where(_behind(few, sort, turn.place, greater))
    return statement.order_by(*(each.asc() if greater else each.desc() for each in order))


def _walked(walk: _Walk, sort: Sort, turn: Turn) -> Select[Any]:
    greater = _ascends(sort, turn)
    columns = delivery.c
    order = dict.fromkeys([columns[_ORDER[sort]], columns.code] if walk.dated else [columns.code])
    place = null() if sort is Sort.CODE or not walk.dated else columns[_ORDER[sort]]
    statement = select(place.label("place"), columns.code, columns.kind).where(*walk.conditions)
    if turn.place is not None:
        statement = statement.where(_behind_in(walk, sort, turn.place, greater))
    return statement.order_by(*(each.asc() if greater else each.desc() for each in order))


def _ascends(sort: Sort, turn: Turn) -> bool:
    """Whether rows are read from the least to the greatest: one pages back against the list's order."""
    return (sort in _LATEST_FIRST) == turn.backwards


def _behind_in(walk: _Walk, sort: Sort, place: Place, greater: bool) -> ColumnElement[bool]:
    """As `_behind`, of rows that all have a date, or all have none."""
    if sort is not Sort.DATE or walk.dated == (place[0] is not None):
        return _behind(delivery, sort, place, greater)
    return true() if walk.dated == greater else false()


def _behind(rows: FromClause, sort: Sort, place: Place, greater: bool) -> ColumnElement[bool]:
    """The rows that are greater (or less) than the place, in the order of sort value, code, kind; no date is less
    than any date."""
    value, code, kind = place
    tied = _beyond(rows.c.code, code, greater) | ((rows.c.code == code) & _beyond(rows.c.kind, kind, greater))
    column = rows.c[_ORDER[sort]]
    if sort is Sort.CODE:
        return (column >= code if greater else column <= code) & tied
    if value is None:
        return or_(column.is_not(None), tied) if greater else column.is_(None) & tied
    bounded = (column >= value if greater else column <= value) & (_beyond(column, value, greater) | tied)
    return bounded if greater or sort is not Sort.DATE or rows is delivery else or_(bounded, column.is_(None))


def _beyond(column: ColumnElement[Any], value: Any, greater: bool) -> ColumnElement[bool]:
    beyond: ColumnElement[bool] = column > value if greater else column < value
    return beyond


def _rank(place: Place) -> tuple[bool, datetime | date | str, str, str]:
    value, code, kind = place
    return (value is not None, "" if value is None else value, code, kind)


def _kinds(wanted: Filter) -> list[str]:
    return [kind.name for kind in ALL_KINDS] if wanted.kind is None else [wanted.kind]


def _dates(wanted: Filter, of: FromClause, *, hidden: bool = False) -> Iterator[ColumnElement[bool]]:
    day = of.c.document_date
    column = func.coalesce(day, day) if hidden else day
    if wanted.date_from is not None:
        yield column >= wanted.date_from
    if wanted.date_to is not None:
        yield column <= wanted.date_to


def _hidden(column: ColumnElement[Any]) -> ColumnElement[str]:
    """The same text, for which no index is looked up."""
    return type_coerce(column, Unicode()).concat("")


def _counted(connection: Connection, rows: Select[Any], at_most: int) -> int:
    some = rows.limit(at_most).subquery()
    return connection.scalar(select(func.count()).select_from(some)) or 0
