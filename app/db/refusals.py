"""Refusals by cause, in bounded work: causes are found by leaps through an index, and what is behind each is counted
in that index, no further than `COUNTED`. A million refused documents cost as much as there are causes."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Row, Select, func, select

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
        updated = delivery.c.updated_at
        with reading(self._engine) as connection:
            return [
                _total(_counted(connection, cause, updated >= start, updated < end)[0].values())
                for start, end in pairwise(bounds)
            ]


def _causes(connection: Connection) -> Iterator[str]:
    """Causes in order, one more than are wanted; each is one look into the index."""
    last = ""
    for _ in range(MOST_CAUSES + 1):
        following = select(func.min(delivery.c.cause)).where(delivery.c.cause.is_not(None), delivery.c.cause > last)
        found = connection.scalar(following)
        if found is None:
            return
        yield found
        last = found


def _group(connection: Connection, cause: str) -> RefusalGroup | None:
    counts, first = _counted(connection, cause)
    states = {state: count for state, count in counts.items() if count.count}
    latest = _latest(connection, cause, list(states))
    if not latest or first is None:
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
        first_seen_at=first,
        last_seen_at=example.updated_at,
        example_kind=example.kind,
        example_code=example.code,
        example_message=message,
    )


def _counted(
    connection: Connection, cause: str, *when: ColumnElement[bool]
) -> tuple[dict[State, AtLeast], datetime | None]:
    """How many there are in each state, and when the first was last changed: one statement, all of it in an index."""
    states = sorted(REFUSED)
    counts, firsts = [], []
    for state in states:
        refused = _refused(cause, state)
        some = select(delivery.c.updated_at).where(*refused, *when).limit(COUNTED + 1).subquery()
        counts.append(select(func.count()).select_from(some).scalar_subquery())
        firsts.append(select(func.min(delivery.c.updated_at)).where(*refused, *when).scalar_subquery())
    row = connection.execute(select(*counts, *firsts)).one()
    found = {state: at_least(row[number], COUNTED) for number, state in enumerate(states)}
    return found, min((moment for moment in row[len(states) :] if moment is not None), default=None)


def _total(counts: Iterable[AtLeast]) -> AtLeast:
    counted = list(counts)
    return AtLeast(sum(each.count for each in counted), all(each.complete for each in counted))


def _latest(connection: Connection, cause: str, states: Sequence[State]) -> list[Row[Any]]:
    columns = delivery.c
    wanted = (columns.kind, columns.code, columns.facility, columns.error_code, columns.error_message,
              columns.updated_at)  # fmt: skip
    rows: list[Row[Any]] = []
    for state in states:
        statement: Select[Any] = select(*wanted).where(*_refused(cause, state)).order_by(columns.updated_at.desc())
        rows += connection.execute(statement.limit(LOOKED_AT))
    return sorted(rows, key=lambda row: row.updated_at, reverse=True)


def _refused(cause: str, state: State) -> tuple[ColumnElement[bool], ...]:
    """Waiting for a person: nothing is due. In the order of the index."""
    columns = delivery.c
    return (columns.cause.is_not(None), columns.cause == cause, columns.state == state, columns.due_at.is_(None))
