"""What is paused, and resuming it."""

from fastapi import APIRouter

from app.domain.circuit import PARTNER
from app.domain.users import Role
from app.web.api import shapes
from app.web.api.caller import Caller, needs
from app.web.api.description import refuses
from app.web.api.problems import Refusal

router = APIRouter(tags=["circuits"])


@router.get("/circuits")
def list_circuits(caller: Caller = needs(Role.VIEWER)) -> shapes.Circuits:
    """What is paused, until when and why."""
    return _circuits(caller)


@router.post("/circuits/resume", responses=refuses(409))
def resume_circuit(what: shapes.Resume, caller: Caller = needs(Role.OPERATOR)) -> shapes.Circuits:
    """End a pause, whether an operator or the partner's failures began it; audited. 409 where nothing is paused."""
    if not caller.gateway.replay.resume(what.facility or PARTNER, who=caller.who, why=what.reason):
        raise Refusal(409, "Nothing is paused there; nothing was changed.")
    caller.console.status.forget()
    return _circuits(caller)


def _circuits(caller: Caller) -> shapes.Circuits:
    now = caller.gateway.clock.now()
    found = caller.gateway.circuits.open_ones().values()
    return shapes.Circuits(circuits=[shapes.Circuit.of(each, now) for each in found])
