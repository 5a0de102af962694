"""bulk replay: many deliveries again after an incident; frozen, in their original order, paced by the scan's tick."""

from collections.abc import Sequence

import structlog

from app.core.clock import Clock
from app.domain.deliveries import Selection
from app.domain.errors import InputError
from app.domain.redact import printable
from app.domain.replays import BulkReplay, Pace, Progress, ReplayItem, ReplayState, allowance
from app.domain.states import OPERATOR_RESEND, OPERATOR_RETRY, State
from app.services.ports import Replays

log = structlog.get_logger(__name__)

AT_ONCE = 1000
"""Released in one transaction."""
SHOWN = 200
_LONGEST_NAME = 100


class BulkReplays:
    """Creates, shows and steers replays."""

    def __init__(self, replays: Replays) -> None:
        self._replays = replays

    def create(
        self, name: str, selection: Selection, pace: Pace, *, who: str, why: str, accepted_again: bool = False
    ) -> BulkReplay:
        """Freeze what is selected and let it begin with the next scan.

        Accepted deliveries are in the set only when asked for twice: `selection.state` is ACCEPTED, and
        `accepted_again` says so (P4). Raises InputError for what makes no sense.
        """
        name = _tidy(name)
        if not 0 < len(name) <= _LONGEST_NAME:
            raise InputError("A replay is named after its incident, in 1 to 100 characters.")
        if selection == Selection():
            raise InputError("Nothing narrows the choice. Name a kind, codes, a state, an error or a cause.")
        _check(pace)
        if (selection.state is State.ACCEPTED) != accepted_again:
            raise InputError(
                "Accepted documents are sent again only when asked for twice: by --state accepted and --accepted-again."
            )
        transition = OPERATOR_RESEND if accepted_again else OPERATOR_RETRY
        return self._replays.create(name, selection, transition, pace, who=who, why=why)

    def all(self) -> Sequence[BulkReplay]:
        """The latest 200 replays, the latest first."""
        return self._replays.all(SHOWN)

    def progress(self, name: str) -> Progress | None:
        """What became of a replay until now; None when there is none of that name."""
        return self._replays.progress(_tidy(name))

    def items(self, name: str, after: int = 0, limit: int = 100) -> Sequence[ReplayItem]:
        """Items behind position `after`, in order."""
        return self._replays.items(_tidy(name), after, limit)

    def pause(self, name: str, *, who: str, why: str) -> bool:
        """Release nothing more until it is resumed. False when it is not running."""
        return self._change(name, [ReplayState.RUNNING], ReplayState.PAUSED, who, why, "replay_pause")

    def resume(self, name: str, *, who: str, why: str) -> bool:
        """Go on. False when it is not paused."""
        return self._change(name, [ReplayState.PAUSED], ReplayState.RUNNING, who, why, "replay_resume")

    def abort(self, name: str, *, who: str, why: str) -> bool:
        """Release nothing more, ever; what was released goes on. False when it has come to its end."""
        running = [ReplayState.RUNNING, ReplayState.PAUSED]
        return self._change(name, running, ReplayState.ABORTED, who, why, "replay_abort")

    def _change(
        self, name: str, sources: Sequence[ReplayState], target: ReplayState, who: str, why: str, action: str
    ) -> bool:
        return self._replays.change(_tidy(name), sources, target, who=who, why=why, action=action)


class Pacing:
    """The part of a scan that releases what the replays' pace allows."""

    def __init__(self, replays: Replays, clock: Clock) -> None:
        self._replays = replays
        self._clock = clock

    def run(self) -> int:
        """Release; returns how many deliveries had their turn. Any number of scans may do this at once."""
        return sum(self._release(each) for each in self._replays.running())

    def _release(self, found: BulkReplay) -> int:
        seconds = (self._clock.now() - found.paced_at).total_seconds()
        most = found.most_queued
        queued = 0 if most is None else self._replays.count_queued(most)
        allowed = left = min(allowance(found.pace, seconds=seconds, queued=queued), found.documents - found.turns)
        going: BulkReplay | None = found
        while left > 0 and going is not None:
            going = self._replays.release(going, min(left, AT_ONCE))
            left -= AT_ONCE if going is not None else 0
        done = allowed - max(left, 0)
        if done:
            log.info("replay_released", replay=found.name, documents=done)
        return done


def _tidy(name: str) -> str:
    """A name as it is kept: what an eye cannot tell apart is the same."""
    return " ".join(printable(name).split())


def _check(pace: Pace) -> None:
    if pace.per_minute is None and pace.most_queued is None:
        raise InputError("Say how fast: so many a minute, or while fewer than so many are queued.")
    for value in (pace.per_minute, pace.most_queued):
        if value is not None and not 0 < value <= 1_000_000:
            raise InputError("A pace is a number from 1 to 1000000.")
