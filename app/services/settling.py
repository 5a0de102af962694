"""From an exchange to what is written about it: shared by deliver and rescue."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Protocol
from uuid import uuid4

import structlog

from app.core.clock import Clock, local
from app.core.config import Language
from app.core.texts import say
from app.documents import DocumentKind
from app.domain.decide import Decision, RetryPolicy, decide, decide_after_death
from app.domain.deliveries import Attempt, Claimed, Exchange, Settlement
from app.domain.errors import ErrorCode, Problem, RowRefused
from app.domain.outcomes import Accepted, Retry, Unknown
from app.domain.states import State

log = structlog.get_logger(__name__)


class Settler(Protocol):
    """The ledger as far as outcomes are written to it."""

    def settle(self, kind: DocumentKind, settlements: Sequence[Settlement], token: str) -> set[str]: ...


def settle_apart(ledger: Settler, kind: DocumentKind, settlements: Sequence[Settlement], token: str) -> set[str]:
    """Settle a group; when the database refuses one row of it (a trigger or constraint of the customer's), all
    the others all the same (P7). Returns the codes written.

    The refused one stays claimed: its claim expires, and it is tried again under the same idempotency key.
    """
    try:
        return ledger.settle(kind, settlements, token)
    except RowRefused as error:
        if len(settlements) == 1:
            (only,) = settlements
            log.error("outcome_refused_by_database", kind=kind.name, **described(only), error=str(error))
            return set()
        middle = len(settlements) // 2
        return settle_apart(ledger, kind, settlements[:middle], token) | settle_apart(
            ledger, kind, settlements[middle:], token
        )


def described(settlement: Settlement) -> dict[str, str | None]:
    """What a log line must say of an outcome that could not be written, so that nothing is lost with it."""
    return {
        "code": settlement.code,
        "outcome": settlement.outcome.name,
        "national_code": settlement.decision.national_code,
    }


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns exchanges into settlements by the rules. `random` gives the jitter."""

    policy: RetryPolicy
    language: Language
    clock: Clock
    random: Random = field(default_factory=Random)

    def settlement(
        self, kind: DocumentKind, claimed: Claimed, exchange: Exchange, payload_sha256: str | None = None
    ) -> Settlement:
        """What `exchange` changes about the delivery."""
        decision = decide(
            claimed.standing, exchange.outcome, policy=self.policy, now=self.clock.now(), chance=self.random.random()
        )
        return self._settlement(kind, claimed, exchange, decision, payload_sha256)

    def settlement_after_death(self, kind: DocumentKind, claimed: Claimed) -> Settlement:
        """What it means that the process which held the claim died."""
        problem = Problem(ErrorCode.WORKER_LOST, self._say("worker_lost" if claimed.sent else "worker_lost_unsent"))
        decision = decide_after_death(
            claimed.standing,
            problem,
            deaths=claimed.deaths,
            sent=claimed.sent,
            policy=self.policy,
            now=self.clock.now(),
            chance=self.random.random(),
        )
        outcome = Unknown(problem) if claimed.sent else Retry(problem)
        exchange = Exchange(outcome, started_at=self.clock.now(), duration_ms=0)
        return replace(self._settlement(kind, claimed, exchange, decision, None), deaths=claimed.deaths)

    def _settlement(
        self,
        kind: DocumentKind,
        claimed: Claimed,
        exchange: Exchange,
        decision: Decision,
        payload_sha256: str | None,
    ) -> Settlement:
        outcome = exchange.outcome
        return Settlement(
            code=claimed.code,
            outcome=outcome,
            decision=decision,
            note=self._note(decision, duplicate=isinstance(outcome, Accepted) and outcome.duplicate),
            payload_sha256=payload_sha256,
            attempt=Attempt(
                id=str(uuid4()),
                kind=kind.name,
                code=claimed.code,
                facility=claimed.facility,
                revision=claimed.revision,
                attempt=decision.attempts,
                outcome=outcome.name,
                error_code=decision.problem.code if decision.problem else None,
                http_status=exchange.http_status,
                started_at=exchange.started_at,
                duration_ms=exchange.duration_ms,
                record={"message": decision.problem.message, **exchange.record}
                if decision.problem
                else exchange.record,
            ),
        )

    def _note(self, decision: Decision, *, duplicate: bool) -> str:
        """The one line that the source row's `note_log` shows."""
        now = f"{local(self.clock.now()):%d/%m/%Y %H:%M:%S}"
        if decision.state is State.ACCEPTED:
            text = self._say("accepted_duplicate" if duplicate else "accepted")
            if decision.national_code is not None:
                text += f", {self._say('national_code', code=decision.national_code)}"
            return f"{now} {text}"
        assert decision.problem is not None  # noqa: S101  every decision but acceptance has its reason
        key = "unknown_held" if decision.state is State.UNKNOWN and decision.due_at is None else decision.state.value
        due = "" if decision.due_at is None else f"{local(decision.due_at):%H:%M:%S %d/%m/%Y}"
        text = self._say(key, reason=decision.problem.message, due=due, attempts=decision.attempts)
        if decision.uncertain and decision.state is State.REJECTED:
            text += f" ({self._say('maybe_accepted')})"
        return f"{now} {text}"

    def _say(self, key: str, **values: object) -> str:
        return say(self.language, key, **values)
