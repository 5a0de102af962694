"""Bulk replays: freeze what is to be sent again, watch it, pause, resume and abort it."""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Response
from pydantic import Field

from app.domain.deliveries import Selection
from app.domain.replays import Pace
from app.domain.replays import Progress as Found
from app.domain.states import State
from app.domain.users import Role
from app.web.api import shapes
from app.web.api.caller import Caller, needs
from app.web.api.description import PREFIX, refuses
from app.web.api.problems import Fault, Refusal

router = APIRouter(tags=["replays"])

Name = Annotated[str, Path(max_length=300, description="The incident's name; a slash in it is written %2F.")]


class Items(shapes.Asked):
    """Which of its documents are shown."""

    after: int = Field(0, ge=0, le=2**31 - 1, description="Those behind this position.")
    limit: shapes.Limit = 50


@router.get("/replays")
def list_replays(caller: Caller = needs(Role.VIEWER)) -> shapes.Replays:
    """The latest 200 replays, the latest first."""
    return shapes.Replays(replays=[shapes.Replay.model_validate(each) for each in caller.gateway.replays.all()])


@router.post("/replays", status_code=201, responses=refuses(409))
def create_replay(
    order: shapes.ReplayOrder, response: Response, caller: Caller = needs(Role.OPERATOR)
) -> shapes.Replay:
    """Freeze what matches now; every scan then sends some of it, in the original order; audited. 409 when the name is
    taken. Accepted documents only with `state` accepted and `accepted_again`."""
    chosen = order.selection
    _check(order)
    if caller.gateway.replays.progress(order.name) is not None:
        raise Refusal(409, "There is a replay of that name already. Choose another name.")
    selection = Selection(
        kind=chosen.kind,
        codes=tuple(chosen.codes),
        state=chosen.state,
        error_code=chosen.error_code,
        cause=chosen.cause,
        facility=chosen.facility,
        date_from=chosen.date_from,
        date_to=chosen.date_to,
    )
    made = caller.gateway.replays.create(
        order.name,
        selection,
        Pace(order.pace.per_minute, order.pace.while_queued),
        who=caller.who,
        why=order.reason,
        accepted_again=order.accepted_again,
    )
    response.headers["Location"] = f"{PREFIX}/replays/{quote(made.name, safe='')}"
    return shapes.Replay.model_validate(made)


@router.get("/replays/{name:path}", responses=refuses(404))
def show_replay(name: Name, asked: Annotated[Items, Query()], caller: Caller = needs(Role.VIEWER)) -> shapes.Progress:
    """How far a replay is, with its documents in order."""
    found = _found(caller, name)
    items = caller.gateway.replays.items(found.replay.name, asked.after, asked.limit + 1)
    shown = items[: asked.limit]
    return shapes.Progress(
        replay=shapes.Replay.model_validate(found.replay),
        waiting=found.waiting,
        skipped=found.skipped,
        accepted=found.accepted,
        refused=found.refused,
        under_way=found.under_way,
        items=[shapes.ReplayItem.model_validate(each) for each in shown],
        next=shown[-1].position if len(items) > len(shown) else None,
    )


@router.post("/replays/{name:path}/pause", responses=refuses(404, 409))
def pause_replay(name: Name, act: shapes.Act, caller: Caller = needs(Role.OPERATOR)) -> shapes.Replay:
    """Release nothing more until it is resumed; audited. 409 when it is not running."""
    return _steer(caller, name, act, caller.gateway.replays.pause)


@router.post("/replays/{name:path}/resume", responses=refuses(404, 409))
def resume_replay(name: Name, act: shapes.Act, caller: Caller = needs(Role.OPERATOR)) -> shapes.Replay:
    """Go on; audited. 409 when it is not paused."""
    return _steer(caller, name, act, caller.gateway.replays.resume)


@router.post("/replays/{name:path}/abort", responses=refuses(404, 409))
def abort_replay(name: Name, act: shapes.Act, caller: Caller = needs(Role.OPERATOR)) -> shapes.Replay:
    """Release nothing more, ever; what was released goes on; audited. 409 when it has come to its end."""
    return _steer(caller, name, act, caller.gateway.replays.abort)


def _check(order: shapes.ReplayOrder) -> None:
    """What the service would refuse in words of the command line."""
    if order.selection.codes and order.selection.kind is None:
        raise Refusal(422, "", Fault("body.selection.kind", "Codes are unique only within a kind: name it."))
    if (order.selection.state is State.ACCEPTED) != order.accepted_again:
        said = "Accepted documents are sent again only when asked for twice: state accepted and accepted_again true."
        raise Refusal(422, "", Fault("body.accepted_again", said))


def _steer(caller: Caller, name: str, act: shapes.Act, change: Callable[..., bool]) -> shapes.Replay:
    found = _found(caller, name).replay
    if not change(found.name, who=caller.who, why=act.reason):
        raise Refusal(409, f"The replay is {found.state}; nothing was changed.")
    return shapes.Replay.model_validate(_found(caller, name).replay)


def _found(caller: Caller, name: str) -> Found:
    found = caller.gateway.replays.progress(name)
    if found is None:
        raise Refusal(404, "There is no replay of that name.")
    return found
