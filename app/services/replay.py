"""replay: an operator's will. Every change is guarded like a worker's, and audited with who and why."""

from enum import StrEnum

from app.core.config import Language
from app.core.texts import say
from app.documents import DocumentKind
from app.domain.deliveries import Selection
from app.domain.errors import InputError
from app.domain.states import (
    OPERATOR_PARK,
    OPERATOR_RESEND,
    OPERATOR_RETRY,
    RESOLVE_ACCEPTED,
    RESOLVE_REJECTED,
    RESOLVE_RESEND,
    State,
    Transition,
)
from app.services.ports import Circuits, Operations


class Action(StrEnum):
    """What an operator can do to deliveries."""

    RETRY = "retry"
    PARK = "park"


class Verdict(StrEnum):
    """An operator's word on a document of which it is unknown whether the partner accepted it."""

    ACCEPTED = "accepted"
    RESEND = "resend"
    REJECT = "reject"


class Replay:
    """Counts and carries out an operator's actions."""

    def __init__(self, ledger: Operations, circuits: Circuits, language: Language) -> None:
        self._ledger = ledger
        self._circuits = circuits
        self._language = language

    def count(self, action: Action, selection: Selection) -> int:
        """How many deliveries the action would move."""
        return self._ledger.count(selection, _transition(action, selection))

    def run(self, action: Action, selection: Selection, *, who: str, why: str) -> int:
        """Carry it out; returns how many deliveries moved."""
        transition = _transition(action, selection)
        if action is Action.RETRY:
            return self._ledger.requeue(selection, transition, who=who, why=why)
        return self._ledger.park(
            selection, who=who, why=why, note=say(self._language, "parked_by_operator", who=who, why=why)
        )

    def resolve(
        self, kind: DocumentKind, code: str, verdict: Verdict, *, who: str, why: str, national_code: str | None = None
    ) -> bool:
        """Settle an unknown outcome by an operator's word. False when the document's outcome is not unknown."""
        if verdict is Verdict.RESEND:
            selection = Selection(kind=kind.name, codes=(code,), state=State.UNKNOWN)
            return self._ledger.requeue(selection, RESOLVE_RESEND, who=who, why=why, action="resolve") == 1
        transition = RESOLVE_ACCEPTED if verdict is Verdict.ACCEPTED else RESOLVE_REJECTED
        note = say(self._language, f"resolved_{verdict}", who=who, why=why, code=national_code or "")
        return self._ledger.resolve(kind, code, transition, who=who, why=why, note=note, national_code=national_code)

    def pause(self, facility: str, *, who: str, why: str) -> None:
        """Send nothing (to the partner: PARTNER; else for one facility) until somebody resumes."""
        self._circuits.pause(facility, who=who, why=why)

    def resume(self, facility: str, *, who: str, why: str) -> bool:
        """End a pause, whoever or whatever began it. False when there was none."""
        return self._circuits.resume(facility, who=who, why=why)


def _transition(action: Action, selection: Selection) -> Transition:
    """Accepted documents are sent again only when asked for by state and code (P4)."""
    if action is Action.PARK:
        return OPERATOR_PARK
    if selection.state is not State.ACCEPTED:
        return OPERATOR_RETRY
    if not (selection.kind and selection.codes):
        raise InputError("Accepted documents are sent again only one by one: name the kind and the codes.")
    return OPERATOR_RESEND
