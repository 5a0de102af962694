"""Who may use the console, for admins. Roles and passwords of those who are there change elsewhere: whoever finds an
admin's token must not be able to take over somebody's login with it."""

from typing import Annotated

from fastapi import APIRouter, Path

from app.domain.errors import InputError
from app.domain.users import Role, user_name
from app.domain.users import User as KnownUser
from app.web.api import shapes
from app.web.api.caller import Caller, needs
from app.web.api.description import refuses
from app.web.api.problems import Refusal

router = APIRouter(tags=["users"])

Name = Annotated[str, Path(max_length=200, description="The user's name.")]


@router.get("/users")
def list_users(caller: Caller = needs(Role.ADMIN)) -> shapes.Users:
    """Every user."""
    return shapes.Users(users=[shapes.User.model_validate(each) for each in caller.gateway.users.all()])


@router.post("/users/{name}/disable", responses=refuses(404, 409))
def disable_user(name: Name, caller: Caller = needs(Role.ADMIN)) -> shapes.User:
    """Let a user in no more; audited. Ends the user's sessions and stops the user's tokens. 409 for the last admin."""
    return _set_disabled(caller, name, True)


@router.post("/users/{name}/enable", responses=refuses(404, 409))
def enable_user(name: Name, caller: Caller = needs(Role.ADMIN)) -> shapes.User:
    """Let a disabled user in again; audited."""
    return _set_disabled(caller, name, False)


def _set_disabled(caller: Caller, name: str, disabled: bool) -> shapes.User:
    known = _known(caller, name).name
    try:
        caller.gateway.access.set_disabled(known, disabled, who=caller.who)
    except InputError as error:
        raise Refusal(409, str(error)) from None
    return shapes.User.model_validate(_known(caller, known))


def _known(caller: Caller, name: str) -> KnownUser:
    try:
        found = caller.gateway.users.get(user_name(name))
    except InputError:
        found = None
    if found is None:
        raise Refusal(404, "There is no user of this name.")
    return found
