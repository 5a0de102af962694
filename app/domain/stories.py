"""One document's story, as it is shown."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from app.domain.deliveries import Attempt, Delivery


class NextStep(StrEnum):
    """What happens next. The catalogue has a sentence for each: `next_due`, …"""

    RUNNING = "running"  # the outcome of a send is awaited
    DUE = "due"  # something happens by itself, at the delivery's `due_at`
    RESOLVE = "resolve"  # a person must find out whether the partner has it
    PERSON = "person"  # a person must correct it and send it again
    NOTHING = "nothing"  # accepted


@dataclass(frozen=True, slots=True)
class Cell:
    """One value of the source: its column, what people call that, and the value as the driver gives it."""

    column: str
    label: str
    value: Any


@dataclass(frozen=True, slots=True)
class SeenFault:
    """One thing wrong with a document: `line` counts from 1 (None: the header), `field` is the source column."""

    line: int | None
    field: str
    message: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that was sent last with one value and would be sent now with another (None: not at all). `line` counts
    from 1, None: the header; `field` is the partner's name for it, `label` the Vietnamese one."""

    line: int | None
    field: str
    label: str
    sent: Any
    now: Any


@dataclass(frozen=True, slots=True)
class LastSent:
    """The last request that the log has, and what differs now; no differences: the same would be sent."""

    at: datetime
    revision: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True)
class Detail:
    """All that is known of one document.

    `faults` is what Hermes' own check says of the source rows as they are now, `last_faults` what it said at the last
    try; `difference` is None where the log has no request, or the document is gone or not fit to be sent. `audit` has
    at, who, action, why. `log_complete` is False when the log store could not be asked.
    """

    delivery: Delivery
    next_step: NextStep
    attempts: tuple[Attempt, ...]
    log_complete: bool
    audit: tuple[dict[str, Any], ...]
    header: tuple[Cell, ...]
    lines: tuple[tuple[Cell, ...], ...]
    in_source: bool
    faults: tuple[SeenFault, ...]
    last_faults: tuple[SeenFault, ...]
    difference: LastSent | None
