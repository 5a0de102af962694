"""What an attempt ended as. Five values, and nothing else, come back from the partner client."""

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Literal, TypeAlias

from app.domain.errors import Problem


@dataclass(frozen=True, slots=True)
class Accepted:
    """The partner confirmed. `duplicate` says that it had the document already."""

    national_code: str | None
    duplicate: bool = False
    name: Literal["accepted"] = "accepted"


@dataclass(frozen=True, slots=True)
class Rejected:
    """The document is wrong, by our check or the partner's. Sending it again unchanged is pointless."""

    problem: Problem
    name: Literal["rejected"] = "rejected"


@dataclass(frozen=True, slots=True)
class Retry:
    """Not accepted for certain, and this document's own trouble: its retry schedule advances."""

    problem: Problem
    name: Literal["retry"] = "retry"


class Scope(StrEnum):
    """Whom a Defer concerns."""

    PARTNER = "partner"
    FACILITY = "facility"


@dataclass(frozen=True, slots=True)
class Defer:
    """Nobody could have succeeded now, so it uses up no attempt (P6). `after`: what the partner asked for."""

    problem: Problem
    scope: Scope = Scope.PARTNER
    after: timedelta | None = None
    name: Literal["defer"] = "defer"


@dataclass(frozen=True, slots=True)
class Unknown:
    """It may have been accepted: a timeout is not a failure (P5)."""

    problem: Problem
    name: Literal["unknown"] = "unknown"


Outcome: TypeAlias = Accepted | Rejected | Retry | Defer | Unknown
