"""`hermes_replay` and `hermes_replay_item`: bulk replays, each frozen when it is created and released bit by bit.

Whoever releases moves the replay's `paced_at` by a guarded UPDATE, in the transaction that queues the deliveries: of
two scans at once, one finds that the other was faster. So the pace holds whatever process dies.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Engine, Row, Select, func, insert, literal, select, update
from sqlalchemy.exc import IntegrityError

from app.core.clock import Clock
from app.db.audit import record
from app.db.engine import MOST_PARAMETERS, patiently, reading, writing
from app.db.ledger import move, moved, requeued, selected, selection_parts
from app.db.nvarchar import cut
from app.db.tables import delivery, replay, replay_item
from app.documents import KINDS
from app.domain.deliveries import Selection
from app.domain.errors import InputError
from app.domain.replays import BulkReplay, Pace, Progress, ReplayItem, ReplayState, Step
from app.domain.states import CLAIM, OPERATOR_RESEND, OPERATOR_RETRY, State, Transition

_COLUMNS = [replay.c[name] for name in BulkReplay.__dataclass_fields__]
_LONGEST_WHO = 100
_LONGEST_WHY = 1000


class SqlReplays:
    """Bulk replays."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    @patiently
    def create(
        self, name: str, selection: Selection, transition: Transition, pace: Pace, *, who: str, why: str
    ) -> BulkReplay:
        """Freeze what is selected now, in the order of document date and first sight; audited. Raises InputError when
        the name is taken or nothing is selected."""
        now = self._clock.now()
        values = {
            "state": ReplayState.RUNNING,
            "next_position": 1,
            "per_minute": pace.per_minute,
            "most_queued": pace.most_queued,
            "paced_at": now,
            "created_at": now,
            "updated_at": now,
            "who": cut(who, _LONGEST_WHO),
            "why": cut(why, _LONGEST_WHY),
        }
        try:
            with writing(self._engine) as connection:
                connection.execute(insert(replay).values(name=name, documents=0, **values))
                count = self._freeze(connection, name, selection, transition)
                if not count:
                    raise InputError("No document matches: there is nothing to replay.")
                connection.execute(update(replay).where(replay.c.name == name).values(documents=count))
                record(connection, [name[:50]], at=now, who=who, action="replay", kind="", why=why)
        except IntegrityError:
            raise InputError("There is a replay of that name already. Choose another name.") from None
        return BulkReplay(name=name, documents=count, **values)  # type: ignore[arg-type]

    def _freeze(self, connection: Connection, name: str, selection: Selection, transition: Transition) -> int:
        count = 0
        for part in selection_parts(selection):
            connection.execute(
                insert(replay_item).from_select(
                    ["replay", "position", "kind", "code", "was", "step"], _frozen(name, part, transition, count)
                )
            )
            mine = select(func.count()).select_from(replay_item).where(replay_item.c.replay == name)
            count = connection.scalar(mine) or 0
        return count

    @patiently
    def get(self, name: str) -> BulkReplay | None:
        """One replay, or None."""
        with reading(self._engine) as connection:
            row = connection.execute(select(*_COLUMNS).where(replay.c.name == name)).one_or_none()
        return None if row is None else _as_replay(row)

    @patiently
    def all(self, limit: int) -> list[BulkReplay]:
        """The replays, the latest first."""
        rows = select(*_COLUMNS).order_by(replay.c.created_at.desc(), replay.c.name).limit(limit)
        with reading(self._engine) as connection:
            return [_as_replay(row) for row in connection.execute(rows)]

    @patiently
    def running(self) -> list[BulkReplay]:
        """The replays that are under way, the oldest first."""
        rows = select(*_COLUMNS).where(replay.c.state == ReplayState.RUNNING).order_by(replay.c.created_at)
        with reading(self._engine) as connection:
            return [_as_replay(row) for row in connection.execute(rows)]

    @patiently
    def progress(self, name: str) -> Progress | None:
        """What became of a replay's items until now."""
        found = self.get(name)
        if found is None:
            return None
        columns = replay_item.c
        counts = (
            select(columns.step, delivery.c.state, func.count())
            .join_from(replay_item, delivery, (delivery.c.kind == columns.kind) & (delivery.c.code == columns.code))
            .where(columns.replay == name)
            .group_by(columns.step, delivery.c.state)
        )
        of: dict[str, int] = dict.fromkeys(("waiting", "skipped", "accepted", "refused", "under_way"), 0)
        with reading(self._engine) as connection:
            for step, state, count in connection.execute(counts):
                of[_fate(Step(step), State(state))] += count
        return Progress(found, **of)

    @patiently
    def items(self, name: str, after: int, limit: int) -> list[ReplayItem]:
        """Up to `limit` items behind position `after`, in order."""
        columns = replay_item.c
        rows = (
            select(columns.position, columns.kind, columns.code, columns.was, columns.step, delivery.c.state)
            .join_from(replay_item, delivery, (delivery.c.kind == columns.kind) & (delivery.c.code == columns.code))
            .where(columns.replay == name, columns.position > after)
            .order_by(columns.position)
            .limit(limit)
        )
        with reading(self._engine) as connection:
            return [
                ReplayItem(row.position, row.kind, row.code, State(row.was), Step(row.step), State(row.state))
                for row in connection.execute(rows)
            ]

    @patiently
    def change(
        self, name: str, sources: Sequence[ReplayState], target: ReplayState, *, who: str, why: str, action: str
    ) -> bool:
        """Pause, resume, abort; audited. False when the replay is in none of these states."""
        now = self._clock.now()
        with writing(self._engine) as connection:
            changed = connection.execute(
                update(replay)
                .where(replay.c.name == name, replay.c.state.in_(sources))
                .values(state=target, paced_at=now, updated_at=now)
            )
            if not changed.rowcount:
                return False
            record(connection, [name[:50]], at=now, who=who, action=action, kind="", why=why)
            return True

    @patiently
    def count_queued(self, at_most: int) -> int:
        """How many deliveries of all kinds are queued, counted no further than `at_most`."""
        some = select(delivery.c.code).where(delivery.c.kind.in_(KINDS), delivery.c.state.in_(CLAIM.sources))
        with reading(self._engine) as connection:
            return connection.scalar(select(func.count()).select_from(some.limit(at_most).subquery())) or 0

    @patiently
    def release(self, found: BulkReplay, count: int) -> BulkReplay | None:
        """Queue up to `count` (at most 1,000) further items, as `found` saw the replay. Returns it as it is then, or
        None when another process was faster, or somebody paused or aborted it."""
        now = self._clock.now()
        with writing(self._engine) as connection:
            if not self._take_turn(connection, found, now):
                return None
            items = self._next_items(connection, found, min(count, MOST_PARAMETERS))
            for kind, some in groupby(sorted(items, key=lambda item: item.kind), key=lambda item: item.kind):
                self._queue(connection, found, kind, list(some), now)
            position = found.next_position + len(items)
            state = ReplayState.FINISHED if position > found.documents else ReplayState.RUNNING
            done = {"next_position": position, "state": state}
            connection.execute(update(replay).where(replay.c.name == found.name).values(**done))
        return BulkReplay(**{**_fields(found), **done, "paced_at": now, "updated_at": now})

    def _take_turn(self, connection: Connection, found: BulkReplay, now: datetime) -> bool:
        mine = update(replay).where(
            replay.c.name == found.name,
            replay.c.state == ReplayState.RUNNING,
            replay.c.paced_at == found.paced_at,
            replay.c.next_position == found.next_position,
        )
        return connection.execute(mine.values(paced_at=now, updated_at=now)).rowcount == 1

    def _next_items(self, connection: Connection, found: BulkReplay, count: int) -> list[Row[Any]]:
        columns = replay_item.c
        rows = (
            select(columns.kind, columns.code, columns.was)
            .where(
                columns.replay == found.name,
                columns.position >= found.next_position,
                columns.position < found.next_position + count,
            )
            .order_by(columns.position)
        )
        return list(connection.execute(rows))

    def _queue(
        self, connection: Connection, found: BulkReplay, kind: str, items: Sequence[Row[Any]], now: datetime
    ) -> None:
        """What was accepted when the set was frozen was asked for; what has been accepted since was not (P4)."""
        released: list[str] = []
        for transition, was_accepted in ((OPERATOR_RETRY, False), (OPERATOR_RESEND, True)):
            codes = [item.code for item in items if (item.was == State.ACCEPTED) == was_accepted]
            if codes and move(connection, kind, codes, transition, requeued(now)):
                released += moved(connection, KINDS[kind], codes, transition, now)
        for step in (Step.SKIPPED, Step.RELEASED):
            codes = released if step is Step.RELEASED else [item.code for item in items]
            if codes:
                these = (replay_item.c.replay == found.name) & (replay_item.c.kind == kind)
                place = replay_item.c.position.between(found.next_position, found.next_position + MOST_PARAMETERS - 1)
                told = update(replay_item).where(these, place, replay_item.c.code.in_(codes))
                connection.execute(told.values(step=step))
        if released:
            why = f"{found.name}: {found.why}" if found.why else found.name
            record(connection, released, at=now, who=found.who, action="replay", kind=kind, why=why)


def _frozen(name: str, selection: Selection, transition: Transition, behind: int) -> Select[Any]:
    columns = delivery.c
    order = (columns.document_date, columns.first_seen_at, columns.kind, columns.code)
    position = func.row_number().over(order_by=order) + literal(behind)
    return select(
        literal(name, replay_item.c.replay.type),
        position,
        columns.kind,
        columns.code,
        columns.state,
        literal(Step.WAITING, replay_item.c.step.type),
    ).where(*selected(selection), columns.state.in_(transition.sources))


def _fate(step: Step, state: State) -> str:
    if step is not Step.RELEASED:
        return step.value
    if state is State.ACCEPTED:
        return "accepted"
    return "refused" if state in (State.REJECTED, State.PARKED) else "under_way"


def _as_replay(row: Row[Any]) -> BulkReplay:
    values = dict(row._mapping)
    return BulkReplay(**{**values, "state": ReplayState(values["state"])})


def _fields(found: BulkReplay) -> dict[str, Any]:
    return {name: getattr(found, name) for name in found.__dataclass_fields__}
