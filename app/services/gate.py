"""The gate: may this document be sent now? Circuits, seen from scan and deliver.

What all processes share is in SQL; each looks at most once a second, counts its own successes until a failure
makes them worth writing, and so costs the happy path nothing but a SELECT on an empty table.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from random import Random

import structlog

from app.core.clock import Clock
from app.domain.circuit import LONGEST_HOLD, PARTNER, Access, Circuit, CircuitPolicy, Weather, weather
from app.domain.outcomes import Outcome
from app.services.ports import Circuits

log = structlog.get_logger(__name__)

LOOK_EVERY = timedelta(seconds=1)


class Gate:
    """One per process."""

    def __init__(
        self, circuits: Circuits, clock: Clock, *, probe_seconds: int, policy: CircuitPolicy | None = None
    ) -> None:
        self._circuits = circuits
        self._clock = clock
        self._policy = policy or CircuitPolicy()
        self._probe_time = min(timedelta(seconds=probe_seconds), LONGEST_HOLD)
        self._random = Random()  # noqa: S311  spreads pauses, keeps no secret
        self._seen: dict[str, Circuit] = {}
        self._seen_at: datetime | None = None
        self._successes = 0
        self._counting_since: datetime | None = None

    def partner(self) -> Access:
        """What the partner's circuit allows."""
        return self._access(PARTNER)

    def is_closed(self, facility: str) -> bool:
        """Whether the circuit of the partner or of this facility was open when last looked. Asks nobody."""
        known = [self._seen[name] for name in (PARTNER, facility) if name in self._seen]
        return any(circuit.is_open(self._clock.now()) for circuit in known)

    def admit(self, facilities: Sequence[str]) -> list[bool]:
        """For each document, by its facility, whether it may be sent now. After a pause one document tries."""
        partner = self._access(PARTNER)
        if partner is Access.FREE:
            probing: dict[str, bool] = {}
            return [self._admit_facility(facility, probing) for facility in facilities]
        tries = partner is Access.PROBE and bool(facilities) and self._may_probe(PARTNER)
        return [tries and position == 0 for position in range(len(facilities))]

    def _admit_facility(self, facility: str, probing: dict[str, bool]) -> bool:
        access = self._access(facility)
        if access is not Access.PROBE:
            return access is Access.FREE
        if facility in probing:
            return False
        probing[facility] = self._may_probe(facility)
        return probing[facility]

    def _may_probe(self, facility: str) -> bool:
        leased: bool = self._circuits.lease_probe(facility, until=self._clock.now() + self._probe_time)
        self._look_anew()
        return leased

    def report(self, answers: Sequence[tuple[str, Outcome]]) -> Weather:
        """Learn from a group of (facility, outcome) pairs: count, open, close."""
        found = weather(answers)
        self._report_partner(found)
        for facility, reason in found.refused.items():
            self._open(facility, reason, None)
        recovered = [facility for facility in found.welcomed if self._is_known(facility)]
        if recovered:
            self._circuits.close(recovered)
            self._look_anew()
        return found

    def _report_partner(self, found: Weather) -> None:
        if not found.calls and not found.refused:
            return
        if self._is_known(PARTNER):
            if found.failures < found.calls or not found.calls:  # an answer to somebody: it is there
                self._circuits.close([PARTNER])
                self._look_anew()
            else:
                self._open(PARTNER, found.reason, found.asked)
            return
        self._remember_successes(found.calls - found.failures)
        if not found.failures:
            return
        calls, failures = self._circuits.count(
            PARTNER, found.failures + self._successes, found.failures, self._policy.window
        )
        self._successes = 0
        if self._policy.opens(calls, failures):
            self._open(PARTNER, found.reason, found.asked)

    def _remember_successes(self, successes: int) -> None:
        now = self._clock.now()
        if self._counting_since is None or now - self._counting_since > self._policy.window:
            self._counting_since, self._successes = now, 0
        self._successes += successes

    def _open(self, facility: str, reason: str, asked: timedelta | None) -> None:
        now = self._clock.now()
        known = self._seen.get(facility)
        if known is not None and known.is_open(now):
            return  # answers that were still out when it opened say nothing new
        level = 0 if known is None else known.level + 1
        until = now + self._policy.pause(level, asked, self._random.random())
        if self._circuits.open(facility, until=until, reason=reason, level=level):
            log.warning("circuit_opened", facility=facility or None, until=until.isoformat(), reason=reason)
        self._look_anew()

    def _is_known(self, facility: str) -> bool:
        self._look()
        return facility in self._seen

    def _access(self, facility: str) -> Access:
        self._look()
        found = self._seen.get(facility)
        return Access.FREE if found is None else found.access(self._clock.now())

    def _look(self) -> None:
        now = self._clock.now()
        if self._seen_at is None or not timedelta(0) <= now - self._seen_at < LOOK_EVERY:
            self._seen, self._seen_at = self._circuits.open_ones(), now

    def _look_anew(self) -> None:
        self._seen_at = None
        self._look()
