"""The states of a delivery and every way from one to another.

Each comment says who moves a delivery in, who moves it out, and what happens when the process dies there.
This module and `decide` are the only places that name two states together; SQL takes its from-states
and to-states from the transitions below.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class State(StrEnum):
    """Where a delivery stands. The value is what `hermes_delivery.state` holds."""

    # In: scan, when it discovers a document or offers a due one; an operator's retry; a clean release.
    # Out: the worker that claims it. Died here: nothing was sent; `due_at` passes and scan offers it again.
    QUEUED = "queued"

    # In: a worker's claim. Out: that worker's settle or release, and nobody else while the claim lives.
    # Died here: the claim expires at `due_at`; rescue sends it back to queued when the request surely
    # never went out, and to unknown otherwise (P5).
    SENDING = "sending"

    # In: settle, after an answer that says "not accepted, try later". Out: scan, once `due_at` has passed.
    # Died here: nothing is running; `due_at` stands in the ledger.
    WAITING = "waiting"

    # In: settle or rescue, when the partner may have accepted the document without our knowing.
    # Out: scan, once `due_at` has passed (same idempotency key), or an operator when `due_at` is null.
    # Died here: nothing is running.
    UNKNOWN = "unknown"

    # In: settle, when the partner confirmed. Out: only a reopened source row or an operator (P4).
    ACCEPTED = "accepted"

    # In: settle, when the document is wrong by our check or the partner's.
    # Out: a reopened source row or an operator.
    REJECTED = "rejected"

    # In: settle, when the retry schedule is used up; an operator who puts it aside.
    # Out: a reopened source row or an operator.
    PARKED = "parked"


class SourceStatus(IntEnum):
    """What `status_phieu` says in the customer's own table."""

    NEW = 0
    ACCEPTED = 1
    RETRY = 2
    NEEDS_PERSON = 3


TO_SEND = (SourceStatus.NEW, SourceStatus.RETRY)
"""Source statuses that ask for delivery; NULL asks as well (P1)."""

SOURCE_STATUS: dict[State, SourceStatus] = {
    State.WAITING: SourceStatus.RETRY,
    State.UNKNOWN: SourceStatus.RETRY,
    State.ACCEPTED: SourceStatus.ACCEPTED,
    State.REJECTED: SourceStatus.NEEDS_PERSON,
    State.PARKED: SourceStatus.NEEDS_PERSON,
}
"""What settling into a state writes back; queued and sending leave the source as it is."""

CLOSED = frozenset({State.ACCEPTED, State.REJECTED, State.PARKED})
"""Nothing is due in these; a source row that asks for delivery again reopens them."""

OPEN = frozenset(State) - CLOSED

REFUSED = frozenset({State.REJECTED, State.PARKED, State.UNKNOWN})
"""What a person looks at by its cause; of the unknown, those that nothing is due for."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A move that a guarded UPDATE makes: only from `sources`, always to `target`."""

    sources: frozenset[State]
    target: State


OFFER = Transition(frozenset({State.QUEUED, State.WAITING, State.UNKNOWN}), State.QUEUED)
WITHDRAW = Transition(frozenset({State.QUEUED}), State.QUEUED)
CLAIM = Transition(frozenset({State.QUEUED}), State.SENDING)
RELEASE = Transition(frozenset({State.SENDING}), State.QUEUED)
TAKE_OVER = Transition(frozenset({State.SENDING}), State.SENDING)
REOPEN = Transition(CLOSED, State.QUEUED)
OPERATOR_RETRY = Transition(frozenset({State.WAITING, State.UNKNOWN, State.REJECTED, State.PARKED}), State.QUEUED)
OPERATOR_RESEND = Transition(frozenset({State.ACCEPTED}), State.QUEUED)
RESOLVE_ACCEPTED = Transition(frozenset({State.UNKNOWN}), State.ACCEPTED)
RESOLVE_REJECTED = Transition(frozenset({State.UNKNOWN}), State.REJECTED)
RESOLVE_RESEND = Transition(frozenset({State.UNKNOWN}), State.QUEUED)
OPERATOR_PARK = Transition(frozenset({State.QUEUED, State.WAITING, State.UNKNOWN}), State.PARKED)

NEW_REVISION_FROM = frozenset({State.ACCEPTED, State.REJECTED})
"""An answer closes a revision: what leaves these states is a new revision with an idempotency key of its own,
unless an earlier try of the closed revision may have arrived (then the partner must be able to recognise it)."""
