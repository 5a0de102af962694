"""attention: what a person must look at, most urgent first. Pure over what `Health.status` found."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum

from app.domain.circuit import PARTNER, Circuit
from app.domain.states import State
from app.services.health import Status

LATE_DUE = timedelta(minutes=15)
MANY_LOG_ROWS = 100_000


class Need(IntEnum):
    """What needs a person; the lower, the more urgent."""

    SCANS_STOPPED = 1  # nothing new is found, nothing due is sent
    PARTNER_PAUSED = 2  # nothing is sent to anybody
    FACILITY_PAUSED = 3
    DUE_LATE = 4  # due documents are not taken up
    UNKNOWN_HELD = 5  # only a person can find out
    PARKED = 6
    REJECTED = 7
    LOG_STUCK = 8  # nothing is lost, but the database grows


@dataclass(frozen=True, slots=True)
class Concern:
    """One need. `count` documents (by kind in `counts`) or rows, or one circuit; `since` is when it began, where
    known."""

    need: Need
    count: int = 0
    counts: tuple[tuple[str, int], ...] = ()
    kind: str = ""
    since: datetime | None = None
    circuit: Circuit | None = None


def concerns(status: Status, now: datetime, *, scan_interval_seconds: int, holds_unknown: bool) -> list[Concern]:
    """Everything that needs a person now, most urgent first."""
    found = [*_scans(status, now, scan_interval_seconds), *_circuits(status, now), *_documents(status, now)]
    if holds_unknown:
        found += _in_state(status, State.UNKNOWN, Need.UNKNOWN_HELD)
    if status.log_store and status.unshipped_log_rows > MANY_LOG_ROWS:
        found.append(Concern(Need.LOG_STUCK, status.unshipped_log_rows))
    return sorted(found, key=lambda each: each.need)


def _scans(status: Status, now: datetime, interval_seconds: int) -> Iterator[Concern]:
    """One concern for all kinds: they are scanned by the same processes."""
    latest = timedelta(seconds=3 * interval_seconds + 60)
    late = [each for each in status.kinds if each.last_scan_at is None or now - each.last_scan_at > latest]
    if late:
        known = [each.last_scan_at for each in late if each.last_scan_at is not None]
        yield Concern(Need.SCANS_STOPPED, len(late), since=min(known, default=None))


def _circuits(status: Status, now: datetime) -> Iterator[Concern]:
    for circuit in status.circuits:
        if circuit.is_open(now):
            need = Need.PARTNER_PAUSED if circuit.facility == PARTNER else Need.FACILITY_PAUSED
            yield Concern(need, since=circuit.opened_at, circuit=circuit)


def _documents(status: Status, now: datetime) -> Iterator[Concern]:
    paused = any(each.facility == PARTNER and each.is_open(now) for each in status.circuits)
    for each in status.kinds:
        due = each.oldest_due_at
        if due is not None and now - due > LATE_DUE and not paused:
            yield Concern(Need.DUE_LATE, kind=each.kind, since=due)
    yield from _in_state(status, State.PARKED, Need.PARKED)
    yield from _in_state(status, State.REJECTED, Need.REJECTED)


def _in_state(status: Status, state: State, need: Need) -> Iterator[Concern]:
    counts = tuple((each.kind, each.states[state]) for each in status.kinds if each.states.get(state))
    if counts:
        yield Concern(need, sum(count for _, count in counts), counts)
