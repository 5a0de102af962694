"""The detailed log while it is in SQL: written with the outcome, moved on to MongoDB where one is configured."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import BigInteger, Engine, Row, case, cast, delete, func, select

from app.db.engine import MOST_PARAMETERS, patiently, reading, writing
from app.db.tables import attempt
from app.domain.deliveries import Attempt
from app.domain.measures import LATENCY_BOUNDS_MS, AttemptMeasure


class SqlAttemptLog:
    """`hermes_attempt`: the outbox of the detailed log, and the log itself where there is no MongoDB."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @patiently
    def oldest(self, limit: int) -> list[Attempt]:
        """The oldest rows, in the order they began."""
        rows = select(attempt).order_by(attempt.c.started_at, attempt.c.id).limit(min(limit, MOST_PARAMETERS))
        with reading(self._engine) as connection:
            return [_as_attempt(row) for row in connection.execute(rows)]

    @patiently
    def delete(self, ids: Sequence[str]) -> None:
        """Remove rows that are safe elsewhere. At most 1,000 at a time."""
        with writing(self._engine) as connection:
            connection.execute(delete(attempt).where(attempt.c.id.in_(ids)))

    @patiently
    def of_document(self, kind: str, code: str) -> list[Attempt]:
        """The rows of one document, oldest first."""
        rows = (
            select(attempt)
            .where(attempt.c.kind == kind, attempt.c.code == code)
            .order_by(attempt.c.started_at, attempt.c.attempt)
        )
        with reading(self._engine) as connection:
            return [_as_attempt(row) for row in connection.execute(rows)]

    @patiently
    def count(self) -> int:
        """How many rows there are."""
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(attempt)) or 0

    @patiently
    def measure(self, since: datetime) -> list[AttemptMeasure]:
        """How many tries began since then, and how long the partner took for the answered ones, by kind and
        outcome."""
        columns = attempt.c
        answered = columns.http_status.is_not(None)
        slowness = cast(case((answered, columns.duration_ms), else_=0), BigInteger)
        within = [
            func.sum(case((answered & (columns.duration_ms <= bound), 1), else_=0)) for bound in LATENCY_BOUNDS_MS
        ]
        counted = func.sum(case((answered, 1), else_=0))
        rows = (
            select(columns.kind, columns.outcome, func.count(), counted, func.sum(slowness), *within)
            .where(columns.started_at >= since)
            .group_by(columns.kind, columns.outcome)
        )
        with reading(self._engine) as connection:
            return [_as_measure(*row) for row in connection.execute(rows)]

    @patiently
    def delete_before(self, moment: datetime) -> int:
        """Remove up to 1,000 rows that began before `moment`; returns how many."""
        old = select(attempt.c.id).where(attempt.c.started_at < moment).limit(MOST_PARAMETERS)
        with writing(self._engine) as connection:
            ids = list(connection.scalars(old))
            if ids:
                connection.execute(delete(attempt).where(attempt.c.id.in_(ids)))
            return len(ids)


def _as_measure(
    kind: str, outcome: str, attempts: int, answered: int, duration_ms: int, *within: int
) -> AttemptMeasure:
    return AttemptMeasure(kind, outcome, attempts, answered, int(duration_ms), within)


def _as_attempt(row: Row[Any]) -> Attempt:
    values = dict(row._mapping)
    return Attempt(**{**values, "record": msgspec.json.decode(values["record"])})
