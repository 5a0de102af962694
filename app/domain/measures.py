"""Tries in numbers. Frozen."""

from dataclasses import dataclass

LATENCY_BOUNDS_MS = (50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000)
"""Upper bounds of the latency histogram, in milliseconds; beyond the last: no bound."""


@dataclass(frozen=True, slots=True)
class AttemptMeasure:
    """The tries of one kind that ended alike. `answered` got an HTTP reply; `duration_ms` is their sum, and
    `within` says how many of them took no longer than each of the bounds."""

    kind: str
    outcome: str
    attempts: int
    answered: int
    duration_ms: int
    within: tuple[int, ...]

    def plus(self, other: "AttemptMeasure") -> "AttemptMeasure":
        """Both together."""
        return AttemptMeasure(
            self.kind,
            self.outcome,
            self.attempts + other.attempts,
            self.answered + other.answered,
            self.duration_ms + other.duration_ms,
            tuple(mine + theirs for mine, theirs in zip(self.within, other.within, strict=True)),
        )
