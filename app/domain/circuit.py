"""Circuits: when to stop asking a partner, or one facility's account, and how to begin again. Pure.

A circuit is opened by answers that nobody could have helped (connect failures, timeouts, 5xx, 429, refused
credentials), never by a rejected document. While it is open nothing is sent; then one document probes, and its
answer closes the circuit or opens it again for longer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from app.domain.errors import ErrorCode
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Retry, Scope, Unknown
from app.domain.retry import jittered

PARTNER = ""
"""The circuit of the partner as a whole; any other name is a facility's."""

FOR_EVER = datetime(9999, 12, 31, tzinfo=UTC)
"""Until an operator resumes."""

LONGEST_HOLD = timedelta(hours=1)
"""No pause or probe lasts longer, but an operator's: what claims to was written before the clock was set back."""

MANY_FACILITIES = 3
"""So many facilities refused at once, and none accepted, is no facility's own trouble."""


class Access(StrEnum):
    """What a circuit allows."""

    FREE = "free"
    PROBE = "probe"  # one document may try
    PAUSED = "paused"


@dataclass(frozen=True, slots=True)
class CircuitPolicy:
    """Opens when at least `share` of at least `least_calls` calls within `window` failed."""

    window: timedelta = timedelta(seconds=30)
    least_calls: int = 10
    share: float = 0.8
    first_pause: timedelta = timedelta(seconds=30)
    longest_pause: timedelta = timedelta(minutes=10)

    def opens(self, calls: int, failures: int) -> bool:
        """Whether so many failures among so many calls open the circuit."""
        return calls >= self.least_calls and failures >= self.share * calls

    def pause(self, level: int, asked: timedelta | None, chance: float) -> timedelta:
        """How long the `level`-th pause in a row (0, 1, …) lasts: twice the last one, and at least as long as
        the partner asked for, within bounds. `chance` in [0, 1) keeps processes from returning in step."""
        usual = min(self.first_pause * 2 ** min(level, 16), self.longest_pause)
        wanted = usual if asked is None else max(usual, min(asked, self.longest_pause))
        return jittered(wanted, chance)


@dataclass(frozen=True, slots=True)
class Circuit:
    """An open circuit as the ledger holds it. `level` counts its pauses in a row."""

    facility: str
    open_until: datetime
    level: int
    reason: str
    opened_by: str
    opened_at: datetime
    probe_until: datetime | None = None

    def is_open(self, now: datetime) -> bool:
        """Whether its pause is not over."""
        return _holds(self.open_until, now)

    def access(self, now: datetime) -> Access:
        """What it allows now: nothing, or, when the pause is over and nobody probes, a probe."""
        return Access.PAUSED if self.is_open(now) or _holds(self.probe_until, now) else Access.PROBE


def _holds(until: datetime | None, now: datetime) -> bool:
    return until is not None and (now < until <= now + LONGEST_HOLD or until == FOR_EVER)


@dataclass(frozen=True, slots=True)
class Weather:
    """What a group of answers says about the partner as a whole and about facilities' accounts."""

    calls: int
    failures: int
    reason: str
    asked: timedelta | None
    refused: dict[str, str]
    """Facilities whose credentials were refused, with the reason."""
    welcomed: frozenset[str]
    """Facilities that got an answer to a document."""


def weather(answers: Sequence[tuple[str, Outcome]]) -> Weather:
    """Read (facility, outcome) pairs of one group."""
    failed = [
        outcome
        for _, outcome in answers
        if not isinstance(outcome, Accepted | Rejected) and _is_partners_trouble(outcome)
    ]
    refused = {
        facility: outcome.problem.message
        for facility, outcome in answers
        if isinstance(outcome, Defer) and outcome.scope is Scope.FACILITY
    }
    welcomed = frozenset(facility for facility, outcome in answers if isinstance(outcome, Accepted | Rejected))
    widespread = len(refused) >= MANY_FACILITIES and not welcomed
    asked = [outcome.after for outcome in failed if isinstance(outcome, Defer) and outcome.after is not None]
    reasons = [outcome.problem.message for outcome in failed] or list(refused.values())
    beyond_facilities = len(failed) + (len(refused) if widespread else 0)
    answered = sum(isinstance(outcome, Accepted | Rejected) for _, outcome in answers)
    return Weather(
        calls=answered + beyond_facilities,
        failures=beyond_facilities,
        reason=reasons[0] if reasons else "",
        asked=max(asked, default=None),
        refused=refused,
        welcomed=welcomed,
    )


def _is_partners_trouble(outcome: Retry | Defer | Unknown) -> bool:
    if isinstance(outcome, Defer):
        return outcome.scope is Scope.PARTNER
    return outcome.problem.code is not ErrorCode.WORKER_LOST
