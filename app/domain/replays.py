"""Bulk replays: many deliveries sent again after an incident, in their original order and at a pace."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.states import State


class ReplayState(StrEnum):
    """Where a replay stands. The value is what `hermes_replay.state` holds."""

    RUNNING = "running"  # every scan releases what the pace allows
    PAUSED = "paused"  # nothing is released until somebody resumes
    ABORTED = "aborted"  # nothing more is ever released
    FINISHED = "finished"  # every item had its turn; answers may still be awaited


class Step(StrEnum):
    """What was done with one item. The value is what `hermes_replay_item.step` holds."""

    WAITING = "waiting"  # its turn has not come
    RELEASED = "released"  # queued for sending
    SKIPPED = "skipped"  # when its turn came it had been accepted, or was under way by itself


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a replay goes: so many a minute, or while fewer than so many deliveries are queued; both: whichever is
    slower."""

    per_minute: int | None = None
    most_queued: int | None = None


@dataclass(frozen=True, slots=True)
class BulkReplay:
    """One replay. `next_position` counts from 1: items before it had their turn."""

    name: str
    state: ReplayState
    documents: int
    next_position: int
    per_minute: int | None
    most_queued: int | None
    paced_at: datetime
    created_at: datetime
    updated_at: datetime
    who: str
    why: str

    @property
    def pace(self) -> Pace:
        """How fast it goes."""
        return Pace(self.per_minute, self.most_queued)

    @property
    def turns(self) -> int:
        """How many items had their turn."""
        return self.next_position - 1


@dataclass(frozen=True, slots=True)
class Progress:
    """What became of a replay's items: `waiting` for their turn, `skipped`, and of the released ones `accepted`,
    `refused` again (rejected or parked), or `under_way`."""

    replay: BulkReplay
    waiting: int
    skipped: int
    accepted: int
    refused: int
    under_way: int


@dataclass(frozen=True, slots=True)
class ReplayItem:
    """One document of a replay. `was`: its state when the set was frozen; `state`: now."""

    position: int
    kind: str
    code: str
    was: State
    step: Step
    state: State


def allowance(pace: Pace, *, seconds: float, queued: int) -> int:
    """How many items may be released: what the pace is worth after `seconds` (two minutes' worth at most, so that a
    scheduler that stood still makes no flood), with `queued` deliveries lying on the queues."""
    allowed = []
    if pace.per_minute is not None:
        allowed.append(int(pace.per_minute * min(seconds, 120.0) / 60))
    if pace.most_queued is not None:
        allowed.append(pace.most_queued - queued)
    return max(0, min(allowed))
