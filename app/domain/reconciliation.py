"""Reconciliation (đối soát): what the source has, and what became of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Fate(StrEnum):
    """What became of a document of the source."""

    DELIVERED = "delivered"  # the partner confirmed it
    WAITING = "waiting"  # it will be sent, or sent again, or its outcome is unknown
    REFUSED = "refused"  # rejected or parked: a person must act
    NEVER_SEEN = "never_seen"  # no scan ever took it up, and its status does not ask for it
    GONE = "gone"  # in the ledger, and no longer in the source


@dataclass(frozen=True, slots=True)
class DayBalance:
    """One day, facility and kind. `day` is the document date, None where the source has none; `in_source` is the sum
    of delivered, waiting, refused and never seen; `gone` ones are not in the source any more."""

    kind: str
    day: date | None
    facility: str
    delivered: int = 0
    waiting: int = 0
    refused: int = 0
    never_seen: int = 0
    gone: int = 0

    @property
    def in_source(self) -> int:
        """How many documents the source has."""
        return self.delivered + self.waiting + self.refused + self.never_seen

    @property
    def settled(self) -> bool:
        """Whether everything arrived."""
        return self.delivered == self.in_source

    @property
    def is_open(self) -> bool:
        """Whether there is something to look at: not everything arrived, or the source lost what was taken up."""
        return not self.settled or bool(self.gone)


@dataclass(frozen=True, slots=True)
class Reconciled:
    """One document behind a figure. `status` is what the source row says (None: NULL, or no row), `state` what the
    ledger says (None: not in it)."""

    code: str
    status: int | None
    state: str | None
    error_message: str | None


def rank(balance: DayBalance, kinds: Sequence[str]) -> tuple[int, str, int]:
    """Where a row stands among others: the latest day first, what has no day at the end; then by facility and kind."""
    return (-(balance.day or date.min).toordinal(), balance.facility, kinds.index(balance.kind))


def latest_first(balances: Iterable[DayBalance], kinds: Sequence[str]) -> list[DayBalance]:
    """Rows as they are shown."""
    return sorted(balances, key=lambda each: rank(each, kinds))


def total(balances: Iterable[DayBalance]) -> DayBalance:
    """The sum of many, without kind, day and facility."""
    sums = dict.fromkeys(("delivered", "waiting", "refused", "never_seen", "gone"), 0)
    for each in balances:
        for name in sums:
            sums[name] += getattr(each, name)
    return DayBalance("", None, "", **sums)
