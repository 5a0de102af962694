"""Refusals by cause, in bounded work: causes are found by leaps through an index, and what is behind each is counted
in that index, no further than `COUNTED`. A million refused documents cost as much as there are causes."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Label, Row, Select, bindparam, func, select

from app.db.engine import patiently, reading
from app.db.tables import delivery
from app.domain.causes import normalised
from app.domain.numbers import AtLeast, at_least
from app.domain.refusals import RefusalGroup, Refusals
from app.domain.states import REFUSED, State

MOST_CAUSES = 200
COUNTED = 10_000
LOOKED_AT = 20
"""So many of a group's latest deliveries are looked at for facilities and kinds."""


class SqlRefusals:
    """What is refused and waits for a person."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @patiently
    def groups(self) -> Refusals:
        """All causes (at most 200), the largest first."""
        with reading(self._engine) as connection:
            causes = list(_causes(connection))
            found = [group for cause in causes[:MOST_CAUSES] if (group := _group(connection, cause)) is not None]
        found.sort(key=lambda each: (each.documents.count, each.last_seen_at), reverse=True)
        return Refusals(tuple(found), complete=len(causes) <= MOST_CAUSES)

    @patiently
    def counts(self, cause: str, bounds: Sequence[datetime]) -> list[AtLeast]:
        """How many of a group were last changed between each bound and the next."""
        with reading(self._engine) as connection:
            return [
                _total(_counted(connection.execute(_BETWEEN, {"of": cause, "start": start, "end": end}).one()).values())
                for start, end in pairwise(bounds)
            ]


def _causes(connection: Connection) -> Iterator[str]:
    """Causes in order, one more than are wanted; each is one look into the index."""
    last = ""
    for _ in range(MOST_CAUSES + 1):
        found = connection.scalar(_NEXT_CAUSE, {"last": last})
        if found is None:
            return
        yield found
        last = found


def _group(connection: Connection, cause: str) -> RefusalGroup | None:
    row = connection.execute(_GROUP, {"of": cause}).one()
    states = {state: count for state, count in _counted(row).items() if count.count}
    latest = _latest(connection, cause, states)
    firsts = [moment for state in states if (moment := row._mapping[f"first_{state}"]) is not None]
    if not latest or not firsts:
        return None
    example = latest[0]
    message = example.error_message or ""
    documents = _total(states.values())
    return RefusalGroup(
        cause=cause,
        error_code=example.error_code or "",
        message=normalised(message),
        documents=documents,
        states=states,
        kinds=tuple(sorted({row.kind for row in latest})),
        facilities=tuple(sorted({row.facility for row in latest})),
        facilities_complete=documents.complete and documents.count <= len(latest),
        first_seen_at=min(firsts),
        last_seen_at=example.updated_at,
        example_kind=example.kind,
        example_code=example.code,
        example_message=message,
    )


def _latest(connection: Connection, cause: str, states: Iterable[State]) -> list[Row[Any]]:
    rows = [row for state in states for row in connection.execute(_LATEST[state], {"of": cause})]
    return sorted(rows, key=lambda row: row.updated_at, reverse=True)


def _counted(row: Row[Any]) -> dict[State, AtLeast]:
    return {state: at_least(row._mapping[f"count_{state}"], COUNTED) for state in sorted(REFUSED)}


def _total(counts: Iterable[AtLeast]) -> AtLeast:
    counted = list(counts)
    return AtLeast(sum(each.count for each in counted), all(each.complete for each in counted))


def _refused(state: State, *when: ColumnElement[bool]) -> tuple[ColumnElement[bool], ...]:
    """Of the cause `of`, waiting for a person: nothing is due. In the order of the index."""
    columns = delivery.c
    cause = bindparam("of", type_=columns.cause.type)
    return (columns.cause.is_not(None), columns.cause == cause, columns.state == state, columns.due_at.is_(None), *when)


def _count_of(state: State, *when: ColumnElement[bool]) -> Label[Any]:
    some = select(delivery.c.updated_at).where(*_refused(state, *when)).limit(COUNTED + 1).subquery()
    return select(func.count()).select_from(some).scalar_subquery().label(f"count_{state}")


def _first_of(state: State) -> Label[Any]:
    first = select(func.min(delivery.c.updated_at)).where(*_refused(state))
    return first.scalar_subquery().label(f"first_{state}")


def _latest_of(state: State) -> Select[Any]:
    columns = delivery.c
    wanted = (columns.kind, columns.code, columns.facility, columns.error_code, columns.error_message,
              columns.updated_at)  # fmt: skip
    return select(*wanted).where(*_refused(state)).order_by(columns.updated_at.desc()).limit(LOOKED_AT)


# Built once: a page executes hundreds of them, and making one takes longer than executing it.
_NEXT_CAUSE = select(func.min(delivery.c.cause)).where(
    delivery.c.cause.is_not(None), delivery.c.cause > bindparam("last", type_=delivery.c.cause.type)
)
_GROUP = select(*(part(state) for part in (_count_of, _first_of) for state in sorted(REFUSED)))
"""How many there are in each state, and when the first was last changed: one statement, all of it in an index."""

_LATEST = {state: _latest_of(state) for state in REFUSED}
_BETWEEN = select(
    *(
        _count_of(
            state,
            delivery.c.updated_at >= bindparam("start", type_=delivery.c.updated_at.type),
            delivery.c.updated_at < bindparam("end", type_=delivery.c.updated_at.type),
        )
        for state in sorted(REFUSED)
    )
)
