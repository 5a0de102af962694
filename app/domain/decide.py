"""The heart: from an outcome to what the ledger will say. Pure; every row of the test is one line of a table."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from app.domain.errors import Problem
from app.domain.outcomes import Accepted, Defer, Outcome, Rejected, Retry, Unknown
from app.domain.retry import RetrySchedule, jittered
from app.domain.states import State


class UnknownPolicy(StrEnum):
    """What to do about a document that may have arrived."""

    RESEND = "resend"  # send again under the same idempotency key
    LOOKUP = "lookup"  # ask the partner first, where its profile can; send again when it has nothing
    HOLD = "hold"  # wait for a person


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """All that an operator can set about trying again. Delays without a Retry-After are `defer_delay` long."""

    schedule: RetrySchedule
    unknown: UnknownPolicy = UnknownPolicy.RESEND
    defer_delay: timedelta = timedelta(minutes=1)
    defer_at_least: timedelta = timedelta(seconds=5)
    defer_at_most: timedelta = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of a delivery before an outcome: tries counted so far in this revision, and whether one
    of them may have reached the partner without a usable answer."""

    attempts: int
    uncertain: bool


@dataclass(frozen=True, slots=True)
class Decision:
    """What the ledger says after an outcome. `due_at` is None when nothing will happen by itself."""

    state: State
    attempts: int
    uncertain: bool
    due_at: datetime | None = None
    problem: Problem | None = None
    national_code: str | None = None


def decide(standing: Standing, outcome: Outcome, *, policy: RetryPolicy, now: datetime, chance: float) -> Decision:
    """Turn an outcome into a decision. `now` is aware; `chance` in [0, 1) spreads the retries.

    An answer to *this* try does not settle what became of an earlier one that got no answer: while that is
    uncertain, "not accepted now" leads back to unknown, never to waiting or parked (P5).
    """
    match outcome:
        case Accepted(national_code=national_code):
            return Decision(State.ACCEPTED, standing.attempts + 1, False, national_code=national_code)
        case Rejected(problem=problem):
            return Decision(State.REJECTED, standing.attempts + 1, standing.uncertain, problem=problem)
        case Defer(problem=problem, after=after):
            state = State.UNKNOWN if standing.uncertain else State.WAITING
            due_at = now + _defer_delay(after, policy, chance)
            return Decision(state, standing.attempts, standing.uncertain, due_at, problem)
        case Retry(problem=problem):
            return _try_again(standing.attempts + 1, standing.uncertain, problem, policy, now, chance)
        case Unknown(problem=problem):
            return _try_again(standing.attempts + 1, True, problem, policy, now, chance)


MOST_DEATHS = 3
"""A document that so many processes died with is no longer tried: it may be what kills them."""


def decide_after_death(
    standing: Standing, problem: Problem, *, deaths: int, sent: bool, policy: RetryPolicy, now: datetime, chance: float
) -> Decision:
    """What becomes of a delivery whose holder died. `sent`: its request may have gone out."""
    if deaths < MOST_DEATHS:
        return decide(standing, Unknown(problem), policy=policy, now=now, chance=chance)
    attempts = standing.attempts + sent
    if sent or standing.uncertain:
        return Decision(State.UNKNOWN, attempts, True, problem=problem)
    return Decision(State.PARKED, attempts, False, problem=problem)


def _try_again(
    attempts: int, uncertain: bool, problem: Problem, policy: RetryPolicy, now: datetime, chance: float
) -> Decision:
    delay = policy.schedule.delay_after(attempts, chance)
    due_at = None if delay is None else now + delay
    if uncertain:
        held = policy.unknown is UnknownPolicy.HOLD
        return Decision(State.UNKNOWN, attempts, True, None if held else due_at, problem)
    return Decision(State.PARKED if due_at is None else State.WAITING, attempts, False, due_at, problem)


def _defer_delay(asked: timedelta | None, policy: RetryPolicy, chance: float) -> timedelta:
    if asked is None:
        return jittered(policy.defer_delay, chance)
    bounded = min(max(asked, policy.defer_at_least), policy.defer_at_most)
    # Never before the partner said; a tenth later at most, so that not all come back in one instant.
    return bounded * (1 + 0.1 * chance)
