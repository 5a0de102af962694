"""What addresses and forms ask for, as values. Each raises InputError with a sentence that the catalogue translates."""

from datetime import date

from app.documents import KINDS, DocumentKind
from app.domain.errors import InputError
from app.domain.states import State

_YEARS = range(1900, 2200)


def kind_of(text: str) -> DocumentKind | None:
    """A kind by its name; None for an empty text."""
    if text and text not in KINDS:
        raise InputError("There is no such kind of document.")
    return KINDS[text] if text else None


def state_of(text: str) -> State | None:
    """A state by its name; None for an empty text."""
    if text and text not in set(State):
        raise InputError("There is no such state.")
    return State(text) if text else None


def day_of(text: str) -> date | None:
    """A day as `2026-11-24`; None for an empty text."""
    if not text:
        return None
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = date.min
    if found.year not in _YEARS:
        raise InputError("A day is written as year, month and day: 2026-11-24.")
    return found
