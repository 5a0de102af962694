"""What `hermes check` finds, as values: a verdict and a stable cause, put into words by the catalogue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """How a precondition stands."""

    MET = "met"
    WARNING = "warning"  # Hermes works, though not as well or as safely as it should
    FAILED = "failed"
    SKIPPED = "skipped"  # does not apply, or cannot be told


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found. `cause` is the key of its sentence (`found_…`) and, unless all is well, its remedy
    (`remedy_…`); `values` go into both."""

    verdict: Verdict
    cause: str
    values: Mapping[str, object] = field(default_factory=dict)


def met(cause: str, **values: object) -> Finding:
    """As it should be."""
    return Finding(Verdict.MET, cause, values)


def warning(cause: str, **values: object) -> Finding:
    """Works, but somebody should look at it."""
    return Finding(Verdict.WARNING, cause, values)


def failed(cause: str, **values: object) -> Finding:
    """Hermes cannot work like this."""
    return Finding(Verdict.FAILED, cause, values)


def skipped(cause: str, **values: object) -> Finding:
    """Nothing to say: it does not apply, or cannot be told here."""
    return Finding(Verdict.SKIPPED, cause, values)
