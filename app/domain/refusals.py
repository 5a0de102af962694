"""Refusals by cause."""

from dataclasses import dataclass
from datetime import date, datetime

from app.domain.numbers import AtLeast
from app.domain.states import State


@dataclass(frozen=True, slots=True)
class RefusalGroup:
    """Deliveries that are refused for one cause and wait for a person.

    `cause` is what filters and replays take; `message` is the reason without its particulars; `facilities` are those
    of the latest deliveries (`facilities_complete` False: there may be more). `first_seen_at` and `last_seen_at`: the
    first and last change among them.
    """

    cause: str
    error_code: str
    message: str
    documents: AtLeast
    states: dict[State, AtLeast]
    kinds: tuple[str, ...]
    facilities: tuple[str, ...]
    facilities_complete: bool
    first_seen_at: datetime
    last_seen_at: datetime
    example_kind: str
    example_code: str
    example_message: str


@dataclass(frozen=True, slots=True)
class DayCount:
    """How many deliveries of a group were last changed on a day of Viet Nam's calendar."""

    day: date
    documents: AtLeast


@dataclass(frozen=True, slots=True)
class Refusals:
    """The groups, the largest first. `complete` is False when there are more causes than were looked at."""

    groups: tuple[RefusalGroup, ...]
    complete: bool
