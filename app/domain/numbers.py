"""Counts as they are shown: per hour, and where counting stops."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class HourTally:
    """How many tries of a kind ended how in the hour that begins at `hour`. `again`: neither accepted nor rejected."""

    hour: datetime
    kind: str
    accepted: int
    rejected: int
    again: int


@dataclass(frozen=True, slots=True)
class AtLeast:
    """A count that stops: exact when `complete`, else there are more than `count`."""

    count: int
    complete: bool

    def __str__(self) -> str:
        return f"{self.count:,}" if self.complete else f"{self.count:,}+"


def at_least(found: int, limit: int) -> AtLeast:
    """What counting no further than one beyond `limit` has found."""
    return AtLeast(min(found, limit), found <= limit)
