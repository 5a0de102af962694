"""replay: an operator's will. Every change is guarded like a worker's, and audited with who and why."""

from enum import StrEnum

from app.core.config import Language
from app.core.texts import say
from app.domain.deliveries import Selection
from app.domain.errors import InputError
from app.domain.states import OPERATOR_PARK, OPERATOR_RESEND, OPERATOR_RETRY, State, Transition
from app.services.ports import Operations


class Action(StrEnum):
    """What an operator can do to deliveries."""

    RETRY = "retry"
    PARK = "park"


class Replay:
    """Counts and carries out an operator's actions."""

    def __init__(self, ledger: Operations, language: Language) -> None:
        self._ledger = ledger
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


def _transition(action: Action, selection: Selection) -> Transition:
    """Accepted documents are sent again only when asked for by state and code (P4)."""
    if action is Action.PARK:
        return OPERATOR_PARK
    if selection.state is not State.ACCEPTED:
        return OPERATOR_RETRY
    if not (selection.kind and selection.codes):
        raise InputError("Accepted documents are sent again only one by one: name the kind and the codes.")
    return OPERATOR_RESEND
